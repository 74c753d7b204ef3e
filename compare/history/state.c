/* Owns: crossfade.compared on the target: proofs, one row a table. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "history/history.h"
#include "history/proof_sql.h"
#include "json/text.h"

void proof_release(struct proof *proof)
{
    for (size_t i = 0; proof->upper != NULL && proof->upper[i] != NULL; i++)
        free(proof->upper[i]);
    free(proof->upper);
    *proof = (struct proof){0};
}

const struct proof_sql *proof_sql_of(const struct session *target)
{
    return session_dialect(target) == DIALECT_MARIADB ? &proof_sql_mariadb : &proof_sql_postgres;
}

static char **upper_of(const char *json_array)
{
    json_t *array = json_loads(json_array, 0, NULL);
    char **upper = NULL;
    if (json_is_array(array)) {
        upper = xcalloc(json_array_size(array) + 1, sizeof *upper);
        for (size_t i = 0; i < json_array_size(array); i++)
            upper[i] = xstrdup(json_string_value(json_array_get(array, i)));
    }
    json_decref(array);
    return upper;
}

static bool take_row(const struct rowset *res, int row, struct proof *ret, struct err *err)
{
    *ret = (struct proof){.there = true,
                          .whole = rowset_bool(res, row, 2),
                          .rows = (uint64_t)rowset_int64(res, row, 4),
                          .at = {.id = (uint64_t)rowset_int64(res, row, 5),
                                 .offset = (uint64_t)rowset_int64(res, row, 6),
                                 .attempt = (uint64_t)rowset_int64(res, row, 8)},
                          .read_us = rowset_int64(res, row, 9),
                          .links = (uint64_t)rowset_int64(res, row, 10)};
    (void)snprintf(ret->shape, sizeof ret->shape, "%s", rowset_cell(res, row, 11));
    if (!lsn_parse(rowset_cell(res, row, 7), &ret->at.lsn))
        return err_set(err, ERR_PROTOCOL, "crossfade.compared has lsn=%s", rowset_cell(res, row, 7));
    if (!ret->whole)
        ret->upper = upper_of(rowset_cell(res, row, 3));
    return true;
}

bool state_load(struct session *conn, const char *pipeline,
                void (*each)(void *ctx, const char *schema, const char *table, struct proof *proof),
                void *ctx, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(conn, proof_sql_of(conn)->load, 1, &pipeline, &res, err))
        return err_wrap(err, "target: what earlier comparisons have proven");
    for (int row = 0; row < rowset_rows(res); row++) {
        struct proof proof;
        if (!take_row(res, row, &proof, err))
            return false;
        each(ctx, rowset_cell(res, row, 0), rowset_cell(res, row, 1), &proof);
        proof_release(&proof);
    }
    return true;
}

bool state_last_end(struct session *conn, const char *pipeline, int64_t *ret_us, struct err *err)
{
    return session_int64(conn, proof_sql_of(conn)->last_end, 1, &pipeline, ret_us, err) ||
           err_wrap(err, "target: crossfade.verdict");
}

static json_t *upper_json(char *const *upper)
{
    json_t *array = json_array();
    for (size_t i = 0; upper != NULL && upper[i] != NULL; i++)
        json_array_append_new(array, json_text(upper[i]));
    return array;
}

static json_t *row_json(const struct proof_row *row)
{
    const struct proof *p = &row->proof;
    char lsn[LSN_TEXT_MAX], read_at[ISO_TIME_MAX];
    json_t *j = json_object();
    json_object_set_new(j, "schema_name", json_text(row->schema));
    json_object_set_new(j, "table_name", json_text(row->table));
    json_object_set_new(j, "shape", json_text(p->shape));
    json_object_set_new(j, "whole", json_boolean(p->whole));
    json_object_set_new(j, "upper", p->whole ? json_null() : upper_json(p->upper));
    json_object_set_new(j, "rows", json_amount(p->rows));
    json_object_set_new(j, "fence_id", json_amount(p->at.id));
    json_object_set_new(j, "fence_offset", json_amount(p->at.offset));
    json_object_set_new(j, "lsn", json_text(lsn_format(p->at.lsn, lsn)));
    json_object_set_new(j, "attempt", json_amount(p->at.attempt));
    json_object_set_new(j, "read_at", json_text(clock_iso(p->read_us, read_at)));
    json_object_set_new(j, "links", json_amount(p->links));
    return j;
}

static char *rows_json(const struct proof_row *rows, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, row_json(&rows[i]));
    char *text = json_dumps(array, JSON_COMPACT);
    json_decref(array);
    return text;
}

static bool run_rows(struct session *conn, const char *sql, const char *pipeline,
                     const struct proof_row *rows, size_t count, const char *floor, struct err *err)
{
    ROWSET_AUTO res = NULL;
    char *json = rows_json(rows, count);
    const char *params[] = {pipeline, json, floor};
    if (json == NULL)
        return err_set(err, ERR_NO_MEMORY, "what was proven does not fit into memory");
    bool ok = session_ask(conn, sql, floor != NULL ? 3 : 2, params, &res, err);
    free(json);
    return ok || err_wrap(err, "target: crossfade.compared");
}

bool state_save(struct session *conn, const char *pipeline, const struct proof_row *rows, size_t count,
                int64_t floor_us, struct err *err)
{
    const struct proof_sql *sql = proof_sql_of(conn);
    char floor[ISO_TIME_MAX];
    clock_iso(floor_us, floor);
    return (sql->give_way == NULL || run_rows(conn, sql->give_way, pipeline, rows, count, floor, err)) &&
           run_rows(conn, sql->save, pipeline, rows, count, floor, err);
}

bool state_forget(struct session *conn, const char *pipeline, const struct proof_row *rows, size_t count,
                  struct err *err)
{
    return run_rows(conn, proof_sql_of(conn)->forget, pipeline, rows, count, NULL, err);
}
