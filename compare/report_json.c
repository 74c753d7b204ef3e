/* Owns: the JSON form of a report. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "report.h"

/* Never NULL: what a server sent is UTF-8, but a report must not fail on one that is not. */
static json_t *text(const char *s)
{
    if (s == NULL)
        return json_null();
    json_t *j = json_string(s);
    if (j != NULL)
        return j;
    char *copy = xstrdup(s);
    for (char *p = copy; *p != '\0'; p++)
        *p = (unsigned char)*p < 0x80 ? *p : '?';
    j = json_string(copy);
    free(copy);
    return j;
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *texts(char *const *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, text(list[i]));
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
        json_object_set_new(cell, "name", text(list[i].name));
        json_object_set_new(cell, "source", text(list[i].source));
        json_object_set_new(cell, "target", text(list[i].target));
        json_array_append_new(array, cell);
    }
    return array;
}

static json_t *key_object(const struct compare_difference *d)
{
    json_t *key = json_object();
    for (size_t i = 0; i < d->key_count; i++)
        json_object_set_new(key, d->keys[i].name,
                            text(d->kind == DIFF_EXTRA ? d->keys[i].target : d->keys[i].source));
    return key;
}

static json_t *difference_json(const struct compare_difference *d)
{
    json_t *j = json_object();
    json_object_set_new(j, "kind", text(compare_kind_name(d->kind)));
    json_object_set_new(j, "key", key_object(d));
    json_object_set_new(j, "columns", cells(d->columns, d->column_count));
    json_object_set_new(j, "copies_source", number(d->copies_source));
    json_object_set_new(j, "copies_target", number(d->copies_target));
    return j;
}

static json_t *table_json(const struct compare_table *t)
{
    json_t *j = json_object(), *differences = json_array();
    for (size_t i = 0; i < t->difference_count; i++)
        json_array_append_new(differences, difference_json(&t->differences[i]));
    json_object_set_new(j, "schema", text(t->schema));
    json_object_set_new(j, "table", text(t->table));
    json_object_set_new(j, "verdict", text(compare_verdict_name(t->verdict)));
    json_object_set_new(j, "reason", text(t->reason));
    json_object_set_new(j, "method", text(compare_method_name(t->method)));
    json_object_set_new(j, "key", texts(t->keys, t->key_count));
    json_object_set_new(j, "columns_compared", number(t->column_count));
    json_object_set_new(j, "rows_source", number(t->rows_source));
    json_object_set_new(j, "rows_target", number(t->rows_target));
    json_object_set_new(j, "parts", number(t->chunks));
    json_object_set_new(j, "parts_differing", number(t->chunks_differing));
    json_object_set_new(j, "duration_ms", milliseconds(t->duration_us));
    json_object_set_new(j, "notes", texts(t->notes, t->note_count));
    json_object_set_new(j, "differences", differences);
    json_object_set_new(j, "more_differences", json_boolean(t->more));
    return j;
}

static json_t *summary_json(const struct compare_result *r)
{
    json_t *j = json_object();
    json_object_set_new(j, "tables", number(r->table_count));
    json_object_set_new(j, "passed", number(r->passed));
    json_object_set_new(j, "failed", number(r->failed));
    json_object_set_new(j, "inconclusive", number(r->inconclusive));
    json_object_set_new(j, "rows_source", number(r->rows_source));
    json_object_set_new(j, "rows_target", number(r->rows_target));
    json_object_set_new(j, "differences", number(r->differences));
    return j;
}

static json_t *fence_json(const struct compare_result *r)
{
    char lsn[LSN_TEXT_MAX];
    json_t *j = json_object();
    json_object_set_new(j, "mode", text(r->frozen ? "frozen" : "fence"));
    json_object_set_new(j, "id", r->fence_id > 0 ? number(r->fence_id) : json_null());
    json_object_set_new(j, "lsn", r->lsn != 0 ? text(lsn_format(r->lsn, lsn)) : json_null());
    json_object_set_new(j, "nonce", r->nonce[0] != '\0' ? text(r->nonce) : json_null());
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
    json_object_set_new(j, "format", number(REPORT_FORMAT));
    json_object_set_new(j, "crossfade", text(CF_VERSION));
    json_object_set_new(j, "pipeline", text(r->pipeline));
    json_object_set_new(j, "verdict", text(compare_verdict_name(r->verdict)));
    json_object_set_new(j, "reason", text(r->reason));
    json_object_set_new(j, "scope", text(r->full ? "full" : "part"));
    json_object_set_new(j, "fence", fence_json(r));
    json_object_set_new(j, "started_at", text(clock_iso(r->started_us, time)));
    json_object_set_new(j, "finished_at", text(clock_iso(r->finished_us, time)));
    json_object_set_new(j, "duration_ms", milliseconds(r->finished_us - r->started_us));
    json_object_set_new(j, "source", text(r->server[0]));
    json_object_set_new(j, "target", text(r->server[1]));
    json_object_set_new(j, "report_dir", text(r->report_dir));
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
