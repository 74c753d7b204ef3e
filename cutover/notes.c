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

char *notes_text(const struct cutover *co)
{
    json_t *j = json_object();
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

void notes_keep(struct cutover *co)
{
    struct err failed = ERR_INIT;
    PG_RESULT_AUTO res = NULL;
    char seq[16], *text CLEANUP(free_ptr) = NULL;
    if (co->notes == NULL || co->seq == 0)
        return;
    text = dump(json_incref(co->notes), "[]");
    (void)snprintf(seq, sizeof seq, "%d", co->seq);
    const char *params[] = {co->id, seq, text};
    if ((pg_in_transaction(co->target) && !pg_exec(co->target, "ROLLBACK", &failed)) ||
        !pg_query(co->target,
                  "UPDATE crossfade.cutover SET detail = detail || jsonb_build_object('late_notes',"
                  " coalesce(detail->'late_notes', '[]') || $3::jsonb)"
                  " WHERE cutover_id = $1 AND seq = $2::int",
                  3, params, &res, &failed))
        cutover_say(co, "not recorded, what happened in the last step: %s", failed.text);
    notes_clear(co);
}

/* Of the times the newest fifty: one that is resumed all night does not grow without end. */
static const char resumed_sql[] =
    "UPDATE crossfade.cutover c SET detail = c.detail || jsonb_build_object('attempt', n.attempt, 'resumed',"
    " CASE WHEN jsonb_array_length(n.so_far) >= 50 THEN n.so_far - 0 ELSE n.so_far END || "
    "jsonb_build_array(jsonb_build_object("
    "'attempt', n.attempt, 'by', $3::text, 'at_us', (extract(epoch FROM clock_timestamp()) * "
    "1000000)::bigint)))"
    " FROM (SELECT coalesce((detail->>'attempt')::bigint, 1) + 1 AS attempt, coalesce(detail->'resumed', "
    "'[]') AS so_far"
    "  FROM crossfade.cutover WHERE cutover_id = $1 AND seq = $2::int) n"
    " WHERE c.cutover_id = $1 AND c.seq = $2::int RETURNING n.attempt";

bool notes_resumed(struct cutover *co, struct err *err)
{
    char seq[16], *by CLEANUP(free_ptr) = NULL;
    PG_RESULT_AUTO res = NULL;
    if (!trail_begin(co, err))
        return false;
    by = trail_who(co);
    (void)snprintf(seq, sizeof seq, "%d", co->seq);
    const char *params[] = {co->id, seq, by};
    if (!pg_query(co->target, resumed_sql, 3, params, &res, err))
        return err_wrap(err, "that cutover %s is resumed cannot be recorded", co->id);
    if (pg_rows(res) > 0)
        co->attempt = pg_cell_int64(res, 0, 0);
    return trail_resumed(co, err) || err_wrap(err, "that cutover %s is resumed cannot be recorded", co->id);
}
