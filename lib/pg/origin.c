/*
 * See origin.h. Sources in the server (the same from 14 to 18): origin.c (an origin is acquired by one process; its place in shared memory, of
 * which there are max_replication_slots, or max_active_replication_origins from 18 on, stays taken until it is dropped), xact.c
 * (XactLogCommitRecord writes the session's origin, LSN and time; nothing resets them afterwards), twophase.c (the mark of a prepared
 * transaction is that of the session that commits it).
 */
#include "pg/origin.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"

#define HELD     "55006" /* by another session */
#define NOT_SO   "55000" /* max_replication_slots is 0, or the session has one: a pooler's */
#define NO_ROOM  "53400"
#define DENIED   "42501"
#define THERE    "23505" /* somebody has made it meanwhile */
#define VANISHED "42704"
#define HELD_US  INT64_C(5000000)
#define PAUSE_MS 20
#define LACKS_SQL                                                                                            \
    "SELECT coalesce(string_agg(f, ', '), '') FROM unnest('{\"pg_replication_origin_create(text)\","         \
    "\"pg_replication_origin_session_setup(text)\","                                                         \
    "\"pg_replication_origin_xact_setup(pg_lsn, timestamptz)\"}'::text[]) f WHERE NOT "                      \
    "has_function_privilege('pg_catalog.' || f, 'EXECUTE')"

enum outcome { OUTCOME_FAILED = 0, OUTCOME_SET, OUTCOME_HELD, OUTCOME_WITHOUT };

bool pg_origin_lacks(struct pg_conn *conn, char **ret, struct err *err)
{
    return pg_query_text(conn, LACKS_SQL, 0, NULL, ret, err);
}

bool pg_origin_pipeline(const char *name, char *ret, size_t size)
{
    size_t prefix = sizeof PG_ORIGIN_PREFIX - 1;
    if (strncmp(name, PG_ORIGIN_PREFIX, prefix) != 0)
        return false;
    (void)snprintf(ret, size, "%.*s", (int)strcspn(name + prefix, ":"), name + prefix);
    return true;
}

/* The server's refusal, as far as work goes on without an origin. */
static enum outcome judge(struct pg_conn *conn, struct pg_origin *origin, struct err *err)
{
    const char *state = err->sqlstate;
    if (strcmp(state, HELD) == 0)
        return OUTCOME_HELD;
    if (strcmp(state, VANISHED) == 0) {
        err->code = ERR_TRANSIENT;
        return OUTCOME_FAILED;
    }
    if (strcmp(state, NO_ROOM) == 0)
        (void)snprintf(origin->why_not, sizeof origin->why_not,
                       "the server has no room for another one: raise %s (a restart), or drop origins that "
                       "nobody needs (pg_replication_origin_drop)",
                       pg_server_version(conn) >= 180000 ? "max_active_replication_origins"
                                                         : "max_replication_slots");
    else if (strcmp(state, NOT_SO) == 0 || strcmp(state, DENIED) == 0)
        (void)snprintf(origin->why_not, sizeof origin->why_not, "%.230s", err->text);
    else
        return OUTCOME_FAILED;
    err_clear(err);
    return OUTCOME_WITHOUT;
}

static bool name_it(struct pg_conn *conn, const char *pipeline, const char *part,
                    char ret[PG_ORIGIN_NAME_MAX], bool *ret_there, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {PG_ORIGIN_PREFIX, pipeline, part};
    if (!pg_query(conn,
                  "SELECT x.name, EXISTS (SELECT FROM pg_catalog.pg_replication_origin o WHERE o.roname = "
                  "x.name) FROM (SELECT $1::text || $2::text || ':' || oid || ':' || $3::text AS name FROM "
                  "pg_catalog.pg_database WHERE datname = current_database()) x",
                  3, params, &res, err))
        return false;
    if (pg_rows(res) != 1 || pg_cell_len(res, 0, 0) >= PG_ORIGIN_NAME_MAX)
        return err_set(err, ERR_PROTOCOL, "no name for a replication origin of pipeline %s", pipeline);
    memcpy(ret, pg_cell(res, 0, 0), pg_cell_len(res, 0, 0) + 1);
    *ret_there = pg_cell_bool(res, 0, 1);
    return true;
}

static bool call(struct pg_conn *conn, const char *sql, const char *name, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return pg_query(conn, sql, 1, &name, &res, err);
}

static enum outcome acquire(struct pg_conn *conn, const char *pipeline, const char *part,
                            struct pg_origin *origin, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    if (!name_it(conn, pipeline, part, origin->name, &there, err))
        return OUTCOME_FAILED;
    if (!there && !call(conn, "SELECT pg_catalog.pg_replication_origin_create($1)", origin->name, err)) {
        if (strcmp(err->sqlstate, THERE) != 0)
            return judge(conn, origin, err);
        err_clear(err);
    }
    if (!call(conn, "SELECT pg_catalog.pg_replication_origin_session_setup($1)", origin->name, err))
        return judge(conn, origin, err);
    if (!pg_query(conn, "SELECT " PG_ORIGIN_MARK("'0/0'"), 0, NULL, &res, err))
        return OUTCOME_FAILED;
    origin->set = true;
    return OUTCOME_SET;
}

/* An earlier session lets go of its locks a moment before its origin. */
static enum outcome wait_for(struct pg_conn *conn, const char *pipeline, const char *part,
                             struct pg_origin *origin, struct err *err)
{
    int64_t until_us = clock_mono_us() + HELD_US;
    enum outcome outcome;
    while ((outcome = acquire(conn, pipeline, part, origin, err)) == OUTCOME_HELD) {
        if (clock_mono_us() >= until_us) {
            err->code = ERR_TRANSIENT;
            (void)err_wrap(err, "another apply of this pipeline is connected to the target (one with "
                                "another number of shards?) and has its place; it is waited for");
            return OUTCOME_FAILED;
        }
        err_clear(err);
        (void)poll(NULL, 0, PAUSE_MS);
    }
    return outcome;
}

bool pg_origin_set_up(struct pg_conn *conn, const char *pipeline, const char *part, struct pg_origin *ret,
                      struct err *err)
{
    struct pg_origin origin = {0};
    char *lacks CLEANUP(free_ptr) = NULL;
    enum outcome outcome = OUTCOME_WITHOUT;
    if (!pg_origin_lacks(conn, &lacks, err))
        return false;
    if (lacks[0] != '\0')
        (void)snprintf(origin.why_not, sizeof origin.why_not, "the role may not execute %.190s", lacks);
    else
        outcome = wait_for(conn, pipeline, part, &origin, err);
    if (outcome == OUTCOME_FAILED)
        return err_wrap(err, "replication origin %s", origin.name);
    if (!origin.set)
        origin.name[0] = '\0';
    *ret = origin;
    return true;
}
