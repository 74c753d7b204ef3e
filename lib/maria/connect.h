/*
 * Connecting to MariaDB, for every part of the project: URL (url.h), TLS, passwords (of the URL, else MARIADB_PWD, MYSQL_PWD, else
 * ~/.my.cnf, groups client and crossfade), and one reading of the server's errors.
 * @thread: a connection has one owner at a time.
 */
#ifndef MARIA_CONNECT_H
#define MARIA_CONNECT_H

#include <mysql.h>

#include "core/err.h"

struct maria_login {
    const char *url;
    const char *program; /* what the server's process list shows */
    /* CLIENT_FOUND_ROWS … With CLIENT_LOCAL_FILES the server can ask for files: the caller answers itself
     * (mysql_set_local_infile_handler), before its first statement. */
    unsigned long flags;
    size_t max_packet_bytes; /* of one answer; 0 = the library's */
    unsigned read_timeout_s; /* silence for so long is a broken connection; 0 = none */
};

/* The session speaks utf8mb4 and lets the server ask for no local file (but see flags); the rest of its settings is the caller's. A peer whose host is
 * gone is noticed within about a minute. *ret_database: the one that the URL names, malloc'd. */
bool maria_connect(const struct maria_login *login, MYSQL **ret, char **ret_database,
                   struct err *err) MUST_CHECK;
void maria_disconnect(MYSQL *my); /* NULL allowed */
/* An error of the server or of the library; `what` says at what. Values of rows are in err->detail only. Always false.
 * sqlstate: what PostgreSQL calls the same, where there is such a thing. */
bool maria_fail(unsigned number, const char *state, const char *text, const char *what, struct err *err);

#endif
