/* Owns: the course of a cutover as it was recorded: steps, what happened inside them, who took it up again, and who waited for how long. */
#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "cutover/dossier/dossier_internal.h"
#include "cutover/dossier/pause.h"

/* One record of a state. Older ones lack members: what they do not say is null in the document. */
struct record {
    enum cutover_state state;
    const char *name;
    int64_t at_us; /* the target's clock */
    int64_t seq;
    json_t *detail;
};

static int64_t attempt_of(const struct record *r)
{
    return dossier_int(r->detail, "attempt", 1);
}

/* Notes have the clock of the machine that ran it: moved to the target's, by which the states are recorded. */
static int64_t on_target_us(const struct record *by, int64_t local_us)
{
    int64_t wall_us = dossier_int(by->detail, "wall_us", by->at_us);
    return local_us + by->at_us - wall_us;
}

static json_t *inside_json(const struct dossier *d, const struct record *by, const json_t *note)
{
    int64_t at_us = on_target_us(by, dossier_int(note, "at_us", by->at_us));
    json_t *j = json_object();
    dossier_put(j, "kind", json_text(dossier_text(note, "kind")));
    dossier_put(j, "what", json_text_or_null(dossier_text(note, "what")));
    dossier_put(j, "name", dossier_say(d, dossier_text(note, "name")));
    dossier_put(j, "number",
                json_is_integer(json_object_get(note, "number"))
                    ? json_integer(dossier_int(note, "number", 0))
                    : json_null());
    dossier_put(j, "role", dossier_say(d, dossier_text(note, "role")));
    dossier_put(j, "application", dossier_say(d, dossier_text(note, "application")));
    dossier_put(j, "at", dossier_time(at_us));
    dossier_put(j, "offset_ms", dossier_ms(at_us > d->began_us ? at_us - d->began_us : 0));
    dossier_put(j, "ms", dossier_ms(dossier_int(note, "took_us", -1)));
    dossier_put(j, "ok", json_boolean(!json_is_false(json_object_get(note, "ok"))));
    return j;
}

static void add_inside(struct dossier *d, const struct record *by, const json_t *notes, json_t *inside)
{
    size_t i;
    json_t *note;
    json_array_foreach(notes, i, note)
    {
        json_array_append_new(inside, inside_json(d, by, note));
        pause_take(d, note, on_target_us(by, dossier_int(note, "at_us", by->at_us)));
    }
}

static json_t *resumed_json(struct dossier *d, const struct record *r, json_t *attempts)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach(json_object_get(r->detail, "resumed"), i, one)
    {
        int64_t at_us = dossier_int(one, "at_us", r->at_us);
        json_t *j = json_object();
        dossier_put(j, "attempt", json_integer(dossier_int(one, "attempt", 0)));
        dossier_put(j, "state", json_text(r->name));
        dossier_put(j, "at", dossier_time(at_us));
        dossier_put(j, "offset_ms", dossier_ms(at_us - d->began_us));
        dossier_put(j, "by", dossier_say(d, dossier_text(one, "by")));
        json_array_append(attempts, j);
        json_array_append_new(list, j);
    }
    return list;
}

/* How the step ended is written with the next one. */
static json_t *step_json(struct dossier *d, const struct record *r, const struct record *next,
                         json_t *attempts)
{
    const struct cutover_rule *rule = cutover_rule(r->state, EV_GO);
    const char *from = next != NULL ? dossier_text(next->detail, "from") : "";
    bool succeeded = next != NULL && strcmp(from, r->name) == 0;
    const char *ended = next != NULL ? dossier_text(next->detail, "ended") : "";
    json_t *j = json_object(), *inside = json_array();
    dossier_put(j, "seq", json_integer(r->seq));
    dossier_put(j, "state", json_text(r->name));
    dossier_put(j, "action", rule != NULL ? json_text(rule->action) : json_null());
    dossier_put(j, "clients_wait", json_boolean(rule != NULL && rule->in_pause));
    dossier_put(j, "attempt", json_integer(attempt_of(r)));
    dossier_put(j, "began_at", dossier_time(r->at_us));
    dossier_put(j, "offset_ms", dossier_ms(r->at_us - d->began_us));
    dossier_put(j, "elapsed_ms", next != NULL ? dossier_ms(next->at_us - r->at_us) : json_null());
    dossier_put(j, "ms",
                next == NULL ? json_null()
                             : dossier_ms(succeeded ? dossier_int(next->detail, "took_us", -1)
                                                    : dossier_int(next->detail, "spent_us", -1)));
    dossier_put(j, "ended",
                next == NULL     ? json_null()
                : *ended != '\0' ? json_text(ended)
                                 : json_text(cutover_event_name(succeeded ? EV_GO : EV_FAILED)));
    dossier_put(j, "ok", next == NULL ? json_null() : json_boolean(succeeded));
    dossier_put(j, "resumed", resumed_json(d, r, attempts));
    if (next != NULL)
        add_inside(d, next, json_object_get(next->detail, "notes"), inside);
    add_inside(d, r, json_object_get(r->detail, "late_notes"), inside);
    dossier_put(j, "inside", inside);
    return j;
}

