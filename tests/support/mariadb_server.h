/*
 * A MariaDB server of a C test's own, twin of pg_server.h: mariadb-install-db in a temporary folder (as user postgres when run as
 * root, which the server refuses to be), a free port of 127.0.0.1, no sync. It dies with the test. Users are real ones: root with a
 * password, and `crossfade` with rights on the databases that mariadb_server_database makes.
 */
#ifndef SUPPORT_MARIADB_SERVER_H
#define SUPPORT_MARIADB_SERVER_H

#include "pg_server.h"

#include <mysql.h>
#include <stdbool.h>

#define MARIADB_ROOT_PASSWORD "root-of-test"

struct mariadb_server {
    struct pg_server base; /* its folder, user, port and process: they are run in the same way */
    int port;
};

static __attribute__((unused)) void mariadb_server_sql(MYSQL *my, const char *sql)
{
    if (mysql_real_query(my, sql, (unsigned long)strlen(sql)) != 0)
        fail_msg("%s: %s", sql, mysql_error(my));
    do {
        mysql_free_result(mysql_store_result(my));
    } while (mysql_next_result(my) == 0);
    if (mysql_errno(my) != 0)
        fail_msg("%s: %s", sql, mysql_error(my));
}

/* Rows as text: columns by ',', rows by ';'. */
static __attribute__((unused)) const char *mariadb_server_rows(MYSQL *my, const char *sql, char *out,
                                                               size_t size)
{
    size_t len = 0;
    if (mysql_real_query(my, sql, (unsigned long)strlen(sql)) != 0)
        fail_msg("%s: %s", sql, mysql_error(my));
    MYSQL_RES *res = mysql_store_result(my);
    assert_non_null(res);
    out[0] = '\0';
    MYSQL_ROW row;
    for (int i = 0; (row = mysql_fetch_row(res)) != NULL; i++) {
        for (unsigned k = 0; k < mysql_num_fields(res); k++) {
            len += (size_t)snprintf(out + len, size - len, "%s%s",
                                    k > 0   ? ","
                                    : i > 0 ? ";"
                                            : "",
                                    row[k] != NULL ? row[k] : "null");
            assert_true(len < size);
        }
    }
    mysql_free_result(res);
    return out;
}

/* One row with this one text; errors (a table that is not there yet) are "no". */
static __attribute__((unused)) bool mariadb_server_is(MYSQL *my, const char *sql, const char *want)
{
    if (mysql_real_query(my, sql, (unsigned long)strlen(sql)) != 0)
        return false;
    MYSQL_RES *res = mysql_store_result(my);
    MYSQL_ROW row = res != NULL ? mysql_fetch_row(res) : NULL;
    bool same = row != NULL && row[0] != NULL && strcmp(row[0], want) == 0;
    mysql_free_result(res);
    return same;
}

static __attribute__((unused)) MYSQL *mariadb_server_connect(const struct mariadb_server *s,
                                                             const char *password, const char *database)
{
    MYSQL *my = mysql_init(NULL);
    mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (mysql_real_connect(my, "127.0.0.1", "root", password, database, (unsigned)s->port, NULL,
                           CLIENT_MULTI_STATEMENTS) != NULL)
        return my;
    mysql_close(my);
    return NULL;
}

/* A new database with strict mode's opposite as the default (the target must set its own), and a connection to it as root. */
static __attribute__((unused)) MYSQL *mariadb_server_database(struct mariadb_server *s, const char *name)
{
    char sql[400];
    MYSQL *my = mariadb_server_connect(s, MARIADB_ROOT_PASSWORD, NULL);
    assert_non_null(my);
    (void)snprintf(sql, sizeof sql,
                   "CREATE DATABASE %s CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin; GRANT ALL ON %s.* TO "
                   "crossfade@'%%'; USE %s; "
                   "SET time_zone = '+00:00'",
                   name, name, name);
    mariadb_server_sql(my, sql);
    return my;
}

static __attribute__((unused)) void mariadb_server_stop(struct mariadb_server *s)
{
    if (s->base.pid > 0) {
        kill(s->base.pid, SIGKILL);
        waitpid(s->base.pid, NULL, 0);
    }
    s->base.pid = 0;
    if (s->base.folder[0] != '\0')
        nftw(s->base.folder, pg_server_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static __attribute__((unused)) void mariadb_server_start(struct mariadb_server *s)
{
    char data[100], port[32], socket[100], tmpdir[100];
    int status = 0;
    *s = (struct mariadb_server){.base = {.folder = "/tmp/cf-mariadb-XXXXXX"}};
    struct pg_server *b = &s->base;
    assert_non_null(mkdtemp(b->folder));
    if (geteuid() == 0) {
        b->user = getpwnam("postgres");
        assert_non_null(b->user);
        assert_int_equal(chown(b->folder, b->user->pw_uid, b->user->pw_gid), 0);
    }
    (void)snprintf(data, sizeof data, "--datadir=%s/data", b->folder);
    (void)snprintf(socket, sizeof socket, "--socket=%s/s", b->folder);
    (void)snprintf(tmpdir, sizeof tmpdir, "--tmpdir=%s", b->folder);
    (void)snprintf(b->bindir, sizeof b->bindir, "/usr/bin");
    char *install[] = {"mariadb-install-db",
                       "--no-defaults",
                       data,
                       tmpdir,
                       "--auth-root-authentication-method=normal",
                       "--skip-test-db",
                       NULL};
    assert_true(waitpid(pg_server_spawn(b, install), &status, 0) > 0);
    if (status != 0)
        fail_msg("mariadb-install-db failed (is mariadb-server-core installed? run tools/deps): see %s/log",
                 b->folder);
    s->port = pg_server_free_port();
    (void)snprintf(port, sizeof port, "--port=%d", s->port);
    (void)snprintf(b->bindir, sizeof b->bindir, "/usr/sbin");
    char *mariadbd[] = {"mariadbd",
                        "--no-defaults",
                        data,
                        socket,
                        port,
                        "--bind-address=127.0.0.1",
                        "--skip-name-resolve",
                        tmpdir,
                        "--innodb-flush-log-at-trx-commit=2",
                        "--innodb-buffer-pool-size=64M",
                        "--sql-mode=",
                        NULL};
    b->pid = pg_server_spawn(b, mariadbd);
    MYSQL *my;
    while ((my = mariadb_server_connect(s, "", NULL)) == NULL) { /* until it takes connections, or is gone */
        if (waitpid(b->pid, &status, WNOHANG) != 0) {
            b->pid = 0;
            fail_msg("the server did not start: see %s/log", b->folder);
        }
        usleep(20000);
    }
    mariadb_server_sql(
        my, "CREATE USER crossfade@'%' IDENTIFIED BY 'p@ss'; SET PASSWORD = PASSWORD('" MARIADB_ROOT_PASSWORD
            "')");
    mysql_close(my);
}

#endif
