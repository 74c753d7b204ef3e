/*
 * The control tables on the target as a cutover reads and writes them, whichever server the target is: a dialect is eight functions and a
 * list of statements whose parameters and columns are the same in both (tests/component/cutover_store_test.c holds them against each
 * other). The decision row is on the source, and none of this file's. Private to cutover.
 * @thread owner; store_shut() from any
 */
#ifndef CUTOVER_STORE_STORE_H
#define CUTOVER_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "compare/session.h"
#include "core/attr.h"
#include "core/err.h"

struct cutover;
struct audit;

/* $1 is the pipeline unless said otherwise. */
enum store_statement {
    STORE_BEGIN =
        0, /* no parameter; each statement of the transaction sees what is committed when it begins, where it locks */
    STORE_LOCK,       /* → whether this session holds the lock of cutovers now */
    STORE_STEP_ADD,   /* $1 id, pipeline, seq, state, $5 detail (JSON); one that is there is replaced */
    STORE_STEP_STATE, /* $1 id, $2 seq → state; locks the row */
    STORE_STEP_READ,  /* $1 id, $2 seq → detail, the clock in microseconds since 1970; locks the row */
    STORE_STEP_WRITE, /* $1 id, $2 seq, $3 detail */
    STORE_FIND_OPEN, /* → of the newest that has not ended: id, seq, state, pause_began_us, final_lsn, nonce, read_share */
    STORE_ENDED, /* $1 id → whether it has */
    STORE_THERE, /* no parameter → whether there is a table of steps */
    STORE_LIST, /* $2 an id or NULL → newest first: id, state, began, changed, pause_us, reason, whether somebody is at it */
    STORE_STEPS,    /* $2 id → state, at, took_us (-1: not known) */
    STORE_POSITION, /* → of each shard: lsn, complete, nonce of the marker */
    STORE_APPLIED,  /* → the newest fence that is applied */
    STORE_BASELINE, /* $2 since when, $3 or of which switch → of the last PASS of all tables: fence id, lsn, id */
    STORE_SHAPES,         /* $1 its id → its tables' shapes (JSON) */
    STORE_NOTED_SCHEMA,   /* → the digest of definitions that it has noted */
    STORE_FULL_PASS,      /* → what the last comparison of everything took, ms */
    STORE_LAGS,           /* → of 7 days: how many, the 95th of 100, ms */
    STORE_PAST,           /* → of the last ten cutovers: state, what its step took, ms */
    STORE_SHADOW,         /* → of the last run: verdict, p95 of source and target, us */
    STORE_SHADOW_LATENCY, /* → p95 of source and target, us, age in s */
    STORE_RECORDS, /* $2 id → the newest ones' seq, state, at (us since 1970), detail; in their order */
    STORE_VERDICTS_THERE, /* no parameter → whether there is a table of verdicts */
    STORE_VERDICT_NEAR, /* $2 a time (ISO) or NULL = now, $3 "passed" or "last" before it, or "after" → of the newest: verdict, scope, when
                             (ISO), age in s, lsn, level, tables, rows, differences */
    STORE_NOTE_START, /* $2 shapes (JSON), $3 of which switch, $4 digest of definitions or NULL: a PASS of where apply stands */
    STORE_IDENTITY, /* no parameter → which database it is */
    STORE_STATEMENTS
};

struct store {
    const char *name; /* "PostgreSQL" */
    const char *sql[STORE_STATEMENTS];
    /* A session; its place in the cutover. renew: the one that is there, usable again and outside of a transaction, else a new one. */
    bool (*open)(struct cutover *co, struct err *err) MUST_CHECK;
    bool (*renew)(struct cutover *co, struct err *err) MUST_CHECK;
    void (*close)(struct cutover *co);
    /* Makes the control tables where they are missing. */
    bool (*make)(struct cutover *co, struct err *err) MUST_CHECK;
    bool (*ask)(struct cutover *co, const char *sql, int count, const char *const *params,
                struct rowset **ret, struct err *err) MUST_CHECK;
    /* Most time of one statement from now on; 0 = no limit. */
    bool (*limit)(struct cutover *co, int64_t ms, struct err *err) MUST_CHECK;
    int (*socket)(const struct cutover *co); /* -1: there is no session */
    bool (*audit)(struct cutover *co, struct audit **ret, struct err *err) MUST_CHECK;
};

extern const struct store store_postgres, store_mariadb;

/* Runs the script of MariaDB's control tables unless `needed`, a question to the catalog, is answered by 1. */
bool store_mariadb_make(struct cutover *co, const char *needed, struct err *err) MUST_CHECK;

/* By the scheme of target.url. */
const struct store *store_of_url(const char *url);

bool store_ask(struct cutover *co, enum store_statement what, int count, const char *const *params,
               struct rowset **ret, struct err *err) MUST_CHECK;
/* The first row's first column; malloc'd, NULL for null or without a row. */
bool store_text(struct cutover *co, enum store_statement what, int count, const char *const *params,
                char **ret, struct err *err) MUST_CHECK;
bool store_bool(struct cutover *co, enum store_statement what, int count, const char *const *params,
                bool *ret, struct err *err) MUST_CHECK;
bool store_begin(struct cutover *co, struct err *err) MUST_CHECK;
bool store_commit(struct cutover *co, struct err *err) MUST_CHECK;
/* For who waits long: asks something now and then, so that the session is not taken for that of a host that is gone; one that has gone by itself is
 * replaced, if it can be. */
void store_keep_in_touch(struct cutover *co);
/* holder_mariadb.c: the lock of cutovers, which somebody else has: the session of a process that is gone with its host is ended (*ret_freed). */
bool store_mariadb_free_lock(struct cutover *co, bool *ret_freed, struct err *err) MUST_CHECK;
/* Its name as an SQL literal; malloc'd. */
bool store_mariadb_lock_name(struct cutover *co, char **ret, struct err *err) MUST_CHECK;
/* Ends a transaction that may be there. */
bool store_rollback(struct cutover *co, struct err *err) MUST_CHECK;

#endif
