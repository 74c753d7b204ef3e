/* Owns: the JSON form of a report. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "report.h"
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

static json_t *key_object(const struct compare_difference *d)
{
    json_t *key = json_object();
    for (size_t i = 0; i < d->key_count; i++)
        json_object_set_new(key, d->keys[i].name,
                            json_text(d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source));
    return key;
}

static json_t *difference_json(const struct compare_difference *d)
{
    json_t *j = json_object();
    json_object_set_new(j, "kind", json_text(compare_kind_name(d->kind)));
    json_object_set_new(j, "key", key_object(d));
    json_object_set_new(j, "columns", cells(d->columns, d->column_count));
    json_object_set_new(j, "copies_source", json_amount(d->copies_source));
    json_object_set_new(j, "copies_target", json_amount(d->copies_target));
    return j;
}

static json_t *table_json(const struct compare_table *t)
{
    json_t *j = json_object(), *differences = json_array();
    for (size_t i = 0; i < t->difference_count; i++)
        json_array_append_new(differences, difference_json(&t->differences[i]));
    json_object_set_new(j, "schema", json_text(t->schema));
    json_object_set_new(j, "table", json_text(t->table));
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
    json_object_set_new(j, "notes", texts(t->notes, t->note_count));
    json_object_set_new(j, "differences", differences);
    json_object_set_new(j, "more_differences", json_boolean(t->more));
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
    return j;
}

static json_t *fence_json(const struct compare_result *r)
{
    char lsn[LSN_TEXT_MAX];
    json_t *j = json_object();
    json_object_set_new(j, "mode", json_text(r->frozen ? "frozen" : "fence"));
    json_object_set_new(j, "id", r->fence_id > 0 ? json_amount(r->fence_id) : json_null());
    json_object_set_new(j, "lsn", r->lsn != 0 ? json_text(lsn_format(r->lsn, lsn)) : json_null());
    json_object_set_new(j, "nonce", r->nonce[0] != '\0' ? json_text(r->nonce) : json_null());
    json_object_set_new(j, "reached_ms", milliseconds(r->fence_us));
    json_object_set_new(j, "apply_held_ms", milliseconds(r->hold_us));
    return j;
}

bool report_json(const struct compare_result *r, char **ret, struct err *err)
{
    char time[ISO_TIME_MAX];
    json_t *j = json_object(), *tables = json_array();
    for (size_t i = 0; i < r->table_count; i++)
        json_array_append_new(tables, table_json(&r->tables[i]));
    json_object_set_new(j, "format", json_amount(REPORT_FORMAT));
    json_object_set_new(j, "crossfade", json_text(CF_VERSION));
    json_object_set_new(j, "pipeline", json_text(r->pipeline));
    json_object_set_new(j, "verdict", json_text(compare_verdict_name(r->verdict)));
    json_object_set_new(j, "reason", json_text(r->reason));
    json_object_set_new(j, "scope", json_text(r->full ? "full" : "part"));
    json_object_set_new(j, "fence", fence_json(r));
    json_object_set_new(j, "started_at", json_text(clock_iso(r->started_us, time)));
    json_object_set_new(j, "finished_at", json_text(clock_iso(r->finished_us, time)));
    json_object_set_new(j, "duration_ms", milliseconds(r->finished_us - r->started_us));
    json_object_set_new(j, "source", json_text(r->server[0]));
    json_object_set_new(j, "target", json_text(r->server[1]));
    json_object_set_new(j, "report_dir", json_text(r->report_dir));
    json_object_set_new(j, "summary", summary_json(r));
    json_object_set_new(j, "tables", tables);
    char *dump = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    if (dump == NULL)
        return err_set(err, ERR_NO_MEMORY, "the report does not fit into memory");
    *ret = xasprintf("%s\n", dump);
    free(dump);
    return true;
}
