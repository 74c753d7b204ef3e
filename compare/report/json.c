/* Owns: the JSON form of a report. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/utf8.h"
#include "journal_reach.h"
#include "report/report.h"
#include "report/standing_json.h"
#include "json/text.h"

static json_t *texts(char *const *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_text(list[i]));
    return array;
}

static json_t *milliseconds(int64_t us)
{
    return json_real((double)us / 1000.0);
}

static json_t *cells(const struct compare_cell *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *cell = json_object();
        json_object_set_new(cell, "name", json_text(list[i].name));
        json_object_set_new(cell, "source", json_text(list[i].source));
        json_object_set_new(cell, "target", json_text(list[i].target));
        json_array_append_new(array, cell);
    }
    return array;
}

/* A column's name may be bytes of a database without an encoding. */
static void set_named(json_t *object, const char *name, json_t *value)
{
    char *valid CLEANUP(free_ptr) = xstrdup(name);
    utf8_make_valid(valid);
    json_object_set_new(object, valid, value);
}

static json_t *key_object(const struct compare_difference *d)
{
    json_t *key = json_object();
    for (size_t i = 0; i < d->key_count; i++)
        set_named(key, d->keys[i].name,
                  json_text(d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source));
    return key;
}

static json_t *cause_json(const struct compare_cause *cause)
{
    json_t *j = json_object();
    json_object_set_new(j, "kind", json_text(cause_kind_name(cause->kind)));
    json_object_set_new(j, "evidence", json_text(cause->evidence));
    return j;
}

static json_t *difference_json(const struct compare_difference *d)
{
    json_t *j = json_object();
    json_object_set_new(j, "kind", json_text(compare_kind_name(d->kind)));
    json_object_set_new(j, "key", key_object(d));
    json_object_set_new(j, "columns", cells(d->columns, d->column_count));
    json_object_set_new(j, "copies_source", json_amount(d->copies_source));
    json_object_set_new(j, "copies_target", json_amount(d->copies_target));
    if (d->cause.evidence != NULL)
        json_object_set_new(j, "cause", cause_json(&d->cause));
    return j;
}

static json_t *causes_json(const struct compare_table *t)
{
    json_t *j = json_object();
    for (enum cause_kind kind = CAUSE_UNKNOWN; kind < CAUSE_KIND_COUNT; kind++) {
        if (t->causes[kind] > 0)
            json_object_set_new(j, cause_kind_name(kind), json_amount(t->causes[kind]));
    }
    return j;
}

static json_t *built_json(const struct compare_table *t)
{
    static const char *const reads[] = {NULL, "changed", "rest"};
    char time[ISO_TIME_MAX];
    if (t->built == BUILT_NONE)
        return json_null();
    json_t *j = json_object();
    json_object_set_new(j, "fence", json_amount(t->since_fence));
    json_object_set_new(j, "read", json_text(reads[t->built]));
    json_object_set_new(j, "read_at", json_text(clock_iso(t->read_us, time)));
    json_object_set_new(j, "rows", json_amount(t->rows_kept));
    json_object_set_new(j, "keys_changed", json_amount(t->keys_changed));
    return j;
}

static json_t *where_json(const struct compare_table *t)
{
    if (t->where[0] == NULL)
        return json_null();
    json_t *j = json_object();
    json_object_set_new(j, "source", json_text(t->where[0]));
    json_object_set_new(j, "target", json_text(t->where[1]));
    json_object_set_new(j, "rows_estimate", json_amount(t->rows_estimate));
    return j;
}

static json_t *rules(const struct compare_table *t)
{
    json_t *array = json_array();
    for (size_t i = 0; i < t->rule_count; i++) {
        json_t *rule = json_object();
        json_object_set_new(rule, "column", json_text(t->rules[i].column));
        json_object_set_new(rule, "rule", json_text(t->rules[i].rule));
        json_array_append_new(array, rule);
    }
    return array;
}

static json_t *left_out(const struct compare_table *t)
{
    json_t *array = json_array();
    for (size_t i = 0; i < t->left_out_count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "column", json_text(t->left_out[i].column));
        json_object_set_new(one, "why", json_text(t->left_out[i].why));
        json_array_append_new(array, one);
    }
    return array;
}

static json_t *partitions_json(const struct compare_table *t)
{
    json_t *array = json_array();
    for (size_t i = 0; i < t->part_count; i++) {
        const struct compare_part *p = &t->partitions[i];
        json_t *part = json_object();
        json_object_set_new(part, "partition", json_text(p->name));
        json_object_set_new(part, "verdict", json_text(compare_verdict_name(p->verdict)));
        json_object_set_new(part, "reason", json_text(p->reason));
        json_object_set_new(part, "method", json_text(compare_method_name(p->method)));
        json_object_set_new(part, "rows_source", json_amount(p->rows_source));
        json_object_set_new(part, "rows_target", json_amount(p->rows_target));
        json_object_set_new(part, "differences", json_amount(p->differences));
        json_object_set_new(part, "more_differences", json_boolean(p->more));
        json_object_set_new(part, "duration_ms", milliseconds(p->duration_us));
        json_array_append_new(array, part);
    }
    return array;
}

