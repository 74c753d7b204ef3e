/* Owns: prepared statements and the arrays of rows that they are executed with. The server takes an array in one round trip and
 * one command; what it says at its end is how many rows were found, or the first error, without the row's number: whoever needs
 * the row sends it alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "maria/wait.h"
#include "mariadb.h"
#include "watch.h"

bool md_table_err(const struct md_table *tab, struct err *err)
{
    return err_wrap(err, "table=%s.%s", tab->base.schema->schema, tab->base.schema->table);
}

static bool row_err(const struct md_table *tab, const struct target_row *row, const struct md_column *col,
                    struct err *err)
{
    char hash[17];
    const struct table_schema *schema = tab->base.schema;
    md_key_hash(tab, row, hash);
    return err_wrap(err, "table=%s.%s%s%s lsn=" LSN_FMT "%s%s", schema->schema, schema->table,
                    col != NULL ? " column=" : "", col != NULL ? col->field->name : "",
                    LSN_ARGS(row->commit_lsn), tab->key_count > 0 ? " key_hash=" : "",
                    tab->key_count > 0 ? hash : "");
}

bool md_all_found(const struct md_table *tab, int64_t found, int64_t wanted, struct err *err)
{
    if (found == wanted)
        return true;
    err_set(err, ERR_DATA,
            "%lld rows were found on the target where %lld %s to be changed: compare both sides, then start "
            "a new copy",
            (long long)found, (long long)wanted, wanted == 1 ? "has" : "have");
    memcpy(err->sqlstate, "P0002", 6); /* no_data_found: replay in order names the row */
    return tab != NULL && md_table_err(tab, err);
}

static bool stmt_fail(struct md_stmt *st, const char *what, struct err *err)
{
    return maria_fail(mysql_stmt_errno(st->stmt), mysql_stmt_sqlstate(st->stmt), mysql_stmt_error(st->stmt),
                      what, err);
}

static void leave(struct md_stmt *st)
{
    struct md_stmts *all = st->among;
    if (all == NULL)
        return;
    *(st->newer != NULL ? &st->newer->older : &all->newest) = st->older;
    *(st->older != NULL ? &st->older->newer : &all->oldest) = st->newer;
    st->newer = st->older = NULL;
    st->among = NULL;
    all->count--;
}

static void join(struct md_stmt *st, struct md_stmts *all)
{
    st->among = all;
    st->older = all->newest;
    *(all->newest != NULL ? &all->newest->newer : &all->oldest) = st;
    all->newest = st;
    all->count++;
}

void md_stmt_release(struct md_stmt *st)
{
    leave(st);
    if (st->stmt != NULL)
        (void)mysql_stmt_close(st->stmt); /* (the server does not answer to that) */
    free(st->refs);
    *st = (struct md_stmt){0};
}

static struct md_stmt *find(struct md_table *tab, enum md_kind kind, struct md_set *set)
{
    switch (kind) {
    case MD_INSERT:
        return &tab->insert;
    case MD_UPSERT:
        return &tab->upsert;
    case MD_DELETE:
        return &tab->remove;
    case MD_UPDATE:
        return &set->update;
    case MD_STAGE:
        return &tab->watch->stage;
    case MD_HOLD:
        break;
    }
    return &set->hold;
}

static void make_text(struct strbuf *sql, struct md_table *tab, enum md_kind kind, struct md_set *set,
                      struct md_stmt *st)
{
    switch (kind) {
    case MD_INSERT:
        md_sql_insert(sql, tab, st);
        break;
    case MD_UPSERT:
        md_sql_upsert(sql, tab, st);
        break;
    case MD_DELETE:
        md_sql_delete(sql, tab, st);
        break;
    case MD_UPDATE:
        md_sql_update(sql, tab, set, st);
        break;
    case MD_HOLD:
        md_sql_hold(sql, tab, set, st);
        break;
    case MD_STAGE:
        md_watch_stage(sql, tab, st);
        break;
    }
}

static bool prepare(struct md_target *mt, struct md_table *tab, enum md_kind kind, struct md_set *set,
                    struct md_stmt *st, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    md_stmt_release(st);
    st->tab = tab;
    st->single = kind == MD_HOLD;
    make_text(&sql, tab, kind, set, st);
    bool ok = strbuf_ok(&sql, "statement", err);
    if (ok && st->ref_count > UINT16_MAX)
        ok = err_set(err, ERR_UNSUPPORTED,
                     "a row of so many columns takes more parameters than a statement has");
    st->stmt = ok ? mysql_stmt_init(mt->my) : NULL;
    if (ok && st->stmt == NULL)
        ok = err_set(err, ERR_NO_MEMORY, "no memory for a statement");
    if (ok && mysql_stmt_prepare(st->stmt, sql.data, (unsigned long)sql.len) != 0)
        ok = stmt_fail(st, "prepare", err);
    strbuf_release(&sql);
    if (!ok)
        md_stmt_release(st);
    return ok || md_table_err(tab, err);
}

