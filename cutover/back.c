/*
 * Owns: the other direction of a cutover. Forwards that is the way back, a pipeline from the target to the source that stands ready before
 * the decision; in a rollback it is the way there. Nothing of the state table differs: each switch proves that the other direction works,
 * notes where it starts from, and opens what the switch before it has closed.
 *
 * Where it starts from: at the decision both sides are closed and were compared. A marker that is written to the target then gives the
 * fence in the other pipeline's journal behind which nothing but new writes can stand; it is noted as a PASS of that pipeline, with this
 * cutover's id. So a rollback compares what was written since, and needs no comparison of everything while an application is down.
 * Only a PASS from that moment on counts (back_last_switch()): what apply wrote until then is in no journal of that pipeline.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "begin_maria.h"
#include "compare/compare.h"
#include "config/reverse.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "deadline.h"
#include "maria/names.h"
#include "refuse.h"
#include "schema/parity.h"

bool back_of(const struct cutover *co, struct back *ret, struct err *err)
{
    struct config *cfg = NULL;
    if (!config_reversed(co->cfg, &cfg, err))
        return false;
    *ret = (struct back){.cfg = cfg,
                         .marker = {.main = co->maria},
                         .view = {.cfg = cfg,
                                  .store = co->from_maria != NULL ? &store_mariadb : &store_postgres,
                                  .talk = co->talk,
                                  .pipeline = config_text(cfg, "pipeline"),
                                  .tables = co->tables,
                                  .table_count = co->table_count,
                                  .source = co->target,
                                  .target = co->source,
                                  .maria = co->from_maria != NULL ? co->from_maria->main : NULL}};
    if (co->maria != NULL)
        ret->view.from_maria = &ret->marker;
    return true;
}

void back_release(struct back *back)
{
    config_free(back->cfg);
    back->cfg = NULL;
}

/* Its first start leaves a mark, for there is no slot. */
static bool maria_is_set_up(struct back *back, bool *ret, struct err *err)
{
    const char *params[] = {back->view.pipeline};
    bool there = false;
    int64_t count = 0;
    bool ok =
        from_maria_there(back->marker.main, "crossfade_marker", &there, err) &&
        (!there ||
         session_int64(back->marker.main,
                       "SELECT COUNT(*) FROM crossfade_marker WHERE kind = '" MARIA_MARKER_BEGUN "' AND "
                       "pipeline = $1",
                       1, params, &count, err));
    *ret = count > 0;
    return ok || err_wrap(err, "whether pipeline %s is set up", back->view.pipeline);
}

bool back_is_set_up(struct back *back, bool *ret, struct err *err)
{
    const char *params[] = {back->view.pipeline};
    if (back->view.from_maria != NULL)
        return maria_is_set_up(back, ret, err);
    return pg_query_bool(back->view.source,
                         "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = "
                         "'crossfade_' || $1"
                         " AND database = pg_catalog.current_database())"
                         " AND pg_catalog.to_regclass('crossfade.marker') IS NOT NULL",
                         1, params, ret, err) ||
           err_wrap(err, "whether pipeline %s is set up", back->view.pipeline);
}

bool back_trip(struct back *back, int64_t limit_ms, int64_t *ret_us, struct err *err)
{
    char nonce[40];
    lsn_t lsn;
    bool there = false;
    int64_t start_us = clock_mono_us();
    if (back->view.target == NULL) /* MariaDB, that a cutover came to: its apply has run */
        there = true;
    else if (!pg_query_bool(back->view.target,
                            "SELECT pg_catalog.to_regclass('crossfade.position') IS NOT NULL", 0, NULL,
                            &there, err))
        return false;
    if (!there)
        return err_set(err, ERR_REFUSED, "its apply has never run");
    nonce_make(nonce);
    if (!marker_write(&back->view, "ping", nonce, &lsn, err) ||
        !drain_wait(&back->view, lsn, nonce, limit_ms, err))
        return false;
    *ret_us = clock_mono_us() - start_us;
    return true;
}

/* The other pipeline's first PASS: everything up to where its apply stands now, on both closed sides. */
static bool note_start(struct cutover *co, struct back *back, struct err *err)
{
    ROWSET_AUTO none = NULL;
    char *shapes CLEANUP(free_ptr) = NULL, *schema CLEANUP(free_ptr) = NULL;
    /* A rollback does not ask whether definitions were altered (gate no_ddl), so a cutover's pause is not lengthened for it. */
    bool is_asked = !config_is_reversed(back->cfg);
    if (!verify_shapes(&back->view, &shapes, err) ||
        (is_asked && !schema_fingerprint(back->cfg, back->view.source, &schema, err)))
        return false;
    const char *params[] = {back->view.pipeline, shapes, co->id, schema};
    return store_ask(&back->view, STORE_NOTE_START, 4, params, &none, err) ||
           err_wrap(err, "where pipeline %s starts from", back->view.pipeline);
}

