/* Owns: what a source has to be set to. See checks.h. */
#include "maria/binlog/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"

#define KEEP_SECONDS_MIN 86400 /* of a weekend's outage, 259200 would be better */

static const struct setting {
    const char *name, *wanted;
    enum binlog_verdict otherwise;
    const char *hint;
} settings[] = {
    {"log_bin", "1", BINLOG_CHECK_FAIL, "start the server with log-bin and a server-id of its own"},
    {"binlog_format", "ROW", BINLOG_CHECK_FAIL,
     "set binlog_format=ROW in the server's configuration and by SET GLOBAL, and let sessions connect anew"},
    {"binlog_row_image", "FULL", BINLOG_CHECK_FAIL,
     "set binlog_row_image=FULL in the server's configuration and by SET GLOBAL, and let sessions connect "
     "anew"},
    {"binlog_row_metadata", "FULL", BINLOG_CHECK_WARN,
     "set binlog_row_metadata=FULL: else names of columns come from the catalog, and reading stops at tables "
     "that are "
     "altered while it is behind"},
    {"binlog_checksum", "CRC32", BINLOG_CHECK_WARN,
     "set binlog_checksum=CRC32, so that damage on the way is seen"},
    {"gtid_strict_mode", "1", BINLOG_CHECK_WARN,
     "set gtid_strict_mode=ON: else numbers of a domain may come twice, and a position can be ambiguous"},
};

static bool judge_setting(struct maria_conn *conn, const struct setting *s, binlog_each_check *each,
                          void *ctx, struct err *err)
{
    char sql[200], text[700];
    char *value = NULL;
    (void)snprintf(sql, sizeof sql, "SELECT @@global.%s", s->name);
    if (!maria_query_text(conn, sql, 0, &value, err))
        return false;
    const char *has = value != NULL ? value : "";
    bool fits = strcasecmp(has, s->wanted) == 0;
    (void)snprintf(text, sizeof text, "%s=%s%s%s", s->name, has, fits ? "" : ". Hint: ", fits ? "" : s->hint);
    each(ctx, fits ? BINLOG_CHECK_PASS : s->otherwise, s->name, text);
    free(value);
    return true;
}

static bool judge_keeping(struct maria_conn *conn, binlog_each_check *each, void *ctx, struct err *err)
{
    char text[400];
    char *value = NULL;
    if (!maria_query_text(conn, "SELECT @@global.binlog_expire_logs_seconds", 0, &value, err))
        return false;
    unsigned long long seconds = value != NULL ? strtoull(value, NULL, 10) : 0;
    bool fits = seconds == 0 || seconds >= KEEP_SECONDS_MIN; /* 0 = for ever */
    (void)snprintf(
        text, sizeof text, "binlog_expire_logs_seconds=%llu%s", seconds,
        fits ? ""
             : ". Hint: files are purged sooner than a day: who was away for longer has to copy all again");
    each(ctx, fits ? BINLOG_CHECK_PASS : BINLOG_CHECK_WARN, "binlog_expire_logs_seconds", text);
    free(value);
    return true;
}

/* "a,b" has "b". */
static bool is_listed(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = list; *p != '\0'; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (n == len && strncmp(p, name, len) == 0)
            return true;
        p += n;
    }
    return false;
}

struct filters {
    char *only, *never;
};

static bool take_filters(void *ctx, char **cells, size_t count, struct err *err)
{
    struct filters *f = ctx;
    if (count < 4)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of SHOW MASTER STATUS");
    free(f->only);
    free(f->never);
    f->only = xstrdup(cells[2] != NULL ? cells[2] : "");
    f->never = xstrdup(cells[3] != NULL ? cells[3] : "");
    return true;
}

/* What the server leaves out of its binlog would be missing without a word. Nothing to be said without BINLOG MONITOR, which is asked for. */
static bool judge_filters(struct maria_conn *conn, binlog_each_check *each, void *ctx, struct err *err)
{
    char text[700];
    struct filters f = {0};
    struct err refused = ERR_INIT;
    if (!maria_query(conn, "SHOW MASTER STATUS", take_filters, &f, &refused) && refused.code != ERR_AUTH) {
        *err = refused;
        return false;
    }
    const char *only = f.only != NULL ? f.only : "", *never = f.never != NULL ? f.never : "";
    bool none = *only == '\0' && *never == '\0',
         ours = (*only == '\0' || is_listed(only, maria_database(conn))) &&
                !is_listed(never, maria_database(conn));
    (void)snprintf(text, sizeof text, "binlog-do-db=%.200s binlog-ignore-db=%.200s%s", only, never,
                   none ? ""
                        : ". Hint: take them away: what a server leaves out of its binlog is not captured, "
                          "and nobody is told");
    if (f.only != NULL)
        each(ctx,
             none   ? BINLOG_CHECK_PASS
             : ours ? BINLOG_CHECK_WARN
                    : BINLOG_CHECK_FAIL,
             "binlog filters", text);
    free(f.only);
    free(f.never);
    return true;
}

struct grants {
    bool slave, monitor;
};

/* "GRANT SELECT, REPLICATION SLAVE ON *.* TO `u`@`%`": also those of the active role. */
static bool each_grant(void *ctx, char **cells, size_t count, struct err *err)
{
    struct grants *grants = ctx;
    (void)err;
    const char *text = count > 0 && cells[0] != NULL ? cells[0] : "", *on = strstr(text, " ON *.* TO ");
    if (on == NULL)
        return true;
    char *what = xstrndup(text, (size_t)(on - text));
    bool all = strstr(what, "ALL PRIVILEGES") != NULL;
    grants->slave = grants->slave || all || strstr(what, "REPLICATION SLAVE,") != NULL ||
                    (strlen(what) >= 17 && strcmp(what + strlen(what) - 17, "REPLICATION SLAVE") == 0);
    grants->monitor = grants->monitor || all || strstr(what, "BINLOG MONITOR") != NULL ||
                      strstr(what, "REPLICATION CLIENT") != NULL;
    free(what);
    return true;
}

static bool judge_rights(struct maria_conn *conn, binlog_each_check *each, void *ctx, struct err *err)
{
    struct grants grants = {0};
    if (!maria_query(conn, "SHOW GRANTS", each_grant, &grants, err))
        return false;
    each(ctx, grants.slave ? BINLOG_CHECK_PASS : BINLOG_CHECK_FAIL, "REPLICATION SLAVE",
         grants.slave
             ? "granted"
             : "not granted: the binlog cannot be read. Hint: GRANT REPLICATION SLAVE ON *.* TO the user");
    each(ctx, grants.monitor ? BINLOG_CHECK_PASS : BINLOG_CHECK_WARN, "BINLOG MONITOR",
         grants.monitor ? "granted"
                        : "not granted: how much of the binlog is there cannot be told. Hint: GRANT BINLOG "
                          "MONITOR ON *.* TO "
                          "the user");
    return true;
}

bool binlog_check(struct maria_conn *conn, binlog_each_check *each, void *ctx, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (!judge_setting(conn, &settings[i], each, ctx, err))
            return false;
    }
    return judge_keeping(conn, each, ctx, err) && judge_filters(conn, each, ctx, err) &&
           judge_rights(conn, each, ctx, err);
}