static json_t *table_json(const struct compare_table *t)
{
    json_t *j = json_object(), *differences = json_array();
    for (size_t i = 0; i < t->difference_count; i++)
        json_array_append_new(differences, difference_json(&t->differences[i]));
    json_object_set_new(j, "schema", json_text(t->schema));
    json_object_set_new(j, "table", json_text(t->table));
    json_object_set_new(j, "partition", json_text(t->partition));
    json_object_set_new(j, "where", where_json(t));
    json_object_set_new(j, "verdict", json_text(compare_verdict_name(t->verdict)));
    json_object_set_new(j, "reason", json_text(t->reason));
    json_object_set_new(j, "method", json_text(compare_method_name(t->method)));
    json_object_set_new(j, "key", texts(t->keys, t->key_count));
    json_object_set_new(j, "columns_compared", json_amount(t->column_count));
    json_object_set_new(j, "rows_source", json_amount(t->rows_source));
    json_object_set_new(j, "rows_target", json_amount(t->rows_target));
    json_object_set_new(j, "parts", json_amount(t->chunks));
    json_object_set_new(j, "parts_differing", json_amount(t->chunks_differing));
    json_object_set_new(j, "duration_ms", milliseconds(t->duration_us));
    json_object_set_new(j, "built_on", built_json(t));
    json_object_set_new(j, "notes", texts(t->notes, t->note_count));
    json_object_set_new(j, "rules", rules(t));
    json_object_set_new(j, "left_out", left_out(t));
    json_object_set_new(j, "differences", differences);
    json_object_set_new(j, "causes", causes_json(t));
    json_object_set_new(j, "more_differences", json_boolean(t->more));
    json_object_set_new(j, "partitions", partitions_json(t));
    return j;
}

/* Rows that break a rule, as name: value. */
static json_t *offenders_json(const struct compare_difference *rows, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *row = json_object();
        for (size_t c = 0; c < rows[i].key_count; c++)
            set_named(row, rows[i].keys[c].name, json_text(rows[i].keys[c].source));
        json_array_append_new(array, row);
    }
    return array;
}

static json_t *side_ms(const struct compare_check *c, int side)
{
    return c->side_us[side] > 0 ? milliseconds(c->side_us[side]) : json_null();
}

static json_t *check_json(const struct compare_check *c)
{
    json_t *j = json_object(), *differences = json_array();
    for (size_t i = 0; i < c->difference_count; i++)
        json_array_append_new(differences, difference_json(&c->differences[i]));
    json_object_set_new(j, "kind", json_text(check_kind_name(c->kind)));
    json_object_set_new(j, "name", json_text(c->name));
    json_object_set_new(j, "verdict", json_text(check_state_name(c->state)));
    json_object_set_new(j, "reason", json_text(c->reason));
    json_object_set_new(j, "table", json_text(c->table));
    json_object_set_new(j, "columns", json_text(c->columns));
    json_object_set_new(j, "rule", json_text(c->rule));
    json_object_set_new(j, "severity", json_text(c->severity));
    json_object_set_new(j, "rows_source", json_amount(c->rows_source));
    json_object_set_new(j, "rows_target", json_amount(c->rows_target));
    json_object_set_new(j, "broken_source", json_amount(c->broken_source));
    json_object_set_new(j, "broken_target", json_amount(c->broken_target));
    json_object_set_new(j, "duration_ms", milliseconds(c->duration_us));
    json_object_set_new(j, "source_ms", side_ms(c, 0));
    json_object_set_new(j, "target_ms", side_ms(c, 1));
    json_object_set_new(j, "differing", json_amount(c->difference_total));
    json_object_set_new(j, "differences", differences);
    json_object_set_new(j, "offenders_source", offenders_json(c->offenders[0], c->offender_count[0]));
    json_object_set_new(j, "offenders_target", offenders_json(c->offenders[1], c->offender_count[1]));
    return j;
}

static json_t *checks_summary_json(const struct compare_result *r)
{
    json_t *j = json_object();
    json_object_set_new(j, "total", json_amount(r->check_count));
    json_object_set_new(j, "passed", json_amount(r->checks_by_state[STATE_PASS]));
    json_object_set_new(j, "failed", json_amount(r->checks_by_state[STATE_FAIL]));
    json_object_set_new(j, "findings", json_amount(r->checks_by_state[STATE_FINDING]));
    json_object_set_new(j, "inconclusive", json_amount(r->checks_by_state[STATE_INCONCLUSIVE]));
    return j;
}

static json_t *summary_json(const struct compare_result *r)
{
    json_t *j = json_object();
    json_object_set_new(j, "tables", json_amount(r->table_count));
    json_object_set_new(j, "passed", json_amount(r->passed));
    json_object_set_new(j, "failed", json_amount(r->failed));
    json_object_set_new(j, "inconclusive", json_amount(r->inconclusive));
    json_object_set_new(j, "rows_source", json_amount(r->rows_source));
    json_object_set_new(j, "rows_target", json_amount(r->rows_target));
    json_object_set_new(j, "differences", json_amount(r->differences));
    json_object_set_new(j, "checks", checks_summary_json(r));
    return j;
}