static bool prove_and_note(struct cutover *co, struct back *back, struct err *err)
{
    int64_t took_us = 0;
    int64_t limit_ms = config_int(co->cfg, "cutover.max_lag_ms");
    return back_trip(back, MIN_OF(limit_ms, MAX_OF(1, deadline_left_ms(co))), &took_us, err) &&
           failpoint("cutover.way_back", err) && note_start(co, back, err);
}

/* A rollback is not kept from going on by what it leaves. */
static bool may_go_without(struct cutover *co, const struct err *why)
{
    if (!config_is_reversed(co->cfg))
        return false;
    cutover_say(co, "the way there is not proven: %s. Compare everything before the next cutover", why->text);
    return true;
}

bool back_stands(struct cutover *co, struct err *err)
{
    struct back back;
    struct err why = ERR_INIT;
    const char *mode = config_text(co->cfg, "cutover.reverse");
    bool set_up = false, required = strcmp(mode, "required") == 0 && !config_is_reversed(co->cfg);
    if (strcmp(mode, "off") == 0)
        return failpoint("cutover.way_back", err);
    bool ok = back_of(co, &back, &why);
    if (ok) {
        ok = back_is_set_up(&back, &set_up, &why) && (set_up ? prove_and_note(co, &back, &why) : !required);
        back_release(&back);
    } else {
        ok = !required && why.code == ERR_CONFIG;
    }
    if (ok && !set_up)
        return failpoint("cutover.way_back", err);
    if (ok || may_go_without(co, &why))
        return true;
    if (!err_is_set(&why))
        err_set(&why, ERR_REFUSED, "the reversed pipeline is not set up");
    *err = why;
    return err_wrap(err, "there is no way back (cutover.reverse: %s)", mode);
}

/* A MariaDB target: of what a rollback has closed there. */
static bool maria_last_switch(struct back *back, char ret_id[40], char ret_at[40], struct err *err)
{
    const char *params[] = {back->view.pipeline};
    ROWSET_AUTO rs = NULL;
    bool there = false;
    if (!from_maria_there(back->marker.main, "crossfade_decision", &there, err) ||
        (there &&
         !session_ask(back->marker.main,
                      "SELECT cutover_id, changed_at FROM crossfade_decision WHERE pipeline = $1 AND "
                      "state = 'switched'",
                      1, params, &rs, err)))
        return false;
    if (there && rowset_rows(rs) > 0) {
        (void)snprintf(ret_id, 40, "%s", rowset_cell(rs, 0, 0));
        (void)snprintf(ret_at, 40, "%s", rowset_cell(rs, 0, 1));
    }
    return true;
}

bool back_last_switch(struct cutover *co, char ret_id[40], char ret_at[40], struct err *err)
{
    struct back back;
    struct err none = ERR_INIT;
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    (void)snprintf(ret_id, 40, "%s", "");
    (void)snprintf(ret_at, 40, "-infinity");
    if (!back_of(co, &back, &none))
        return true;
    if (co->target == NULL) {
        bool asked = maria_last_switch(&back, ret_id, ret_at, err);
        back_release(&back);
        return asked || err_wrap(err, "the last switch of the other direction");
    }
    const char *params[] = {back.view.pipeline};
    bool ok =
        pg_query_bool(co->target, "SELECT pg_catalog.to_regclass('crossfade.decision') IS NOT NULL", 0, NULL,
                      &there, err) &&
        (!there || pg_query(co->target,
                            "SELECT cutover_id, changed_at::text FROM crossfade.decision WHERE pipeline = $1"
                            " AND state = 'switched'",
                            1, params, &res, err));
    if (ok && there && pg_rows(res) > 0) {
        (void)snprintf(ret_id, 40, "%s", pg_cell(res, 0, 0));
        (void)snprintf(ret_at, 40, "%s", pg_cell(res, 0, 1));
    }
    back_release(&back);
    return ok || err_wrap(err, "the last switch of the other direction");
}

/* --- behind the decision --- */

static bool pass_and_return(struct cutover *co, const char *pipeline, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {pipeline};
    if (pg_exec(co->target, "BEGIN", err) && refuse_pass_on(co->target, pipeline, err) &&
        pg_query(co->target,
                 "UPDATE crossfade.decision SET state = 'returned', changed_at = clock_timestamp() WHERE "
                 "pipeline = $1"
                 " AND state = 'switched'",
                 1, params, &res, err) &&
        pg_exec(co->target, "COMMIT", err))
        return true;
    struct err ignored = ERR_INIT; /* the first one counts */
    if (!pg_busy(co->target) && pg_in_transaction(co->target))
        (void)!pg_exec(co->target, "ROLLBACK", &ignored);
    return err_wrap(err, "the target cannot be opened to writers");
}

