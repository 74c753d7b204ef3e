/*
 * Owns: a rehearsal from its first look to the last thing taken away. What is made is taken away in whatever way it ends; what a process that
 * was killed has left is taken away by the next one, before it makes anything. Up to the first comparison nothing of a rollback has been
 * tried, so what goes wrong there could not be rehearsed; what goes wrong behind it was found.
 */
#include "rehearse.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/nonce.h"
#include "core/temp_file.h"
#include "cutover/approval/approval.h"
#include "rehearsal.h"

#define STEP_MS       INT64_C(900000)
#define COMPARE_TRIES 3
#define INCONCLUSIVE  3
#define SCHEMA_MS     INT64_C(3600000)

bool rehearsal_stop_asked(const struct rehearsal *r)
{
    struct pollfd fd = {.fd = r->request->stop_fd, .events = POLLIN};
    return fd.fd >= 0 && poll(&fd, 1, 0) > 0;
}

void rehearsal_say(struct rehearsal *r, const char *fmt, ...)
{
    struct strbuf line = STRBUF_INIT(1000);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&line, fmt, ap);
    va_end(ap);
    if (r->request->say != NULL)
        r->request->say(r->request->ctx, line.data);
    strbuf_release(&line);
}

/* --- steps --- */

static bool run_words(struct rehearsal *r, const char *config, const char *const *words, json_t **ret,
                      struct err *err)
{
    int code;
    return process_run(r, config, words, SCHEMA_MS, &code, ret, err);
}

static bool make_schema(struct rehearsal *r, struct err *err)
{
    static const char *const words[] = {"schema", "create", "--execute", NULL};
    return (run_words(r, r->seed_file, words, NULL, err) || err_wrap(err, "beside the source")) &&
           proof_prepare(r, err) &&
           (run_words(r, r->config_file, words, NULL, err) || err_wrap(err, "beside the target")) &&
           scratch_complete(r, NEW, err);
}

static bool caught_up(struct rehearsal *r, bool back, struct err *err)
{
    static const char *const there[] = {"status", "--wait=caught-up", "--timeout=600", "--json", NULL};
    static const char *const home[] = {"--reverse",     "status", "--wait=caught-up",
                                       "--timeout=600", "--json", NULL};
    int code;
    return process_run(r, r->config_file, back ? home : there, STEP_MS, &code, NULL, err);
}

static bool start_forward(struct rehearsal *r, struct err *err)
{
    return process_start_role(r, FORWARD_CAPTURE, err) && process_start_role(r, FORWARD_APPLY, err) &&
           caught_up(r, false, err);
}

static bool start_back(struct rehearsal *r, struct err *err)
{
    return process_start_role(r, BACK_CAPTURE, err) && process_start_role(r, BACK_APPLY, err) &&
           caught_up(r, true, err);
}

/* Other work on the machine may make one inconclusive; that is no difference. */
static bool compare(struct rehearsal *r, struct err *err)
{
    static const char *const words[] = {"compare", "run", NULL};
    for (int attempt = 1;; attempt++) {
        int code;
        struct err now = ERR_INIT;
        if (process_run(r, r->config_file, words, STEP_MS, &code, NULL, &now))
            return true;
        if (code != INCONCLUSIVE || attempt >= COMPARE_TRIES) {
            *err = now;
            return false;
        }
    }
}

/* Which gates have refused is in its report, not in what it says. */
static void add_refusals(const json_t *report, struct err *err)
{
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(report, "gates"), i, gate)
    {
        const char *verdict = json_string_value(json_object_get(gate, "verdict"));
        if (verdict == NULL || strcmp(verdict, "ok") == 0)
            continue;
        struct err place = *err;
        err_set(err, place.code, "%.500s; gate %s: %.200s", place.text,
                json_string_value(json_object_get(gate, "name")),
                json_string_value(json_object_get(gate, "measured")));
    }
}

