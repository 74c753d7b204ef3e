/* Owns: set-based writes of a writer beside the lead. Its transaction is going to be prepared, which the server refuses once a
 * temporary table was touched (documentation: PREPARE TRANSACTION): rows come as arrays, a parameter for each column, and unnest()
 * stands where the staging table stands otherwise. An element of a binary array is written as a field of COPY BINARY is (length,
 * bytes; src/backend/utils/adt/arrayfuncs.c, array_recv). */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "postgres.h"

#define ARRAY_ROWS  5000
#define ARRAY_BYTES ((size_t)16 << 20)
#define ARRAY_HEAD  20 /* bytes before the elements */

bool pgt_arrays_fit(const struct pg_table *tab)
{
    if (2 * tab->column_count > PG_ARRAY_PARAMS)
        return false;
    for (size_t i = 0; i < tab->column_count; i++) {
        const struct pg_column_writer *w = &tab->columns[i].writer;
        if (w->mode == PG_WRITE_BINARY && (w->base->kind == PG_KIND_ARRAY || w->base->wire == PG_WIRE_VECTOR))
            return false;
    }
    return true;
}

/* A column of what is staged: of old keys, or of new rows. */
struct lane {
    const struct pg_column *col;
    bool old;
    struct strbuf bytes;
};

static struct lane *make_lanes(const struct pg_table *tab, enum stage_kind kind, const struct column_set *set,
                               size_t *ret_count)
{
    struct lane *lanes = xcalloc(tab->key_count + tab->column_count + 1, sizeof *lanes);
    size_t n = 0;
    for (size_t i = 0; kind != STAGE_UPSERT && i < tab->key_count; i++)
        lanes[n++] = (struct lane){.col = &tab->columns[tab->key[i]], .old = true};
    for (size_t i = 0; i < tab->column_count; i++) {
        if (stage_has_column(tab, kind, set, i))
            lanes[n++] = (struct lane){.col = &tab->columns[i]};
    }
    for (size_t i = 0; i < n; i++)
        strbuf_init(&lanes[i].bytes, VALUE_MAX);
    *ret_count = n;
    return lanes;
}

static void free_lanes(struct lane *lanes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        strbuf_release(&lanes[i].bytes);
    free(lanes);
}

static void begin_array(struct lane *lane)
{
    const struct pg_column_writer *w = &lane->col->writer;
    strbuf_clear(&lane->bytes);
    strbuf_add_be32(&lane->bytes, 1); /* dimensions */
    strbuf_add_be32(&lane->bytes, 1); /* there may be nulls */
    strbuf_add_be32(&lane->bytes, w->mode == PG_WRITE_TEXT ? PG_OID_TEXT : w->base->oid);
    strbuf_add_be32(&lane->bytes, 0); /* elements: end_array knows */
    strbuf_add_be32(&lane->bytes, 1); /* lower bound */
}

static void end_array(struct lane *lane, size_t rows)
{
    unsigned char *count = (unsigned char *)lane->bytes.data + 12;
    for (int i = 0; i < 4; i++)
        count[i] = (unsigned char)(rows >> (24 - 8 * i));
}

static bool add_row(const struct pg_table *tab, struct lane *lanes, size_t count,
                    const struct target_row *row, size_t *ret_bytes, struct err *err)
{
    *ret_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct datum *values = lanes[i].old && row->old != NULL ? row->old : row->row;
        const struct pg_column *col = lanes[i].col;
        struct strbuf *bytes = &lanes[i].bytes;
        struct err why = ERR_INIT;
        size_t before = bytes->len;
        if (!pg_write_copy(&col->writer, &values[col->index], bytes, &why)) {
            if (!pgt_becomes_null(tab, col, &why)) {
                *err = why;
                return pgt_value_err(tab, col, row, err);
            }
            bytes->len = before;
            strbuf_add_be32(bytes, UINT32_MAX);
        }
        if (!strbuf_ok(&lanes[i].bytes, "rows", err))
            return pgt_table_err(tab, err);
        *ret_bytes += lanes[i].bytes.len;
    }
    return true;
}

/* One array of each lane from rows[from…]; *ret_taken rows. */
static bool fill(const struct pg_table *tab, struct lane *lanes, size_t count,
                 const struct target_row *const *rows, size_t row_count, size_t *ret_taken, struct err *err)
{
    size_t taken = 0, bytes = 0;
    for (size_t i = 0; i < count; i++)
        begin_array(&lanes[i]);
    while (taken < row_count && taken < ARRAY_ROWS && bytes < ARRAY_BYTES) {
        if (!add_row(tab, lanes, count, rows[taken++], &bytes, err))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        end_array(&lanes[i], taken);
    *ret_taken = taken;
    return true;
}

static bool run(struct pg_target *pt, const struct pg_table *tab, const char *sql, const struct lane *lanes,
                size_t count, int64_t *touched, struct err *err)
{
    struct pg_param *params = xcalloc(count + 1, sizeof *params);
    PG_RESULT_AUTO res = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        params[i] = (struct pg_param){.bytes = lanes[i].bytes.data, .len = (int)lanes[i].bytes.len};
        ok = lanes[i].bytes.len <= VALUE_MAX / 2 || err_set(err, ERR_DATA, "values of more than 600 MB");
    }
    ok = ok && pg_query_binary(pt->conn, sql, count, params, &res, err);
    free(params);
    if (!ok)
        return pgt_table_err(tab, err);
    *touched += pg_affected(res);
    return true;
}

bool pgt_write_arrays(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind,
                      struct column_set *set, const struct target_row *const *rows, size_t count,
                      struct strbuf *sql, size_t sql_count, int64_t *ret_touched, struct err *err)
{
    size_t lane_count = 0;
    struct lane *lanes = make_lanes(tab, kind, set, &lane_count);
    bool ok = pgt_plain(pt, err);
    *ret_touched = 0;
    for (size_t i = 0; ok && i < sql_count; i++)
        ok = strbuf_ok(&sql[i], "statement", err);
    for (size_t from = 0, taken = 0; ok && from < count; from += taken) {
        ok = fill(tab, lanes, lane_count, rows + from, count - from, &taken, err);
        for (size_t i = 0; ok && i < sql_count; i++) {
            if (sql[i].len > 0)
                ok = run(pt, tab, sql[i].data, lanes, lane_count, ret_touched, err);
        }
    }
    for (size_t i = 0; i < sql_count; i++)
        strbuf_release(&sql[i]);
    free_lanes(lanes, lane_count);
    return ok;
}
