/* Owns: what is recorded beside the states. See notes.h. */
#include "cutover/notes.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cutover/cutover_internal.h"
#include "json/text.h"

#define NOTES_MAX 300 /* of a step: a pooler has two, a hook one */

void notes_add(struct cutover *co, json_t *note)
{
    if (co->notes == NULL)
        co->notes = json_array();
    if (json_array_size(co->notes) < NOTES_MAX)
        json_array_append_new(co->notes, note);
    else
        json_decref(note);
}

static void put_text(json_t *j, const char *key, const char *text)
{
    if (*text != '\0')
        json_object_set_new(j, key, json_text(text));
}

/* What is not known yet is left out: a reader takes the newest record that says it. */
static void put_results(const struct cutover_report *report, json_t *j)
{
    put_text(j, "verdict", report->verdict);
    put_text(j, "verdict_scope", report->verdict_scope);
    put_text(j, "stragglers", report->stragglers);
    if (report->sequences_set > 0)
        json_object_set_new(j, "sequences", json_amount(report->sequences_set));
}

static char *dump(json_t *j, const char *otherwise)
{
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text != NULL ? text : xstrdup(otherwise);
}

/* What the next process needs to go on, and what the last action took. */
static json_t *step_json(const struct cutover *co)
{
    char lsn[LSN_TEXT_MAX];
    lsn_format(co->final_lsn, lsn);
    json_t *j = json_pack("{s:I, s:s, s:s, s:I, s:I, s:o, s:i}", "pause_began_us",
                          (json_int_t)co->pause_began_wall_us, "final_lsn", lsn, "nonce", co->nonce,
                          "took_us", (json_int_t)co->took_us, "pause_us", (json_int_t)co->report->pause_us,
                          "reason", json_text(co->report->reason), "read_share", co->read_share);
    if (co->took_us > 0)
        json_object_set_new(j, "from", json_text(cutover_state_name(co->from)));
    return j;
}

char *notes_text(const struct cutover *co)
{
    json_t *j = step_json(co);
    json_object_set_new(j, "attempt", json_integer(co->attempt));
    json_object_set_new(j, "wall_us", json_integer(clock_wall_us()));
    if (co->ended != NULL) {
        json_object_set_new(j, "ended", json_text(co->ended));
        json_object_set_new(j, "spent_us", json_integer(co->spent_us));
    }
    put_results(co->report, j);
    if (co->notes != NULL)
        json_object_set(j, "notes", co->notes);
    return dump(j, "{}");
}

void notes_clear(struct cutover *co)
{
    json_decref(co->notes);
    co->notes = NULL;
}

/* --- a record that is there is added to --- */

/* The detail of the record of the state at hand, locked: within a transaction. NULL with err. */
static json_t *read_step(struct cutover *co, const char *seq, int64_t *ret_now_us, struct err *err)
{
    const char *params[] = {co->id, seq};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_STEP_READ, 2, params, &rs, err))
        return NULL;
    json_t *detail = rowset_rows(rs) > 0 ? json_loads(rowset_cell(rs, 0, 0), 0, NULL) : NULL;
    if (!json_is_object(detail)) {
        json_decref(detail);
        (void)err_set(err, ERR_PROTOCOL, "record %s of cutover %s is not there, or no JSON object", seq,
                      co->id);
        return NULL;
    }
    *ret_now_us = rowset_int64(rs, 0, 1);
    return detail;
}

static bool write_step(struct cutover *co, const char *seq, const json_t *detail, struct err *err)
{
    char *text CLEANUP(free_ptr) = dump(json_incref((json_t *)(uintptr_t)detail), "{}");
    const char *params[] = {co->id, seq, text};
    ROWSET_AUTO none = NULL;
    return store_ask(co, STORE_STEP_WRITE, 3, params, &none, err);
}

static json_t *list_in(json_t *detail, const char *key)
{
    json_t *list = json_object_get(detail, key);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(detail, key, list);
    }
    return list;
}

static bool keep(struct cutover *co, const char *seq, struct err *err)
{
    int64_t now_us = 0;
    json_t *detail = NULL;
    bool ok = store_rollback(co, err) && store_begin(co, err) &&
              (detail = read_step(co, seq, &now_us, err)) != NULL &&
              json_array_extend(list_in(detail, "late_notes"), co->notes) == 0 &&
              write_step(co, seq, detail, err) && store_commit(co, err);
    json_decref(detail);
    return ok;
}

void notes_keep(struct cutover *co)
{
    struct err failed = ERR_INIT, ignored = ERR_INIT; /* the first one counts */
    char seq[16];
    if (co->notes == NULL || co->seq == 0)
        return;
    (void)snprintf(seq, sizeof seq, "%d", co->seq);
    if (!keep(co, seq, &failed)) {
        cutover_say(co, "not recorded, what happened in the last step: %s", failed.text);
        (void)!store_rollback(co, &ignored);
    }
    notes_clear(co);
}

#define RESUMED_MAX 50 /* the newest: one that is resumed all night does not grow without end */

static bool note_resumed(struct cutover *co, const char *seq, struct err *err)
{
    char *by CLEANUP(free_ptr) = trail_who(co);
    int64_t now_us = 0;
    json_t *detail = read_step(co, seq, &now_us, err);
    if (detail == NULL)
        return false;
    json_t *attempt = json_object_get(detail, "attempt"), *resumed = list_in(detail, "resumed");
    co->attempt = (json_is_integer(attempt) ? json_integer_value(attempt) : 1) + 1;
    json_object_set_new(detail, "attempt", json_integer(co->attempt));
    if (json_array_size(resumed) >= RESUMED_MAX)
        (void)json_array_remove(resumed, 0);
    json_array_append_new(resumed, json_pack("{s:I, s:o, s:I}", "attempt", (json_int_t)co->attempt, "by",
                                             json_text(by), "at_us", (json_int_t)now_us));
    bool ok = write_step(co, seq, detail, err);
    json_decref(detail);
    return ok;
}

bool notes_resumed(struct cutover *co, struct err *err)
{
    char seq[16];
    (void)snprintf(seq, sizeof seq, "%d", co->seq);
    return (trail_begin(co, err) && note_resumed(co, seq, err) && trail_resumed(co, err)) ||
           err_wrap(err, "that cutover %s is resumed cannot be recorded", co->id);
}