static bool switch_by(struct rehearsal *r, const char *command, const char *pause_key, struct err *err)
{
    const char *const words[] = {command, "run", "--execute", "--json", NULL};
    json_t *report = NULL;
    int code;
    bool ok = process_run(r, r->config_file, words, STEP_MS, &code, &report, err);
    json_t *pause = json_object_get(report, "pause_ms");
    if (ok && !json_is_number(pause))
        ok = err_set(err, ERR_PROTOCOL, "%s has not told its pause", command);
    if (ok)
        json_object_set(r->report, pause_key, pause);
    if (!ok)
        add_refusals(report, err);
    json_decref(report);
    return ok;
}

static bool cut_over(struct rehearsal *r, struct err *err)
{
    return switch_by(r, "cutover", "cutover_pause_ms", err);
}

/* What is on the new side right before the rollback has to be on the old one right behind it. */
static bool roll_back(struct rehearsal *r, struct err *err)
{
    char *before CLEANUP(free_ptr) = NULL, *after CLEANUP(free_ptr) = NULL;
    return proof_write(r, NEW, "new side", err) && proof_read(r, NEW, &before, err) &&
           caught_up(r, true, err) && switch_by(r, "rollback", "rollback_pause_ms", err) &&
           failpoint("rehearse.rolled_back", err) && proof_read(r, OLD, &after, err) &&
           proof_same(before, after, err);
}

static bool go_on(struct rehearsal *r, struct err *err)
{
    char *before CLEANUP(free_ptr) = NULL, *after CLEANUP(free_ptr) = NULL;
    return proof_write(r, OLD, "old side", err) && proof_read(r, OLD, &before, err) &&
           caught_up(r, false, err) && proof_read(r, NEW, &after, err) && proof_same(before, after, err);
}

static const struct step {
    const char *name, *text;
    bool (*run)(struct rehearsal *r, struct err *err);
    bool tries; /* the rollback: what goes wrong from here on was found */
} steps[] = {
    {"databases", "making scratch databases", scratch_make, false},
    {"settings", "writing configurations", settings_write, false},
    {"schema", "copying definitions", make_schema, false},
    {"rows", "copying a sample of rows", sample_copy, false},
    {"pipeline", "starting the pipeline, copying", start_forward, false},
    {"way_back", "starting the way back", start_back, false},
    {"compare", "comparing", compare, true},
    {"cutover", "cutting over", cut_over, true},
    {"rollback", "writing on the new side, rolling back, looking for all rows", roll_back, true},
    {"go_on", "writing on the old side, looking for all rows", go_on, true},
    {"compare_after", "comparing", compare, true},
};

static enum rehearse_outcome run_steps(struct rehearsal *r, struct err *err)
{
    json_t *times = json_object_get(r->report, "steps");
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        int64_t begin_us = clock_mono_us();
        rehearsal_say(r, "%s", steps[i].text);
        bool ok = rehearsal_stop_asked(r) ? err_set(err, ERR_INTERRUPTED, "stopped") : steps[i].run(r, err);
        json_array_append_new(times, json_pack("{s:s, s:b, s:f}", "name", steps[i].name, "ok", ok, "ms",
                                               (double)(clock_mono_us() - begin_us) / 1000.0));
        if (!ok) {
            bool found = steps[i].tries && err->code != ERR_INTERRUPTED;
            err_wrap(err, "%s", steps[i].name);
            return found ? REHEARSE_FAILED : REHEARSE_COULD_NOT;
        }
    }
    return REHEARSE_PASSED;
}

/* --- what others have left, and what we leave --- */

static bool find_leftovers(struct rehearsal *r, json_t *found[SIDES + 1], struct err *err)
{
    return scratch_leftovers(r, OLD, found[OLD], err) && scratch_leftovers(r, NEW, found[NEW], err) &&
           folder_leftovers(r, found[SIDES], err);
}

static bool remove_leftovers(struct rehearsal *r, json_t *found[SIDES + 1], struct err *err)
{
    size_t i;
    json_t *item;
    for (int side = 0; side < SIDES; side++) {
        json_array_foreach(found[side], i, item)
        {
            if (!scratch_drop(r, side, json_string_value(item), false, err))
                return false;
        }
    }
    json_array_foreach(found[SIDES], i, item)
    {
        if (!folder_remove(json_string_value(item), err))
            return false;
    }
    return true;
}