static void array_reset(struct md_array *a, const struct md_stmt *st)
{
    if (a->values == NULL) {
        a->indicators = xmalloc(MD_CELLS);
        a->values = xmalloc(MD_CELLS * sizeof *a->values);
        a->floats = xmalloc(MD_CELLS * sizeof *a->floats);
        a->offsets = xmalloc(MD_CELLS * sizeof *a->offsets);
        a->lengths = xmalloc(MD_CELLS * sizeof *a->lengths);
    }
    a->rows = 0;
    a->rows_max =
        MIN_OF((size_t)MD_ARRAY_ROWS, MAX_OF((size_t)1, MD_CELLS / MAX_OF((size_t)1, st->ref_count)));
    if (st->single)
        a->rows_max = 1;
    if (a->bytes.cap > 4 * MD_ARRAY_BYTES) /* one huge row is no reason to stay large */
        strbuf_release(&a->bytes);
    strbuf_clear(&a->bytes);
}

bool md_stmt_start(struct md_target *mt, struct md_table *tab, enum md_kind kind, struct md_set *set,
                   struct md_stmt **ret, struct err *err)
{
    struct md_stmt *st = find(tab, kind, set);
    if (!md_begun(mt, err) || (st->stmt == NULL && !prepare(mt, tab, kind, set, st, err)))
        return false;
    leave(st);
    join(st, &mt->stmts);
    if (mt->stmts.count > MD_STATEMENTS_MAX)
        md_stmt_release(mt->stmts.oldest);
    st->touched = 0;
    array_reset(&mt->array, st);
    *ret = st;
    return true;
}

static void bind(const struct md_stmt *st, struct md_array *a, MYSQL_BIND *binds)
{
    static const enum enum_field_types types[] = {
        [MD_BIND_INT] = MYSQL_TYPE_LONGLONG,    [MD_BIND_FLOAT] = MYSQL_TYPE_FLOAT,
        [MD_BIND_DOUBLE] = MYSQL_TYPE_DOUBLE,   [MD_BIND_DECIMAL] = MYSQL_TYPE_NEWDECIMAL,
        [MD_BIND_TEXT] = MYSQL_TYPE_VAR_STRING, [MD_BIND_BYTES] = MYSQL_TYPE_BLOB};
    for (size_t p = 0; p < st->ref_count; p++) {
        const struct md_column *col = st->refs[p].col;
        size_t first = p * a->rows_max;
        bool text = col->bind >= MD_BIND_DECIMAL;
        for (size_t r = 0; text && r < a->rows; r++)
            a->values[first + r].p = a->bytes.data + a->offsets[first + r];
        binds[p] = (MYSQL_BIND){.buffer_type = types[col->bind],
                                .buffer = col->bind == MD_BIND_FLOAT ? (void *)(a->floats + first)
                                                                     : (void *)(a->values + first),
                                .length = text ? a->lengths + first : NULL,
                                .is_unsigned = col->type == MD_BIT};
        if (!st->single) {
            binds[p].u.indicator = a->indicators + first;
            continue;
        }
        binds[p].is_null = a->indicators + first; /* STMT_INDICATOR_NULL is 1 */
        binds[p].buffer = text ? a->values[first].p : binds[p].buffer;
    }
}

bool md_stmt_flush(struct md_target *mt, struct md_stmt *st, struct err *err)
{
    struct md_array *a = &mt->array;
    unsigned rows = st->single ? 0 : (unsigned)a->rows;
    if (a->rows == 0)
        return true;
    MYSQL_BIND *binds = xcalloc(st->ref_count + 1, sizeof *binds);
    bind(st, a, binds);
    bool ok = mysql_stmt_attr_set(st->stmt, STMT_ATTR_ARRAY_SIZE, &rows) == 0 &&
              mysql_stmt_bind_param(st->stmt, binds) == 0 && maria_wait_execute(st->stmt) == 0;
    if (ok)
        st->touched += (int64_t)mysql_stmt_affected_rows(st->stmt);
    else
        stmt_fail(st, "write", err);
    free(binds);
    array_reset(a, st);
    return ok;
}

/* target.unfit: what becomes of a value that the column cannot hold. True: *is_null or the value is what is written. */
static bool rule_for(const struct md_table *tab, struct md_column *col, enum md_put got, bool *is_null)
{
    bool null = col->unfit == TARGET_UNFIT_NULL && col->nullable && !col->key;
    bool nearest = col->unfit == TARGET_UNFIT_NEAREST && got == MD_PUT_NEAREST && !col->key;
    if (!null && !nearest)
        return false;
    target_unfit_tell(tab->base.schema, col->field->name, col->unfit, col->type_text, &col->told);
    *is_null = null;
    return true;
}

