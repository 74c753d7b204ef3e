/*
 * The holder of a named lock (GET_LOCK) that is gone: the server keeps the session of a host that died without a word (power, network) until TCP
 * or wait_timeout finds out, which takes hours. Whoever waits for the lock ends a session that has been silent for longer than a live one ever is.
 * A role sees its own sessions, and may end them, without any right.
 * @thread any, one at a time for a connection
 */
#ifndef MARIA_HOLDER_H
#define MARIA_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* Apply speaks to its target every 15 s at least (apply.c, keep_in_touch), but while it reads one huge batch; so does a cutover that waits. */
#define MARIA_SILENT_MS 45000

/* A connection, whoever's it is. number: the first row's first column, 0 for null or without a row. */
struct maria_asker {
    void *conn;
    bool (*number)(void *conn, const char *sql, int64_t *ret, struct err *err);
    bool (*exec)(void *conn, const char *sql, struct err *err);
};

/* lock: its name, as an SQL expression. silent_ms: since its last statement ended. whose: for the log, "pipeline shop, shard 1/1". *ret_ended: the
 * session is, or is about to be, gone: the lock tells. */
bool maria_end_silent_holder(const struct maria_asker *asker, const char *lock, int64_t silent_ms,
                             const char *whose, bool *ret_ended, struct err *err) MUST_CHECK;

#endif