bool back_open_target(struct cutover *co, struct err *err)
{
    char id[40], at[40];
    struct back back;
    struct err none = ERR_INIT;
    if (!cutover_reconnect_target(co, err) || !back_last_switch(co, id, at, err))
        return false;
    bool closed = id[0] != '\0';
    if (closed && back_of(co, &back, &none)) {
        bool ok = co->target != NULL ? pass_and_return(co, back.view.pipeline, err)
                                     : from_maria_pass_and_return(co, back.view.pipeline, err);
        back_release(&back);
        if (!ok)
            return false;
        cutover_say(co, "the target takes writes again (cutover %s had closed it)", id);
    }
    return failpoint("cutover.reopened", err);
}

#define DROP_TRIES 3

static bool drop_one(struct cutover *co, const char *schema, const char *table)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool done = false;
    strbuf_adds(&sql, "DROP TRIGGER IF EXISTS " FREEZE_TRIGGER " ON ");
    pg_quote_table(&sql, schema, table);
    for (unsigned attempt = 0; !done && attempt < DROP_TRIES; attempt++) {
        struct err now = ERR_INIT;
        if (attempt > 0)
            (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 50, 500) / 1000));
        done = strbuf_ok(&sql, "trigger", &now) && pg_exec(co->target, sql.data, &now);
    }
    strbuf_release(&sql);
    return done;
}

/* Those that call the function of the pipeline that has closed it. */
static bool their_triggers(struct cutover *co, struct pg_result **ret, struct err *err)
{
    struct back back;
    if (!back_of(co, &back, err))
        return false;
    bool ok = refuse_triggers(co->target, back.view.pipeline, ret, err);
    back_release(&back);
    return ok;
}

static void clean_maria(struct cutover *co)
{
    struct back back;
    struct err failed = ERR_INIT;
    if (!back_of(co, &back, &failed)) /* there is no way back, so none has closed it */
        return;
    from_maria_clean(co, co->maria, back.view.pipeline, "target");
    back_release(&back);
}

void back_clean_target(struct cutover *co)
{
    PG_RESULT_AUTO rows = NULL;
    struct err failed = ERR_INIT;
    int left = 0;
    if (co->target == NULL) {
        clean_maria(co);
        return;
    }
    if (!their_triggers(co, &rows, &failed) || !pg_exec(co->target, "SET lock_timeout = 300", &failed)) {
        cutover_say(co, "triggers " FREEZE_TRIGGER " on the target are left: %s", failed.text);
        return;
    }
    for (int i = 0; i < pg_rows(rows); i++)
        left += !drop_one(co, pg_cell(rows, i, 0), pg_cell(rows, i, 1));
    if (!pg_exec(co->target, "SET lock_timeout = 0", &failed))
        cutover_say(co, "%s", failed.text);
    if (left > 0)
        cutover_say(co,
                    "%d triggers " FREEZE_TRIGGER
                    " on the target could not be dropped without waiting; they let everything pass",
                    left);
}

/* --- before its first start --- */

static const char may_begin_sql[] =
    "SELECT coalesce(bool_and(p.complete), false), EXISTS (SELECT FROM pg_catalog.pg_replication_origin o,"
    " pg_catalog.pg_database d WHERE d.datname = current_database()"
    " AND starts_with(o.roname, 'crossfade:' || $1 || ':' || d.oid || ':')) FROM crossfade.position p WHERE "
    "p.pipeline = $1";

static bool look_before_begin(struct pg_conn *conn, const char *other, const char *slot, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool begun = false, there = false;
    const char *params[] = {other};
    if (!pg_query_bool(conn,
                       "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = "
                       "'crossfade_' || $1)",
                       1, &slot, &begun, err) ||
        !pg_query_bool(conn, "SELECT pg_catalog.to_regclass('crossfade.position') IS NOT NULL", 0, NULL,
                       &there, err))
        return false;
    if (begun)
        return true;
    if (there && !pg_query(conn, may_begin_sql, 1, params, &res, err))
        return false;
    if (!there || !pg_cell_bool(res, 0, 0))
        return err_set(err, ERR_REFUSED,
                       "pipeline %s has not copied all rows yet: its way back begins behind that. Hint: "
                       "`crossfade status "
                       "--wait caught-up`",
                       other);
    return pg_cell_bool(res, 0, 1) || err_set(err, ERR_REFUSED,
                                              "apply of pipeline %s has no replication origin: all that it "
                                              "writes would be sent back. Hint: its log and "
                                              "`crossfade status` say why (no_origin)",
                                              other);
}

bool cutover_way_back_may_begin(const struct config *cfg, struct err *err)
{
    char other[64];
    struct pg_options options = {.application_name = "crossfade capture"};
    struct pg_conn *conn = NULL;
    config_other_pipeline(cfg, other);
    if (config_comes_from_mariadb(cfg))
        return maria_way_back_may_begin(cfg, other, err);
    if (!pg_open(config_text(cfg, "source.url"), &options, &conn, err))
        return err_wrap(err, "source.url");
    bool ok = look_before_begin(conn, other, config_text(cfg, "pipeline"), err);
    pg_close(conn);
    return ok;
}
