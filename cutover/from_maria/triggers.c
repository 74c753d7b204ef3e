/*
 * Owns: the triggers on a source that is MariaDB: put up while writers go on, letting everything pass as long as nobody holds the lock of
 * closing (from_maria.h), looked at before the decision, taken away by an abort.
 *
 * A trigger's DDL needs the table for itself for a moment: it is tried for a second at a time, so that nobody waits behind it for long. After
 * the grace time whoever has a transaction open there is ended, readers as well: they keep the table, too.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reverse.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/hash.h"
#include "cutover/deadline.h"
#include "cutover/from_maria/from_maria.h"
#include "maria/names.h"
#include "maria/quote.h"

static const char *const events[] = {"INSERT", "UPDATE", "DELETE"};

/* Names are the whole database's; a table's may be as long as one can be. */
static void trigger_name(const struct cutover *co, const struct cutover_table *t, size_t event, char ret[64])
{
    uint64_t hash = hash_fnv1a(HASH_FNV1A, co->pipeline, strlen(co->pipeline) + 1);
    hash = hash_fnv1a(hash, t->table, strlen(t->table));
    (void)snprintf(ret, 64, "crossfade_freeze_%c_%016" PRIx64, events[event][0] | 0x20, hash);
}

bool from_maria_apply_user(struct cutover *co, char **ret, struct err *err)
{
    char forward[64];
    config_other_pipeline(co->cfg, forward);
    const char *params[] = {forward};
    if (!session_text(co->from_maria->main,
                      "SELECT MIN(l.USER) FROM information_schema.PROCESSLIST l JOIN crossfade_position p ON "
                      "p.pipeline = $1 WHERE l.ID = IS_USED_LOCK(CONCAT('crossfade apply ', "
                      "SHA1(CONCAT_WS('\\n', DATABASE(), p.pipeline, p.shard))))",
                      1, params, ret, err))
        return err_wrap(err, "what apply comes to the source as");
    return *ret != NULL ||
           err_set(err, ERR_BUSY,
                   "apply of pipeline %s does not run, and what it comes as must pass the triggers: start it",
                   forward);
}

/* The same for all tables and events. */
static const char *trigger_body(struct cutover *co, struct err *err)
{
    char *user CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (co->from_maria->body != NULL)
        return co->from_maria->body;
    if (!from_maria_apply_user(co, &user, err))
        return NULL;
    strbuf_adds(&sql,
                "BEGIN DECLARE crossfade_state varchar(16) DEFAULT NULL; DECLARE CONTINUE HANDLER FOR NOT "
                "FOUND BEGIN END; IF BINARY LEFT(USER(), CHAR_LENGTH(USER()) - LOCATE('@', REVERSE(USER()))) "
                "<> BINARY ");
    maria_quote_literal(&sql, user);
    strbuf_adds(&sql, " THEN SELECT d.state INTO crossfade_state FROM ");
    maria_quote_ident(&sql, from_maria_database(co));
    strbuf_adds(&sql, ".crossfade_decision d WHERE d.pipeline = ");
    maria_quote_literal(&sql, co->pipeline);
    strbuf_adds(&sql, " LOCK IN SHARE MODE; IF crossfade_state = 'switched' OR (crossfade_state = 'open' AND "
                      "IS_USED_LOCK(");
    maria_quote_literal(&sql, co->from_maria->lock_name);
    strbuf_adds(
        &sql,
        ") IS NOT NULL) THEN SIGNAL SQLSTATE '25006' SET MYSQL_ERRNO = 1792, MESSAGE_TEXT = 'database is "
        "closed to writes: it has moved or is moving to another server'; END IF; END IF; END");
    if (strbuf_ok(&sql, "trigger", err))
        co->from_maria->body = strbuf_detach(&sql);
    strbuf_release(&sql);
    return co->from_maria->body;
}

