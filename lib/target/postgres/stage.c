/* Owns: COPY BINARY into a staging table, or straight into the target table. A COPY into the table itself
 * stays open over calls, so that a long copy of rows is one statement (documentation: COPY, "Binary Format").
 */
#include <string.h>

#include "core/failpoint.h"
#include "postgres.h"

static const char COPY_HEADER[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

static bool flush_out(struct pg_target *pt, size_t at_least, struct err *err)
{
    if (pt->out.len < at_least || pt->out.len == 0)
        return true;
    bool ok = pg_copy_in_put(pt->conn, pt->out.data, pt->out.len, err);
    strbuf_clear(&pt->out);
    return ok;
}

static bool copy_begin(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind,
                       const struct column_set *set, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    sql_copy(&sql, tab, kind, set);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_copy_in_begin(pt->conn, sql.data, err);
    strbuf_release(&sql);
    strbuf_clear(&pt->out);
    strbuf_add(&pt->out, COPY_HEADER, sizeof COPY_HEADER);
    return ok || pgt_table_err(tab, err);
}

static bool copy_finish(struct pg_target *pt, const struct pg_table *tab, struct err *err)
{
    strbuf_add_be16(&pt->out, 0xffff);
    bool ok =
        strbuf_ok(&pt->out, "rows", err) && flush_out(pt, 0, err) && pg_copy_in_end(pt->conn, NULL, err);
    strbuf_clear(&pt->out);
    return ok || pgt_table_err(tab, err);
}

bool pgt_copy_end(struct pg_target *pt, struct err *err)
{
    struct pg_table *tab = pt->copy;
    pt->copy = NULL;
    return tab == NULL || copy_finish(pt, tab, err);
}

/* There is nothing nearest here: what a column of PostgreSQL refuses is text (too long, a zero byte) or a number of too many digits. */
bool pgt_becomes_null(const struct pg_table *tab, const struct pg_column *col, const struct err *why)
{
    if (col->unfit != TARGET_UNFIT_NULL || why->code != ERR_DATA || col->key || !col->nullable)
        return false;
    struct pg_column *mine = &tab->columns[col - tab->columns];
    target_unfit_tell(tab->base.schema, col->field->name, col->unfit, "the target's column", &mine->told);
    return true;
}

bool pgt_value_err(const struct pg_table *tab, const struct pg_column *col, const struct target_row *row,
                   struct err *err)
{
    return err_wrap(err, "table=%s.%s column=%s lsn=" LSN_FMT, tab->base.schema->schema,
                    tab->base.schema->table, col->field->name, LSN_ARGS(row->commit_lsn));
}

static bool put_value(struct pg_target *pt, const struct pg_table *tab, const struct pg_column *col,
                      const struct target_row *row, const struct datum *value, struct err *err)
{
    struct err why = ERR_INIT;
    size_t before = pt->out.len;
    if (pg_write_copy(&col->writer, value, &pt->out, &why))
        return true;
    if (pgt_becomes_null(tab, col, &why)) {
        pt->out.len = before;
        strbuf_add_be32(&pt->out, UINT32_MAX);
        return true;
    }
    *err = why;
    return pgt_value_err(tab, col, row, err);
}

static bool put_old_key(struct pg_target *pt, const struct pg_table *tab, const struct target_row *row,
                        struct err *err)
{
    const struct datum *values = row->old != NULL ? row->old : row->row;
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        if (!put_value(pt, tab, col, row, &values[col->index], err))
            return false;
    }
    return true;
}

/* Columns that this staging table has, in its order. */
static size_t list_columns(const struct pg_table *tab, enum stage_kind kind, const struct column_set *set,
                           size_t *list)
{
    size_t n = 0;
    for (size_t i = 0; i < tab->column_count; i++) {
        if (stage_has_column(tab, kind, set, i))
            list[n++] = i;
    }
    return n;
}

static bool put_rows(struct pg_target *pt, const struct pg_table *tab, enum stage_kind kind,
                     const struct column_set *set, const struct target_row *const *rows, size_t count,
                     struct err *err)
{
    size_t list[PG_MAX_COLUMNS];
    size_t n = list_columns(tab, kind, set, list);
    bool with_key = kind == STAGE_DELETE || kind == STAGE_UPDATE;
    uint16_t fields = (uint16_t)(n + (with_key ? tab->key_count : 0));
    for (size_t r = 0; r < count; r++) {
        strbuf_add_be16(&pt->out, fields);
        if (with_key && !put_old_key(pt, tab, rows[r], err))
            return false;
        for (size_t i = 0; i < n; i++) {
            const struct pg_column *col = &tab->columns[list[i]];
            if (!put_value(pt, tab, col, rows[r], &rows[r]->row[col->index], err))
                return false;
        }
        if (!strbuf_ok(&pt->out, "row", err) || !flush_out(pt, COPY_CHUNK, err))
            return false;
    }
    return true;
}

static bool make_stage(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind,
                       struct column_set *set, struct err *err)
{
    bool *there = set != NULL ? &set->staged : &tab->staged[kind];
    bool *used = set != NULL ? &set->used : &tab->used[kind];
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = true;
    if (!*there) {
        sql_create_stage(&sql, tab, kind, set);
        pt->stage_count++;
        ok = pgt_exec(pt, &sql, err);
        strbuf_clear(&sql);
    }
    if (ok && *used) { /* it holds rows of an earlier part of this transaction */
        strbuf_adds(&sql, "TRUNCATE ");
        sql_stage_name(&sql, tab, kind, set);
        ok = pgt_exec(pt, &sql, err);
    }
    strbuf_release(&sql);
    *there = ok;
    *used = true;
    return ok;
}

bool pgt_stage(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind, struct column_set *set,
               const struct target_row *const *rows, size_t count, struct err *err)
{
    if (kind == STAGE_DIRECT && pt->copy == tab)
        return put_rows(pt, tab, kind, NULL, rows, count, err);
    if (!pgt_plain(pt, err) || (kind != STAGE_DIRECT && !make_stage(pt, tab, kind, set, err)))
        return false;
    if (!failpoint("apply.copy", err) || !copy_begin(pt, tab, kind, set, err))
        return false;
    pt->copy = tab; /* begin() aborts it if a row cannot be written */
    if (!put_rows(pt, tab, kind, set, rows, count, err))
        return false;
    return kind == STAGE_DIRECT || pgt_copy_end(pt, err);
}
