/*
 * Owns: what a watch leaves on the target: its state in crossfade.cutover_watch and its events in the audit chain, both in one transaction. Events of
 * a time at which the target is away wait in memory, up to a limit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "cutover/back.h"
#include "watching.h"
#include "json/text.h"

#define EVENTS_MAX 1000

/* --- events --- */

void store_event(struct watching *w, const char *event, json_t *detail)
{
    char at[ISO_TIME_MAX];
    json_object_set_new(detail, "at", json_string(clock_iso(clock_wall_us(), at)));
    json_t *entry = json_pack("{s:s, s:o}", "event", event, "detail", detail);
    if (entry == NULL || json_array_size(w->unsaved) >= EVENTS_MAX) {
        log_event(LOG_LEVEL_ERROR, "watch_failed",
                  "text=\"an event %s is not in the audit chain: %d wait for the target\"", event,
                  EVENTS_MAX);
        json_decref(entry);
        return;
    }
    json_array_append_new(w->unsaved, entry);
}

static bool write_events(struct watching *w, struct audit *audit, struct err *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach(w->unsaved, i, entry)
    {
        if (!audit_append(audit, w->cutover_id, json_string_value(json_object_get(entry, "event")),
                          json_incref(json_object_get(entry, "detail")), NULL, err))
            return false;
    }
    return true;
}

/* --- the state as JSON --- */

static json_t *levels_json(const struct watching *w)
{
    json_t *levels = json_object();
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        for (size_t i = 0; i < w->triggers[k].level_count; i++) {
            const struct watch_level_state *l = &w->triggers[k].levels[i];
            json_object_set_new(
                levels, l->id,
                json_pack("{s:s, s:I, s:I, s:I, s:b, s:o}", "phase", trigger_phase_name(l->state.phase),
                          "since_us", (json_int_t)l->state.since_us, "readings",
                          (json_int_t)l->state.readings, "known_us", (json_int_t)l->state.known_us, "acted",
                          l->acted, "why", json_text(l->why)));
        }
    }
    return levels;
}

static json_t *poolers_json(const struct watching *w)
{
    json_t *poolers = json_array();
    for (size_t i = 0; i < WATCH_POOLERS_MAX && w->poolers[i].samples > 0; i++)
        json_array_append_new(poolers, json_pack("{s:f, s:I}", "us", w->poolers[i].us, "samples",
                                                 (json_int_t)w->poolers[i].samples));
    return poolers;
}

/* A restarted watch goes on to wait for the same marker: a new one would be young. */
static json_t *probe_json(const struct watching *w)
{
    char lsn[LSN_TEXT_MAX];
    return json_pack("{s:s, s:s, s:I, s:I, s:b}", "lsn", lsn_format(w->probe.lsn, lsn), "nonce",
                     w->probe.nonce, "sent_us", (json_int_t)w->probe.sent_us, "there_us",
                     (json_int_t)w->probe.there_us, "reverse", w->probe.reverse);
}

static char *state_text(const struct watching *w)
{
    json_t *state = json_pack("{s:i, s:o, s:o, s:o, s:{s:s, s:I, s:s, s:b}, s:{s:I, s:I, s:I, s:o}}",
                              "format", 1, "levels", levels_json(w), "poolers", poolers_json(w), "probe",
                              probe_json(w), "rollback", "cutover_id", w->rollback.cutover_id, "begun_us",
                              (json_int_t)w->rollback.begun_us, "outcome", w->rollback.outcome, "well",
                              w->rollback.well, "auto", "window_us", (json_int_t)w->automatic.window_us,
                              "attempts", (json_int_t)w->automatic.attempts, "not_before_us",
                              (json_int_t)w->automatic.not_before_us, "waits", json_text(w->automatic.waits));
    char *text = state != NULL ? json_dumps(state, JSON_COMPACT) : NULL;
    json_decref(state);
    return text;
}

static int64_t whole(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static void copy_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    (void)snprintf(out, size, "%s", text != NULL ? text : "");
}