#define PARTS_LISTED 1000 /* more would be megabytes of numbers that a list of the furthest says as well */

static json_t *reach_json(const struct journal_reach *reach)
{
    if (reach == NULL)
        return json_null();
    json_t *j = json_object(), *parts = json_array();
    for (size_t i = 0; i < reach->part_count && i < PARTS_LISTED; i++) {
        json_t *part = json_object();
        json_object_set_new(part, "topic", json_text(reach->parts[i].topic));
        json_object_set_new(part, "partition", json_integer(reach->parts[i].partition));
        json_object_set_new(part, "next_offset", json_amount(reach->parts[i].next_offset));
        json_array_append_new(parts, part);
    }
    json_object_set_new(j, "kind", json_text(reach->kind));
    json_object_set_new(j, "unread", json_text(reach->unread));
    json_object_set_new(j, "topics", json_amount(reach->topic_count));
    json_object_set_new(j, "partitions", json_amount(reach->part_count));
    json_object_set_new(j, "more", json_boolean(reach->part_count > PARTS_LISTED));
    json_object_set_new(j, "offsets", parts);
    return j;
}

static json_t *fence_json(const struct compare_result *r)
{
    char lsn[LSN_TEXT_MAX], time[ISO_TIME_MAX];
    json_t *j = json_object();
    json_object_set_new(j, "mode", json_text(r->frozen ? "frozen" : "fence"));
    json_object_set_new(j, "id", r->fence_id > 0 ? json_amount(r->fence_id) : json_null());
    json_object_set_new(j, "lsn", r->lsn != 0 ? json_text(lsn_format(r->lsn, lsn)) : json_null());
    json_object_set_new(j, "nonce", r->nonce[0] != '\0' ? json_text(r->nonce) : json_null());
    json_object_set_new(j, "reached_ms", milliseconds(r->fence_us));
    json_object_set_new(j, "apply_held_ms", milliseconds(r->hold_us));
    json_object_set_new(j, "offset", r->fence_id > 0 ? json_amount(r->fence_offset) : json_null());
    json_object_set_new(j, "committed_at",
                        r->commit_us > 0 ? json_text(clock_iso(r->commit_us, time)) : json_null());
    json_object_set_new(j, "reached_at",
                        r->reached_us > 0 ? json_text(clock_iso(r->reached_us, time)) : json_null());
    json_object_set_new(j, "lag_ms", r->lag_us > 0 ? milliseconds(r->lag_us) : json_null());
    json_object_set_new(j, "journal", reach_json(r->reach));
    return j;
}

/* In milliseconds. */
static json_t *waited_json(const struct compare_result *r)
{
    json_t *j = json_object();
    for (enum compare_wait wait = WAIT_NONE + 1; wait < WAIT_KINDS; wait++)
        json_object_set_new(j, compare_wait_name(wait), milliseconds(r->waited_us[wait]));
    return j;
}

static const char *scope_of(const struct compare_result *r)
{
    return r->some_rows ? "where" : !r->full ? "part" : r->built ? "changed" : "full";
}

bool report_json(const struct compare_result *r, char **ret, struct err *err)
{
    char time[ISO_TIME_MAX];
    json_t *j = json_object(), *tables = json_array(), *checks = json_array();
    for (size_t i = 0; i < r->table_count; i++)
        json_array_append_new(tables, table_json(&r->tables[i]));
    for (size_t i = 0; i < r->check_count; i++)
        json_array_append_new(checks, check_json(&r->checks[i]));
    json_object_set_new(j, "format", json_amount(REPORT_FORMAT));
    json_object_set_new(j, "crossfade", json_text(CF_VERSION));
    json_object_set_new(j, "pipeline", json_text(r->pipeline));
    json_object_set_new(j, "verdict", json_text(compare_verdict_name(r->verdict)));
    json_object_set_new(j, "reason", json_text(r->reason));
    json_object_set_new(j, "level", json_text(compare_level_name(r->level)));
    json_object_set_new(j, "scope", json_text(scope_of(r)));
    json_object_set_new(j, "fence", fence_json(r));
    json_object_set_new(j, "started_at", json_text(clock_iso(r->started_us, time)));
    json_object_set_new(j, "finished_at", json_text(clock_iso(r->finished_us, time)));
    json_object_set_new(j, "duration_ms", milliseconds(r->finished_us - r->started_us));
    json_object_set_new(j, "waited_ms", waited_json(r));
    json_object_set_new(j, "source", json_text(r->server[0]));
    json_object_set_new(j, "target", json_text(r->server[1]));
    json_object_set_new(j, "report_dir", json_text(r->report_dir));
    json_object_set_new(j, "summary", summary_json(r));
    json_object_set_new(j, "tables", tables);
    json_object_set_new(j, "checks", checks);
    json_object_set_new(j, "readiness", standing_readiness_json(r->standing));
    json_object_set_new(j, "window", standing_window_json(r->standing));
    char *dump = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    if (dump == NULL)
        return err_set(err, ERR_NO_MEMORY, "the report does not fit into memory");
    *ret = xasprintf("%s\n", dump);
    free(dump);
    return true;
}