static bool read_triggers(struct cutover *co, struct rowset **ret, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    strbuf_adds(&st.sql, "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, ACTION_STATEMENT, EVENT_OBJECT_TABLE, "
                         "CONCAT_WS(' ', ACTION_TIMING, EVENT_MANIPULATION) FROM "
                         "information_schema.TRIGGERS WHERE TRIGGER_NAME LIKE 'crossfade\\_freeze\\_%' AND "
                         "TRIGGER_SCHEMA IN (");
    from_maria_add_databases(co, &st.sql);
    strbuf_adds(&st.sql, ") ORDER BY BINARY TRIGGER_NAME");
    bool ok = session_query(co->from_maria->watch, &st, ret, err);
    strbuf_release(&st.sql);
    return ok || err_wrap(err, "triggers of the source");
}

/* The row of one of that name, whatever it stands on; -1: there is none. A table that is renamed takes its triggers along. */
static int find_trigger(const struct cutover *co, const struct rowset *rs, const struct cutover_table *t,
                        size_t event, char ret_name[64])
{
    trigger_name(co, t, event, ret_name);
    return from_maria_row(rs, maria_database_of(from_maria_database(co), t->schema), ret_name);
}

static bool is_on(const struct rowset *rs, int row, const struct cutover_table *t)
{
    char table[MARIA_NAME_BYTES];
    (void)maria_name(t->table, table);
    return strcmp(rowset_cell(rs, row, 3), table) == 0;
}

/* Whether it stands as it should. */
static bool stands(const struct rowset *rs, int row, const struct cutover_table *t, size_t event,
                   const char *body)
{
    char when[24];
    (void)snprintf(when, sizeof when, "BEFORE %s", events[event]);
    return row >= 0 && is_on(rs, row, t) && strcmp(rowset_cell(rs, row, 4), when) == 0 &&
           strcmp(rowset_cell(rs, row, 2), body) == 0;
}

static bool was_too_late(const struct err *err)
{
    return strcmp(err->sqlstate, "55P03") == 0 || strcmp(err->sqlstate, "57014") == 0 ||
           strcmp(err->sqlstate, "40P01") == 0;
}

/* Whoever has a transaction open in our databases for longer than the grace time, and is none of our roles. */
static bool end_holders(struct cutover *co, struct err *err)
{
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
    ROWSET_AUTO rs = NULL;
    strbuf_addf(&st.sql,
                "SELECT l.ID, l.USER, l.HOST FROM information_schema.INNODB_TRX t JOIN "
                "information_schema.PROCESSLIST l ON l.ID = t.trx_mysql_thread_id WHERE t.trx_started "
                "< " MARIA_MACHINE_TIME " - "
                "INTERVAL %" PRId64
                " MICROSECOND AND l.USER <> SUBSTRING_INDEX(USER(), '@', 1) AND NOT EXISTS "
                "(SELECT 1 FROM crossfade_position p WHERE l.ID = IS_USED_LOCK(CONCAT('crossfade apply ', "
                "SHA1(CONCAT_WS('\\n', DATABASE(), p.pipeline, p.shard))))) AND (l.DB IS NULL OR l.DB IN (",
                config_int(co->cfg, "cutover.straggler_grace_ms") * 1000);
    from_maria_add_databases(co, &st.sql);
    strbuf_adds(&st.sql, "))");
    bool ok = session_query(co->from_maria->watch, &st, &rs, err);
    strbuf_release(&st.sql);
    if (ok)
        from_maria_end(co, rs);
    return ok || err_wrap(err, "who keeps tables of the source (GRANT PROCESS ON *.* to our role shows it)");
}

static bool in_short_tries(struct cutover *co, const char *sql, struct err *err)
{
    int64_t begin_us = clock_mono_us(), grace_us = config_int(co->cfg, "cutover.straggler_grace_ms") * 1000;
    int64_t deadline_us = begin_us + grace_us + config_int(co->cfg, "cutover.freeze_timeout_ms") * 1000;
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (session_exec(co->from_maria->main, sql, &now))
            return true;
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while triggers were put up");
        if (!was_too_late(&now)) {
            *err = now;
            return false;
        }
        if (clock_mono_us() > deadline_us || deadline_passed(co))
            return err_set(err, ERR_TIMEOUT,
                           "the table was not to be had: a transaction or a long statement keeps it%s",
                           co->straggler_why);
        if (clock_mono_us() - begin_us >= grace_us && !end_holders(co, err))
            return false;
        (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
    }
}