/* A level that the configuration has no more is forgotten. */
static void take_levels(struct watching *w, const json_t *levels)
{
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        for (size_t i = 0; i < w->triggers[k].level_count; i++) {
            struct watch_level_state *l = &w->triggers[k].levels[i];
            const json_t *from = json_object_get(levels, l->id);
            char phase[16];
            copy_text(from, "phase", phase, sizeof phase);
            l->state = (struct trigger_state){.phase = trigger_phase_parse(phase),
                                              .since_us = whole(from, "since_us"),
                                              .readings = whole(from, "readings"),
                                              .known_us = whole(from, "known_us")};
            l->acted = json_is_true(json_object_get(from, "acted"));
            copy_text(from, "why", l->why, sizeof l->why);
        }
    }
}

static void take_probe(struct watching *w, const json_t *probe)
{
    char lsn[LSN_TEXT_MAX];
    copy_text(probe, "lsn", lsn, sizeof lsn);
    copy_text(probe, "nonce", w->probe.nonce, sizeof w->probe.nonce);
    w->probe.sent_us = whole(probe, "sent_us");
    w->probe.there_us = whole(probe, "there_us");
    w->probe.reverse = json_is_true(json_object_get(probe, "reverse"));
    if (!lsn_parse(lsn, &w->probe.lsn))
        w->probe.lsn = 0;
}

static void take_state(struct watching *w, const json_t *state)
{
    const json_t *rollback = json_object_get(state, "rollback"), *automatic = json_object_get(state, "auto"),
                 *poolers = json_object_get(state, "poolers");
    take_levels(w, json_object_get(state, "levels"));
    take_probe(w, json_object_get(state, "probe"));
    for (size_t i = 0; i < json_array_size(poolers) && i < WATCH_POOLERS_MAX; i++) {
        const json_t *from = json_array_get(poolers, i);
        w->poolers[i].us = json_number_value(json_object_get(from, "us"));
        w->poolers[i].samples = whole(from, "samples");
    }
    copy_text(rollback, "cutover_id", w->rollback.cutover_id, sizeof w->rollback.cutover_id);
    copy_text(rollback, "outcome", w->rollback.outcome, sizeof w->rollback.outcome);
    w->rollback.begun_us = whole(rollback, "begun_us");
    w->rollback.well = json_is_true(json_object_get(rollback, "well"));
    w->automatic.window_us = whole(automatic, "window_us");
    w->automatic.attempts = whole(automatic, "attempts");
    w->automatic.not_before_us = whole(automatic, "not_before_us");
    copy_text(automatic, "waits", w->automatic.waits, sizeof w->automatic.waits);
}

/* --- the row --- */

bool store_load(struct watching *w, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!watch_ask(&w->co, ASK_LOAD, 1, &w->pipeline, &rs, err))
        return err_wrap(err, "target: crossfade.cutover_watch");
    if (rowset_rows(rs) == 0)
        return true;
    json_t *state = json_loads(rowset_cell(rs, 0, 0), 0, NULL);
    if (whole(state, "format") != 1) {
        json_decref(state);
        return err_set(err, ERR_UNSUPPORTED,
                       "target: crossfade.cutover_watch: pipeline=%s: written by another version",
                       w->pipeline);
    }
    take_state(w, state);
    json_decref(state);
    return true;
}

static bool write_row(struct watching *w, struct err *err)
{
    char *text CLEANUP(free_ptr) = state_text(w);
    const char *params[] = {w->pipeline, text};
    ROWSET_AUTO rs = NULL;
    if (text == NULL)
        return err_set(err, ERR_NO_MEMORY, "the state of the watch does not become JSON");
    return watch_ask(&w->co, ASK_SAVE, 2, params, &rs, err);
}

static bool run(struct watching *w, const char *sql, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    return watch_ask_sql(&w->co, sql, 0, NULL, &rs, err);
}

static void undo(struct watching *w)
{
    const struct pg_conn *pg = w->co.target;
    struct err lost = ERR_INIT;
    bool inside = pg != NULL ? !pg_busy(pg) && pg_in_transaction(pg) : !session_busy(w->co.maria);
    if (inside && !run(w, "ROLLBACK", &lost))
        log_event(LOG_LEVEL_WARN, "rollback_failed", "text=\"%s\"", lost.text);
}

static bool write_all(struct watching *w, struct err *err)
{
    struct audit *audit = NULL;
    bool events = json_array_size(w->unsaved) > 0;
    if (events && !w->co.store->audit(&w->co, &audit, err)) /* it may make its table: no transaction yet */
        return false;
    bool ok = run(w, w->co.store->sql[STORE_BEGIN], err) && (!events || write_events(w, audit, err)) &&
              write_row(w, err) && run(w, "COMMIT", err);
    if (!ok)
        undo(w);
    bool waits = w->co.maria != NULL && session_busy(w->co.maria);
    if (audit != NULL && !waits)
        audit_settled(audit);
    audit_close(audit);
    if (waits) /* the transaction and the chain's lock go with it */
        watch_side_lost(&w->co);
    return ok;
}