bool md_value_of(struct md_table *tab, struct md_column *col, const struct target_row *row,
                 const struct datum *value, struct md_value *out, bool *ret_null, struct err *err)
{
    size_t start = out->bytes->len;
    struct err why = ERR_INIT;
    *ret_null = value->state == DATUM_NULL;
    if (value->state == DATUM_UNAVAILABLE)
        return err_set(err, ERR_PROTOCOL, "the record does not hold the value"), row_err(tab, row, col, err);
    enum md_put got = *ret_null ? MD_PUT_OK : col->put(col, value, out, &why);
    if (got == MD_PUT_FAILED || (got != MD_PUT_OK && !rule_for(tab, col, got, ret_null))) {
        *err = why;
        return row_err(tab, row, col, err);
    }
    if (*ret_null)
        out->bytes->len = start;
    return strbuf_ok(out->bytes, "row", err) || row_err(tab, row, col, err);
}

/* The server takes NULL for "now" in a TIMESTAMP, and for "the next number" in an AUTO_INCREMENT column, where it could refuse it. */
bool md_check_null(const struct md_table *tab, const struct md_column *col, const struct target_row *row,
                   struct err *err)
{
    if (col->nullable)
        return true;
    (void)md_unfit(err, "23502", "%s of the target is NOT NULL, and the source has NULL", col->type_text);
    return row_err(tab, row, col, err);
}

/* A row that is looked for, or staged for conflicts.c, is not written. */
static bool is_written(const struct md_stmt *st, const struct md_ref *ref)
{
    return !ref->old && (st->tab->watch == NULL || st != &st->tab->watch->stage);
}

static bool add_value(struct md_target *mt, struct md_stmt *st, size_t cell, const struct md_ref *ref,
                      const struct target_row *row, struct err *err)
{
    struct md_array *a = &mt->array;
    struct md_column *col = ref->col;
    const struct datum *values = !ref->old || row->old == NULL ? row->row : row->old;
    struct md_value out = {.bytes = &a->bytes};
    size_t start = a->bytes.len;
    bool is_null;
    if (!md_value_of(st->tab, col, row, &values[col->index], &out, &is_null, err))
        return false;
    if (is_null && is_written(st, ref) && !md_check_null(st->tab, col, row, err))
        return false;
    a->indicators[cell] = is_null ? STMT_INDICATOR_NULL : STMT_INDICATOR_NONE;
    a->offsets[cell] = start;
    a->lengths[cell] = a->bytes.len - start;
    a->values[cell].i = out.i;
    if (col->bind == MD_BIND_DOUBLE)
        a->values[cell].f8 = out.f;
    a->floats[cell] = (float)out.f;
    return true;
}

/* Bytes that the row's texts have in the record: near enough to see whether it still fits beside the others. */
static size_t size_of(const struct md_stmt *st, const struct target_row *row)
{
    size_t sum = 0;
    for (size_t p = 0; p < st->ref_count; p++) {
        const struct md_ref *ref = &st->refs[p];
        const struct datum *values = !ref->old || row->old == NULL ? row->row : row->old;
        if (ref->col->field->phys >= PHYS_STRING && values[ref->col->index].state == DATUM_VALUE)
            sum += values[ref->col->index].s.len;
    }
    return sum;
}

bool md_stmt_add(struct md_target *mt, struct md_stmt *st, const struct target_row *row, struct err *err)
{
    struct md_array *a = &mt->array;
    bool full = a->rows == a->rows_max || a->bytes.len + 2 * size_of(st, row) > mt->array_bytes;
    if (full && !md_stmt_flush(mt, st, err))
        return md_table_err(st->tab, err);
    for (size_t p = 0; p < st->ref_count; p++) {
        if (!add_value(mt, st, p * a->rows_max + a->rows, &st->refs[p], row, err))
            return false;
    }
    a->rows++;
    if (a->bytes.len + 16 * st->ref_count + 1024 <= mt->packet_bytes)
        return true;
    err_set(err, ERR_DATA,
            "the row has %zu bytes, the server's max_allowed_packet is %zu: raise it there, then start apply "
            "again (SQLSTATE 22001)",
            a->bytes.len, mt->packet_bytes);
    memcpy(err->sqlstate, "22001", 6);
    return row_err(st->tab, row, NULL, err);
}

bool md_stmt_one(struct md_target *mt, struct md_table *tab, enum md_kind kind, struct md_set *set,
                 const struct target_row *row, bool must_find, struct err *err)
{
    struct md_stmt *st;
    if (!md_stmt_start(mt, tab, kind, set, &st, err) || !md_stmt_add(mt, st, row, err))
        return false;
    return (md_stmt_flush(mt, st, err) && (!must_find || md_all_found(NULL, st->touched, 1, err))) ||
           row_err(tab, row, NULL, err);
}