/* The ends have no action; they are moments, not steps. */
static bool is_end(enum cutover_state state)
{
    return state == CUT_DONE || state == CUT_ABORTED;
}

static void put_timeline(struct dossier *d, const struct record *records, size_t count)
{
    json_t *t = json_object(), *steps = json_array(), *attempts = json_array();
    json_array_append_new(attempts,
                          json_pack("{s:i, s:s, s:o, s:f, s:n}", "attempt", 1, "state", records[0].name, "at",
                                    dossier_time(d->began_us), "offset_ms", 0.0, "by"));
    for (size_t i = 0; i < count; i++) {
        const struct record *next = i + 1 < count ? &records[i + 1] : NULL;
        if (!is_end(records[i].state))
            json_array_append_new(steps, step_json(d, &records[i], next, attempts));
    }
    dossier_put(t, "began_at", dossier_time(d->began_us));
    dossier_put(t, "ended_at", dossier_time(d->ended_us));
    dossier_put(t, "ms", dossier_ms(d->ended_us > 0 ? d->ended_us - d->began_us : -1));
    dossier_put(t, "attempts", attempts);
    dossier_put(t, "steps", steps);
    dossier_put(d->doc, "timeline", t);
}

/* The newest record that says it. */
static const json_t *last_said(const struct record *records, size_t count, const char *key)
{
    for (size_t i = count; i > 0; i--) {
        const json_t *value = json_object_get(records[i - 1].detail, key);
        if (value != NULL && !json_is_null(value))
            return value;
    }
    return NULL;
}

/* 0/0 stands for none. */
static json_t *lsn_json(const json_t *lsn)
{
    const char *text = json_string_value(lsn);
    return text != NULL && strcmp(text, "0/0") != 0 ? json_text(text) : json_null();
}

static void put_facts(struct dossier *d, const struct record *records, size_t count)
{
    const json_t *sequences = last_said(records, count, "sequences");
    json_t *final = json_object();
    dossier_put(final, "lsn", lsn_json(last_said(records, count, "final_lsn")));
    dossier_put(final, "marker", json_text_or_null(json_string_value(last_said(records, count, "nonce"))));
    dossier_put(final, "verdict", json_text(json_string_value(last_said(records, count, "verdict"))));
    dossier_put(final, "scope", json_text(json_string_value(last_said(records, count, "verdict_scope"))));
    dossier_put(final, "sequences_set",
                sequences != NULL ? json_integer(json_integer_value(sequences)) : json_null());
    dossier_put(d->doc, "final", final);
    for (size_t i = 0; i < count; i++) {
        int64_t began_us = dossier_int(records[i].detail, "pause_began_us", 0);
        int64_t refused_us = dossier_int(records[i].detail, "pause_us", 0);
        if (began_us > 0)
            pause_refused(d, on_target_us(&records[i], began_us), refused_us > 0 ? refused_us : -1);
    }
}

static void take(const struct rowset *rs, int row, struct record *ret)
{
    *ret = (struct record){.seq = rowset_int64(rs, row, 0),
                           .name = rowset_cell(rs, row, 1),
                           .state = cutover_state_parse(rowset_cell(rs, row, 1)),
                           .at_us = rowset_int64(rs, row, 2),
                           .detail = json_loads(rowset_cell(rs, row, 3), 0, NULL)};
}

static bool tell_run(struct dossier *d, struct err *err)
{
    const char *params[] = {d->co.pipeline, d->past.id};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(&d->co, STORE_RECORDS, 2, params, &rs, err))
        return err_wrap(err, "the steps of cutover %s", d->past.id);
    size_t count = (size_t)rowset_rows(rs);
    if (count == 0)
        return err_set(err, ERR_REFUSED, "cutover %s has no steps any more", d->past.id);
    struct record *records CLEANUP(free_ptr) = xcalloc(count, sizeof *records);
    for (size_t i = 0; i < count; i++)
        take(rs, (int)i, &records[i]);
    d->began_us = records[0].at_us;
    d->ended_us = is_end(records[count - 1].state) ? records[count - 1].at_us : 0;
    put_timeline(d, records, count);
    put_facts(d, records, count);
    for (size_t i = 0; i < count; i++)
        json_decref(records[i].detail);
    return true;
}

bool dossier_run(struct dossier *d, struct err *err)
{
    pause_begin(d);
    dossier_put(d->doc, "timeline", json_null());
    dossier_put(d->doc, "final", json_null());
    if (d->recorded && !tell_run(d, err))
        return false;
    pause_end(d);
    return true;
}