bool store_save(struct watching *w, struct err *err)
{
    if (!watch_there(&w->co))
        return err_set(err, ERR_CONNECT, "the target is away");
    if (write_all(w, err)) {
        json_array_clear(w->unsaved);
        return true;
    }
    return err_wrap(err, "the state of the watch");
}

/* --- where the pipeline stands --- */

static enum watch_stage stage_of(const struct watching *w)
{
    if (w->cutover_id[0] == '\0' || strcmp(w->cutover_state, "aborted") == 0)
        return STAGE_BEFORE;
    if (strcmp(w->cutover_state, "done") != 0)
        return STAGE_CUTTING;
    bool back = w->rollback.well && strcmp(w->rollback.cutover_id, w->cutover_id) == 0;
    return back ? STAGE_BACK : STAGE_AFTER;
}

/* What the decision row of this pipeline says there is now; false: none, or it cannot be asked. */
static bool decision_is(struct cutover *side, const char *pipeline, const char *state)
{
    ROWSET_AUTO rs = NULL;
    struct err away = ERR_INIT;
    return watch_there(side) && watch_ask(side, ASK_DECISION, 1, &pipeline, &rs, &away) &&
           rowset_rows(rs) > 0 && strcmp(rowset_cell(rs, 0, 0), state) == 0;
}

/* Whether somebody has moved the application back, or is at it. What cannot be asked leaves it at AFTER: the rollback asks the same rows itself, and
 * refuses. */
static void look_back(struct watching *w)
{
    const char *back = w->back_there ? config_text(w->reverse, "pipeline") : NULL;
    struct err away = ERR_INIT;
    struct cutover source = {.store = &store_postgres, .target = watch_source(w, &away)};
    if (decision_is(&source, w->pipeline, "returned"))
        w->stage = STAGE_BACK;
    else if (back != NULL && decision_is(&w->co, back, "open"))
        w->stage = STAGE_CUTTING;
}

/* MariaDB keeps no slot. What its capture has begun stands where apply has begun to write it. */
static bool look_for_position(struct watching *w, struct err *err)
{
    const char *pipeline = config_text(w->reverse, "pipeline");
    ROWSET_AUTO rs = NULL;
    struct err away = ERR_INIT;
    struct cutover *back = watch_back(w, &away);
    w->back_there =
        back != NULL && watch_ask(back, ASK_POSITION, 1, &pipeline, &rs, &away) && rowset_int64(rs, 0, 0) > 0;
    if (back == NULL || rs == NULL)
        log_event(LOG_LEVEL_WARN, "watch_failed", "text=\"whether there is a way back: %s\"", away.text);
    return true;
}

/* A configuration can be turned round although nobody has started the way back; it may be started later, too. */
static bool look_for_way_back(struct watching *w, struct err *err)
{
    struct back back = {.cfg = w->reverse};
    w->back_there = w->reverse != NULL;
    if (!w->turned || !w->back_there)
        return true;
    if (w->co.maria != NULL)
        return look_for_position(w, err);
    back.view.pipeline = config_text(w->reverse, "pipeline");
    back.view.source = w->co.target;
    return back_is_set_up(&back, &w->back_there, err);
}

bool store_stage(struct watching *w, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!watch_ask(&w->co, ASK_NEWEST, 1, &w->pipeline, &rs, err))
        return err_wrap(err, "target: crossfade.cutover");
    bool found = rowset_rows(rs) > 0;
    (void)snprintf(w->cutover_id, sizeof w->cutover_id, "%s", found ? rowset_cell(rs, 0, 0) : "");
    (void)snprintf(w->cutover_state, sizeof w->cutover_state, "%s", found ? rowset_cell(rs, 0, 1) : "");
    w->switched_us = found ? rowset_int64(rs, 0, 2) : 0;
    w->stage = stage_of(w);
    if (w->stage != STAGE_AFTER)
        return true;
    if (!look_for_way_back(w, err))
        return false;
    look_back(w);
    return true;
}
