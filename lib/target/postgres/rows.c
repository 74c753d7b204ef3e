/* Owns: row statements, prepared when they are met (session.c) and sent through a pipeline: small batches (one round trip
 * with commit) and replay in exact order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "postgres.h"

bool pgt_table_err(const struct pg_table *tab, struct err *err)
{
    return err_wrap(err, "table=%s.%s", tab->base.schema->schema, tab->base.schema->table);
}

/* "id=5 name=x" of the row's key; values only up to a readable length. */
static void describe_key(const struct pg_table *tab, const struct target_row *row, struct strbuf *sb)
{
    const struct datum *values = row->old != NULL ? row->old : row->row;
    struct strbuf text = STRBUF_INIT(VALUE_MAX);
    for (size_t i = 0; i < tab->key_count && values != NULL; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        strbuf_clear(&text);
        if (values[col->index].state == DATUM_VALUE &&
            pg_write_text(&col->writer, &values[col->index], &text, NULL))
            strbuf_addf(sb, "%s%s=%.80s", i > 0 ? "," : " key ", col->field->name, text.data);
    }
    strbuf_release(&text);
}

static bool row_err(const struct pg_target *pt, const struct queued_row *q, struct err *err)
{
    if (q->tab == NULL)
        return false;
    if (q->row == NULL || !pt->rows_valid)
        return pgt_table_err(q->tab, err);
    struct strbuf key = STRBUF_INIT(300);
    describe_key(q->tab, q->row, &key);
    err_wrap(err, "table=%s.%s lsn=" LSN_FMT "%s", q->tab->base.schema->schema, q->tab->base.schema->table,
             LSN_ARGS(q->row->commit_lsn), key.data);
    strbuf_release(&key);
    return false;
}

static bool check_result(void *ctx, size_t index, const struct pg_result *res, struct err *err)
{
    const struct pg_target *pt = ctx;
    if (index >= pt->queued_count || !pt->queued[index].must_hit || pg_affected(res) == 1)
        return true;
    err_set(err, ERR_DATA,
            "%lld rows were found on the target where one has to be changed: compare both sides, "
            "then start a new copy",
            (long long)pg_affected(res));
    memcpy(err->sqlstate, "P0002", 6); /* no_data_found: replay in order names the row */
    return false;
}

bool pgt_sync(struct pg_target *pt, struct err *err)
{
    size_t failed = SIZE_MAX;
    if (!pg_pipeline_active(pt->conn) || pg_pipeline_queued(pt->conn) == 0)
        return true;
    bool ok = pg_pipeline_sync(pt->conn, check_result, pt, &failed, err);
    if (!ok && failed < pt->queued_count)
        row_err(pt, &pt->queued[failed], err);
    pgt_statements_settled(pt, ok);
    pt->queued_count = 0;
    pt->must_look = false;
    return ok;
}

static void note_queued(struct pg_target *pt, struct queued_row q)
{
    if (pt->queued_count == pt->queued_cap) {
        pt->queued_cap = pt->queued_cap == 0 ? 64 : 2 * pt->queued_cap;
        pt->queued = xrealloc(pt->queued, pt->queued_cap * sizeof *pt->queued);
    }
    pt->queued[pt->queued_count++] = q;
}

bool pgt_queue_text(struct pg_target *pt, const char *sql, int count, const char *const *params,
                    struct err *err)
{
    note_queued(pt, (struct queued_row){0});
    return pg_pipeline_query(pt->conn, sql, count, params, err);
}

bool pgt_pipeline(struct pg_target *pt, struct err *err)
{
    if (pt->copy != NULL && !pgt_copy_end(pt, err))
        return false;
    if (!pg_pipeline_active(pt->conn)) {
        pt->queued_count = 0;
        pt->must_look = false;
        if (!pg_pipeline_begin(pt->conn, err))
            return false;
    }
    if (pt->begun)
        return true;
    pt->begun = true;
    return pgt_queue_text(pt, "BEGIN", 0, NULL, err);
}

bool pgt_queue_prepare(struct pg_target *pt, const struct pg_table *tab, const char *name, const char *sql,
                       struct err *err)
{
    note_queued(pt, (struct queued_row){.tab = tab});
    return pg_pipeline_prepare(pt->conn, name, sql, err);
}

static bool add_value(struct pg_target *pt, struct row_params *p, const struct pg_table *tab,
                      const struct pg_column *col, const struct target_row *row, const struct datum *value,
                      struct err *err)
{
    int n = p->count++;
    size_t before = pt->out.len;
    bool binary = col->writer.mode == PG_WRITE_BINARY;
    p->offsets[n] = value->state == DATUM_NULL ? SIZE_MAX : before;
    p->formats[n] = binary;
    p->lengths[n] = 0;
    if (value->state == DATUM_NULL)
        return true;
    if (value->state == DATUM_UNAVAILABLE)
        return err_set(err, ERR_PROTOCOL, "the record does not hold the value"),
               pgt_value_err(tab, col, row, err);
    struct err why = ERR_INIT;
    bool ok = binary ? pg_write_binary(&col->writer, value, &pt->out, &why)
                     : pg_write_text(&col->writer, value, &pt->out, &why);
    if (!ok && pgt_becomes_null(tab, col, &why)) {
        pt->out.len = before;
        p->offsets[n] = SIZE_MAX;
        return true;
    }
    if (!ok) {
        *err = why;
        return pgt_value_err(tab, col, row, err);
    }
    p->lengths[n] = (int)(pt->out.len - before);
    strbuf_addc(&pt->out, '\0');
    return strbuf_ok(&pt->out, "row", err);
}