static bool run_ddl(struct cutover *co, struct strbuf *sql, struct err *err)
{
    bool ok = strbuf_ok(sql, "trigger", err) && in_short_tries(co, sql->data, err);
    strbuf_release(sql);
    return ok;
}

static bool create_trigger(struct cutover *co, const struct cutover_table *t, size_t event, const char *name,
                           const char *body, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "CREATE OR REPLACE TRIGGER ");
    maria_quote_name(&sql, maria_database_of(from_maria_database(co), t->schema), name);
    strbuf_addf(&sql, " BEFORE %s ON ", events[event]);
    maria_quote_table(&sql, from_maria_database(co), t->schema, t->table);
    strbuf_addf(&sql, " FOR EACH ROW %s", body);
    return run_ddl(co, &sql, err);
}

/* OR REPLACE does not take a name from another table. */
static bool drop_trigger(struct cutover *co, const struct cutover_table *t, const char *name, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "DROP TRIGGER IF EXISTS ");
    maria_quote_name(&sql, maria_database_of(from_maria_database(co), t->schema), name);
    return run_ddl(co, &sql, err);
}

static bool arm_event(struct cutover *co, const struct rowset *there, const struct cutover_table *t,
                      size_t event, const char *body, struct err *err)
{
    char name[64];
    int row = find_trigger(co, there, t, event, name);
    if (stands(there, row, t, event, body))
        return true;
    return failpoint("cutover.arm_table", err) &&
           (row < 0 || is_on(there, row, t) || drop_trigger(co, t, name, err)) &&
           create_trigger(co, t, event, name, body, err);
}

bool from_maria_arm(struct cutover *co, struct err *err)
{
    const char *body = trigger_body(co, err);
    ROWSET_AUTO there = NULL;
    co->straggler_why[0] = '\0';
    if (body == NULL || !read_triggers(co, &there, err))
        return false;
    for (size_t i = 0; i < co->table_count * ARRAY_LEN(events); i++) {
        const struct cutover_table *t = &co->tables[i / ARRAY_LEN(events)];
        if (!arm_event(co, there, t, i % ARRAY_LEN(events), body, err))
            return err_wrap(err, "the source cannot be prepared for its freeze: table=%s.%s", t->schema,
                            t->table);
    }
    return true;
}

bool from_maria_prepared(struct cutover *co, char **ret, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    struct strbuf names = STRBUF_INIT(4096);
    *ret = NULL;
    if (!session_ask(co->from_maria->watch, "XA RECOVER", 0, NULL, &rs, err))
        return err_wrap(err, "prepared transactions of the source");
    bool ok = true;
    for (int i = 0; ok && i < rowset_rows(rs); i++) {
        char *id CLEANUP(free_ptr) = xstrndup(rowset_cell(rs, i, 3), MIN_OF(40, rowset_cell_len(rs, i, 3)));
        const char *params[] = {id};
        int64_t ours = 0;
        ok = session_int64(
            co->from_maria->watch,
            "SELECT COUNT(*) FROM crossfade_position WHERE SHA1(CONCAT_WS('\\n', DATABASE(), pipeline, "
            "shard)) = $1",
            1, params, &ours, err);
        if (ours == 0)
            strbuf_addf(&names, "%s%.40s", names.len > 0 ? ", " : "", id);
    }
    if (ok && names.len > 0)
        *ret = strbuf_detach(&names);
    strbuf_release(&names);
    return ok;
}

bool from_maria_verify(struct cutover *co, struct err *err)
{
    const char *body = trigger_body(co, err);
    char *prepared CLEANUP(free_ptr) = NULL, name[64];
    ROWSET_AUTO there = NULL;
    bool held = false;
    if (body == NULL || !read_triggers(co, &there, err) || !from_maria_is_held(co, &held, err) ||
        !from_maria_prepared(co, &prepared, err))
        return false;
    for (size_t i = 0; i < co->table_count * ARRAY_LEN(events); i++) {
        const struct cutover_table *t = &co->tables[i / ARRAY_LEN(events)];
        size_t event = i % ARRAY_LEN(events);
        if (!stands(there, find_trigger(co, there, t, event, name), t, event, body))
            return err_set(
                err, ERR_BUSY,
                "table=%s.%s takes writes although the source is closed: its trigger %s was taken away or "
                "altered",
                t->schema, t->table, name);
    }
    if (prepared != NULL)
        return err_set(err, ERR_BUSY,
                       "XA transactions are prepared on the source: %s; XA COMMIT or XA ROLLBACK them",
                       prepared);
    return held ||
           err_set(err, ERR_TIMEOUT, "the server has let go of the lock of closing: the source serves again");
}