static bool leftovers(struct rehearsal *r, struct err *err)
{
    json_t *found[SIDES + 1] = {json_array(), json_array(), json_array()}, *all = json_array();
    bool ok = find_leftovers(r, found, err);
    size_t i;
    json_t *item;
    for (int n = 0; n <= SIDES; n++) {
        json_array_extend(all, found[n]);
        json_array_foreach(found[n], i, item) rehearsal_say(
            r, "%s an earlier rehearsal: %s", r->request->execute ? "removing what is left of" : "left by",
            json_string_value(item));
    }
    json_object_set_new(r->report, r->request->execute ? "removed" : "leftovers", all);
    if (ok && r->request->execute)
        ok = remove_leftovers(r, found, err);
    for (int n = 0; n <= SIDES; n++)
        json_decref(found[n]);
    return ok;
}

static void is_left(struct rehearsal *r, const char *what, const struct err *why)
{
    json_array_append_new(json_object_get(r->report, "left"), json_string(what));
    if (why != NULL)
        rehearsal_say(r, "not removed: %s: %s", what, why->text);
}

/* The session may have gone while the rehearsal ran. */
static bool drop_side(struct rehearsal *r, int side, struct err *err)
{
    struct scratch *s = &r->sides[side];
    const bool keep = r->request->keep;
    if (scratch_drop(r, side, s->name, keep, err))
        return true;
    if (err->code != ERR_CONNECT)
        return false;
    err_clear(err);
    return scratch_reconnect(r, side, err) && scratch_drop(r, side, s->name, keep, err);
}

/* False: something is left that should not be. */
static bool take_away(struct rehearsal *r)
{
    bool clean = true;
    process_end_roles(r);
    for (int side = 0; side < SIDES; side++) {
        struct scratch *s = &r->sides[side];
        struct err err = ERR_INIT;
        scratch_leave(r, side);
        if (!s->made)
            continue;
        /* Slots go in any case: they would keep the server's WAL. */
        if (!drop_side(r, side, &err)) {
            is_left(r, s->name, &err);
            clean = false;
        } else if (r->request->keep) {
            is_left(r, s->name, NULL);
        }
    }
    struct err err = ERR_INIT;
    if (r->folder_fd < 0)
        return clean;
    if (r->request->keep) {
        is_left(r, r->folder, NULL);
    } else if (!folder_remove(r->folder, &err)) {
        is_left(r, r->folder, &err);
        clean = false;
    }
    return clean;
}

/* --- the whole --- */

static bool write_down(struct rehearsal *r, struct err *err)
{
    static const char *const keys[] = {
        "outcome", "reason", "tables", "rows", "steps", "cutover_pause_ms", "rollback_pause_ms", "total_ms"};
    struct audit *audit = NULL;
    struct audit_mark mark = {0};
    json_t *detail = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        json_t *value = json_object_get(r->report, keys[i]);
        if (value != NULL)
            json_object_set(detail, keys[i], value);
    }
    if (!audit_open(config_text(r->cfg, "target.url"), r->pipeline, &audit, err)) {
        json_decref(detail);
        return err_wrap(err, "the audit log");
    }
    bool ok = audit_append(audit, NULL, REHEARSED, detail, &mark, err);
    audit_close(audit);
    json_object_set_new(r->report, "audit_seq", json_integer((json_int_t)mark.seq));
    json_object_set_new(r->report, "audit_hash", json_string(mark.hash));
    return ok || err_wrap(err, "the audit log");
}

static const char *outcome_name(enum rehearse_outcome outcome)
{
    static const char *const names[] = {"could_not_run", "planned", "passed", "failed"};
    return names[outcome];
}