static bool add_old(struct pg_target *pt, struct row_params *p, const struct pg_table *tab,
                    const struct target_row *row, struct err *err)
{
    const struct datum *values = row->old != NULL ? row->old : row->row;
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        if (!add_value(pt, p, tab, col, row, &values[col->index], err))
            return false;
    }
    for (size_t i = 0; tab->key_count == 0 && i < tab->column_count; i++) {
        if (!add_value(pt, p, tab, &tab->columns[i], row, &values[tab->columns[i].index], err))
            return false;
    }
    return true;
}

static bool queue(struct pg_target *pt, const struct pg_table *tab, const struct target_row *row,
                  bool must_hit, const struct pgt_prepared *stmt, struct row_params *p, struct err *err)
{
    char name[64];
    if (pt->queued_count >= PIPELINE_MAX && !pgt_sync(pt, err))
        return false;
    if (!pgt_pipeline(pt, err))
        return false;
    for (int i = 0; i < p->count; i++)
        p->values[i] = p->offsets[i] == SIZE_MAX ? NULL : pt->out.data + p->offsets[i];
    pt->must_look = pt->must_look || must_hit;
    note_queued(pt, (struct queued_row){.tab = tab, .row = row, .must_hit = must_hit});
    struct pg_params params = {
        .count = p->count, .values = p->values, .lengths = p->lengths, .formats = p->formats};
    pgt_statement_name(stmt, name);
    return pg_pipeline_exec(pt->conn, name, &params, err);
}

static bool queue_insert(struct pg_target *pt, struct pg_table *tab, const struct target_row *row,
                         enum row_insert how, struct row_params *p, struct err *err)
{
    if (!pgt_statement_there(pt, &tab->insert[how])) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        sql_row_insert(&sql, tab, how);
        if (!pgt_statement_make(pt, tab, &tab->insert[how], &sql, err))
            return false;
    }
    strbuf_clear(&pt->out);
    p->count = 0;
    for (size_t i = 0; i < tab->column_count; i++) {
        if (!add_value(pt, p, tab, &tab->columns[i], row, &row->row[tab->columns[i].index], err))
            return false;
    }
    return queue(pt, tab, row, false, &tab->insert[how], p, err);
}

static bool queue_update(struct pg_target *pt, struct pg_table *tab, const struct target_row *row,
                         bool must_hit, struct row_params *p, struct err *err)
{
    struct column_set *set = pgt_column_set(tab, row);
    if (!set_changes_anything(tab, set))
        return true;
    if (!pgt_statement_there(pt, &set->prepared)) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        sql_row_update(&sql, tab, set);
        if (!pgt_statement_make(pt, tab, &set->prepared, &sql, err))
            return false;
    }
    strbuf_clear(&pt->out);
    p->count = 0;
    for (size_t i = 0; i < tab->column_count; i++) {
        if (stage_has_column(tab, STAGE_UPDATE, set, i) &&
            !add_value(pt, p, tab, &tab->columns[i], row, &row->row[tab->columns[i].index], err))
            return false;
    }
    return add_old(pt, p, tab, row, err) && queue(pt, tab, row, must_hit, &set->prepared, p, err);
}

static bool queue_delete(struct pg_target *pt, struct pg_table *tab, const struct target_row *row,
                         struct row_params *p, struct err *err)
{
    if (!pgt_statement_there(pt, &tab->remove)) {
        struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
        sql_row_delete(&sql, tab);
        if (!pgt_statement_make(pt, tab, &tab->remove, &sql, err))
            return false;
    }
    strbuf_clear(&pt->out);
    p->count = 0;
    return add_old(pt, p, tab, row, err) && queue(pt, tab, row, tab->key_count == 0, &tab->remove, p, err);
}

static bool queue_upsert(struct pg_target *pt, struct pg_table *tab, const struct target_row *row,
                         struct row_params *p, struct err *err)
{
    if (tab->delete_first)
        return pgt_may_take_out(pt, tab, err) && queue_delete(pt, tab, row, p, err) &&
               queue_insert(pt, tab, row, ROW_PLAIN, p, err);
    if (tab->arbiter)
        return queue_insert(pt, tab, row, ROW_UPSERT, p, err);
    return queue_update(pt, tab, row, false, p, err) && queue_insert(pt, tab, row, ROW_IF_ABSENT, p, err);
}

bool pgt_row_queue(struct pg_target *pt, struct pg_table *tab, const struct target_row *row, struct err *err)
{
    bool ok = false;
    if (!pgt_copy_end(pt, err)) /* its rows are in the buffer that parameters are written to next */
        return false;
    switch (row->op) {
    case TARGET_INSERT:
        ok = queue_insert(pt, tab, row, ROW_PLAIN, &pt->params, err);
        break;
    case TARGET_UPSERT:
        ok = queue_upsert(pt, tab, row, &pt->params, err);
        break;
    case TARGET_UPDATE:
        ok = queue_update(pt, tab, row, !row->may_miss, &pt->params, err);
        break;
    case TARGET_DELETE:
        ok = queue_delete(pt, tab, row, &pt->params, err);
        break;
    case TARGET_OP_UNKNOWN:
        BUG("row without operation");
    }
    return ok;
}