#define DROP_ROUNDS   10
#define DROP_PAUSE_MS 100
#define DROP_SLACK_MS 1000

/* One that is there under a transaction is left for the next round: nobody waits behind us. */
static bool drop_one(struct session *s, const struct rowset *rs, int row, bool *ret_gone, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct err now = ERR_INIT;
    strbuf_adds(&sql, "DROP TRIGGER IF EXISTS ");
    maria_quote_name(&sql, rowset_cell(rs, row, 0), rowset_cell(rs, row, 1));
    *ret_gone = strbuf_ok(&sql, "trigger", &now) && session_exec(s, sql.data, &now);
    strbuf_release(&sql);
    if (*ret_gone || was_too_late(&now))
        return true;
    *err = now;
    return false;
}

static bool drop_round(struct cutover *co, struct session *s, const struct rowset *rs, bool *gone,
                       int *ret_left, struct err *err)
{
    *ret_left = 0;
    for (int i = 0; i < rowset_rows(rs); i++) {
        if (!gone[i] && deadline_left_ms(co) > DROP_SLACK_MS && !drop_one(s, rs, i, &gone[i], err))
            return false;
        *ret_left += !gone[i];
    }
    return true;
}

static bool drop_rounds(struct cutover *co, struct session *s, const struct rowset *rs, int *ret_left,
                        struct err *err)
{
    bool *gone CLEANUP(free_ptr) = xcalloc((size_t)rowset_rows(rs) + 1, sizeof *gone);
    bool ok = true;
    *ret_left = rowset_rows(rs);
    for (int round = 0; ok && *ret_left > 0 && round < DROP_ROUNDS && deadline_left_ms(co) > DROP_SLACK_MS;
         round++) {
        if (round > 0)
            (void)poll(NULL, 0, DROP_PAUSE_MS);
        ok = drop_round(co, s, rs, gone, ret_left, err);
    }
    return ok;
}

static bool drop_without_waiting(struct cutover *co, struct session *s, const struct rowset *rs,
                                 int *ret_left, struct err *err)
{
    struct err ignored = ERR_INIT; /* the first one counts */
    if (!session_exec(s, "SET @crossfade_wait = @@SESSION.lock_wait_timeout, SESSION lock_wait_timeout = 0",
                      err))
        return false;
    bool ok = drop_rounds(co, s, rs, ret_left, err);
    return session_exec(s, "SET SESSION lock_wait_timeout = @crossfade_wait", ok ? err : &ignored) && ok;
}

static bool drop_triggers(struct cutover *co, struct session *s, const char *pipeline, int *ret_left,
                          struct err *err)
{
    char lock_name[64];
    ROWSET_AUTO rs = NULL;
    const char *params[] = {lock_name};
    *ret_left = 0;
    if (!from_maria_lock_name(s, pipeline, lock_name, err) ||
        !session_ask(
            s,
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_NAME LIKE "
            "'crossfade\\_freeze\\_%' AND LOCATE($1, ACTION_STATEMENT) > 0 ORDER BY 1, 2",
            1, params, &rs, err))
        return err_wrap(err, "triggers crossfade_freeze_*");
    return drop_without_waiting(co, s, rs, ret_left, err);
}

void from_maria_clean(struct cutover *co, struct session *s, const char *pipeline, const char *side)
{
    struct err failed = ERR_INIT;
    int left = 0;
    if (!drop_triggers(co, s, pipeline, &left, &failed))
        cutover_say(co, "triggers crossfade_freeze_* on the %s are left, and let everything pass: %s", side,
                    failed.text);
    else if (left > 0)
        cutover_say(co,
                    "%d triggers crossfade_freeze_* on the %s could not be dropped without waiting; they let "
                    "everything pass",
                    left, side);
}