static enum rehearse_outcome execute(struct rehearsal *r, struct err *err)
{
    int64_t begin_us = clock_mono_us();
    struct err late = ERR_INIT;
    enum rehearse_outcome outcome = folder_make(r, err) ? run_steps(r, err) : REHEARSE_COULD_NOT;
    double total_ms = (double)(clock_mono_us() - begin_us) / 1000.0;
    if (!take_away(r) && outcome == REHEARSE_PASSED) {
        err_set(err, ERR_BUSY, "it passed, but not all that it made could be removed");
        outcome = REHEARSE_FAILED;
    }
    json_object_set_new(r->report, "total_ms", json_real(total_ms));
    json_object_set_new(r->report, "tables", json_integer((json_int_t)r->tables));
    json_object_set_new(r->report, "rows", json_integer((json_int_t)r->rows));
    json_object_set_new(r->report, "outcome", json_string(outcome_name(outcome)));
    json_object_set_new(r->report, "reason", json_string(err->text));
    /* What is not on record must not leave an earlier pass as the last word unseen. */
    if (!write_down(r, &late)) {
        rehearsal_say(r, "this outcome (%s) could not be noted: %s", outcome_name(outcome), late.text);
        if (outcome != REHEARSE_PASSED)
            return outcome;
        *err = late;
        return REHEARSE_COULD_NOT;
    }
    return outcome;
}

static bool prepare(struct rehearsal *r, struct err *err)
{
    char nonce[NONCE_MAX];
    nonce_make(nonce);
    (void)snprintf(r->tag, sizeof r->tag, "%.*s", TAG_DIGITS, nonce);
    (void)snprintf(r->own_pipeline, sizeof r->own_pipeline, "cfr_%s", r->tag);
    (void)snprintf(r->written, sizeof r->written, "cfr_%s_written", r->tag);
    int len = snprintf(r->folder, sizeof r->folder, "%s/crossfade-rehearsal-%s-%s", temp_file_folder(),
                       r->pipeline, r->tag);
    if (len >= (int)sizeof r->folder)
        return err_set(err, ERR_CONFIG, "TMPDIR is too long a path");
    (void)snprintf(r->config_file, sizeof r->config_file, "%s/crossfade.yaml", r->folder);
    (void)snprintf(r->seed_file, sizeof r->seed_file, "%s/seed.yaml", r->folder);
    return scratch_connect(r, err);
}

static bool tell_plan(struct rehearsal *r, struct err *err)
{
    int64_t tables = 0, bytes = 0;
    if (!sample_estimate(r, &tables, &bytes, err))
        return false;
    json_object_set_new(r->report, "databases", json_pack("[s, s]", r->sides[OLD].name, r->sides[NEW].name));
    json_object_set_new(r->report, "folder", json_string(r->folder));
    json_object_set_new(r->report, "processes", json_integer(ROLES));
    json_object_set_new(r->report, "tables", json_integer((json_int_t)tables));
    json_object_set_new(r->report, "room_bytes", json_integer((json_int_t)bytes));
    json_object_set_new(r->report, "rows_per_table_max", json_integer(ROWS_PER_TABLE_MAX));
    json_object_set_new(r->report, "rows_max", json_integer(ROWS_MAX));
    return true;
}

static enum rehearse_outcome go(struct rehearsal *r, struct err *err)
{
    if (!prepare(r, err) || !leftovers(r, err) || !scratch_may_be_made(r, err) || !tell_plan(r, err))
        return REHEARSE_COULD_NOT;
    return r->request->execute ? execute(r, err) : REHEARSE_PLANNED;
}

enum rehearse_outcome rehearse(const struct config *cfg, const struct rehearse_request *request,
                               json_t **ret_report, struct err *err)
{
    struct rehearsal r = {.cfg = cfg,
                          .request = request,
                          .report = json_object(),
                          .pipeline = config_text(cfg, "pipeline"),
                          .folder_fd = -1};
    json_object_set_new(r.report, "pipeline", json_string(r.pipeline));
    json_object_set_new(r.report, "steps", json_array());
    json_object_set_new(r.report, "left", json_array());
    enum rehearse_outcome outcome = go(&r, err);
    json_object_set_new(r.report, "outcome", json_string(outcome_name(outcome)));
    json_object_set_new(r.report, "reason", json_string(err->text));
    scratch_close(&r);
    if (r.folder_fd >= 0)
        (void)close(r.folder_fd);
    *ret_report = r.report;
    return outcome;
}
