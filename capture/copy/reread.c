/* Owns: reading a row again by its key. See reread.h. */
#include "capture/copy/reread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/filters/filters.h"
#include "core/alloc.h"
#include "core/log.h"

/* Columns in front of the table's own. */
enum { CELL_SNAPSHOT = 0, CELL_LSN, CELL_FIRST };

bool cap_row_is_whole(const struct cap_table_writer *tw, const struct datum *row)
{
    for (size_t i = 0; i < tw->schema->field_count; i++) {
        if (row[i].state == DATUM_UNAVAILABLE)
            return false;
    }
    return true;
}

/* where: of the rows that are published; NULL = all. One that is not any more is as good as gone: its deletion follows. */
static void make_sql(const struct cap_relation *rel, const char *where, struct strbuf *sql)
{
    strbuf_adds(sql, "SELECT pg_catalog.pg_current_snapshot()::text, (" SOURCE_VISIBLE_LSN ")::text");
    for (size_t i = 0; i < rel->column_count; i++) {
        strbuf_adds(sql, ", p.");
        pg_quote_ident(sql, rel->columns[i].name);
        strbuf_adds(sql, rel->writer->readers[i].as_text ? "::text" : "");
    }
    strbuf_adds(sql, " FROM (SELECT) one LEFT JOIN (SELECT true AS \"crossfade there\", t.* FROM ");
    pg_quote_table(sql, rel->schema, rel->table);
    strbuf_adds(sql, " AS t WHERE ");
    for (size_t k = 0; k < rel->key_count; k++) {
        strbuf_adds(sql, k > 0 ? " AND t." : "t.");
        pg_quote_ident(sql, rel->columns[rel->key[k]].name);
        strbuf_addf(sql, " = $%zu", k + 1);
    }
    if (where != NULL)
        strbuf_addf(sql, " AND (%s\n)", where);
    strbuf_adds(sql, ") AS p ON true");
}

static bool take(struct cap_stream *st, struct cap_relation *rel, const struct pg_result *res,
                 struct err *err)
{
    bool ok = true;
    struct pgoutput_value *values = xcalloc(rel->column_count + 1, sizeof *values);
    for (size_t i = 0; i < rel->column_count; i++) {
        int cell = CELL_FIRST + (int)i;
        if (pg_is_null(res, 0, cell))
            values[i].kind = PGOUTPUT_NULL;
        else
            values[i] = (struct pgoutput_value){.kind = PGOUTPUT_BINARY,
                                                .p = pg_cell(res, 0, cell),
                                                .len = (uint32_t)pg_cell_len(res, 0, cell)};
    }
    /* The result goes away; its bytes must not. */
    for (size_t i = 0; i < rel->column_count; i++) {
        if (values[i].kind == PGOUTPUT_BINARY)
            values[i].p = arena_copy(&st->arena, values[i].p, values[i].len);
    }
    ok = cap_table_writer_read(rel->writer, values, rel->column_count, &st->arena, rel->writer->after, err);
    free(values);
    return ok;
}

/* The server has the columns that it announced, in their order, with their types. More behind them (added since) do no harm. now: with
 * all its columns, or, where the publication's list keeps some from being announced, with those that are. */
static bool same_columns(const struct cap_relation *rel, const struct source_table *now)
{
    size_t count = rel->announced != NULL ? rel->announced_count : rel->column_count;
    bool same = now->column_count >= count && strcmp(now->schema, rel->schema) == 0 &&
                strcmp(now->name, rel->table) == 0;
    for (size_t i = 0; same && i < count; i++)
        same = strcmp(now->columns[i].name,
                      rel->announced != NULL ? rel->announced[i] : rel->columns[i].name) == 0;
    for (size_t i = 0; same && i < rel->column_count; i++) {
        const struct source_column *c = &now->columns[rel->kept != NULL ? rel->kept[i] : i];
        same = c->type_oid == rel->columns[i].type_oid && c->typmod == rel->columns[i].typmod;
    }
    return same;
}

/* Where the server leaves columns out by itself, their order does not tell that two have changed names. */
static bool same_as_announced(const struct cap_session *s, const struct cap_relation *rel,
                              struct source_table *now, bool *ret_same, struct err *err)
{
    bool listed = rel->announced != NULL && rel->kept == NULL;
    bool renamed = false;
    if (listed && (!cap_filters_shape(s->settings->rules, now, err) ||
                   !cap_filters_renamed(s, s->sql, rel->oid, &renamed, err)))
        return false;
    *ret_same = !renamed && same_columns(rel, now);
    return true;
}

/* Begins a transaction in which the table stays as the stream has announced it; *ret_same false: it is another already. */
static bool hold_table(const struct cap_session *s, const struct cap_relation *rel, bool *ret_same,
                       struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct source_table now = {0};
    bool found = false;
    *ret_same = true;
    strbuf_adds(&sql, "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY; LOCK TABLE ");
    pg_quote_table(&sql, rel->schema, rel->table);
    strbuf_adds(&sql, " IN ACCESS SHARE MODE");
    bool ok = strbuf_ok(&sql, "LOCK TABLE", err) && pg_exec(s->sql, sql.data, err) &&
              source_table_load(s->sql, rel->oid, &now, &found, err);
    strbuf_release(&sql);
    if (!ok)
        return false;
    ok = !found || same_as_announced(s, rel, &now, ret_same, err);
    source_table_release(&now);
    return ok;
}

/* Values that were not sent are not there any more as the change has them, but its row is: copied once more, it comes. */
static bool copy_anew(struct cap_stream *st, const struct cap_relation *rel, struct err *err)
{
    if (!pg_exec(st->session->sql, "ROLLBACK", err))
        return false;
    if (!cap_copier_begin_anew(st->copier, rel->oid))
        return err_set(err, ERR_SCHEMA,
                       "the table's columns were changed behind this change, while some of its rows are "
                       "copied: values that were not sent are not there any more in its shape. Start over "
                       "with an empty journal (and change tables when a copy is complete)");
    log_event(LOG_LEVEL_WARN, "copy_anew",
              "table=%s.%s text=\"its columns were changed behind a change that moves a row: the table is "
              "copied from its first row on\"",
              rel->schema, rel->table);
    return true;
}

/* *ret_seen: what was read is new enough, or will be copied (then *ret_there is false). */
static bool look(struct cap_stream *st, struct cap_relation *rel, const char *sql,
                 const struct pg_param *params, bool *ret_seen, bool *ret_there, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct cap_snapshot snap = {0};
    lsn_t insert_lsn = 0;
    bool same = false;
    if (!hold_table(st->session, rel, &same, err))
        return false;
    if (!same) {
        *ret_seen = true;
        *ret_there = false;
        return copy_anew(st, rel, err);
    }
    if (!pg_query_binary(st->session->sql, sql, rel->key_count, params, &res, err) ||
        !pg_exec(st->session->sql, "COMMIT", err))
        return false;
    if (pg_rows(res) != 1 || !lsn_parse(pg_cell(res, 0, CELL_LSN), &insert_lsn))
        return err_set(err, ERR_PROTOCOL, "reading a row again: %d rows came for its key", pg_rows(res));
    if (!cap_snapshot_parse(pg_cell(res, 0, CELL_SNAPSHOT), &snap, err))
        return false;
    *ret_seen = cap_snapshot_sees(&snap, st->txn.xid);
    cap_snapshot_release(&snap);
    if (!*ret_seen)
        return true;
    cap_copier_read_ahead(st->copier, insert_lsn);
    *ret_there = !pg_is_null(res, 0, CELL_FIRST + (int)rel->key[0]); /* a key is never null */
    return !*ret_there || take(st, rel, res, err);
}

bool cap_reread(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_tuple *new_row,
                bool *ret_there, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct pg_param *params = xcalloc(rel->key_count + 1, sizeof *params);
    for (size_t k = 0; k < rel->key_count; k++) {
        const struct pgoutput_value *v = &new_row->values[rel->key[k]];
        params[k] =
            (struct pg_param){.type_oid = rel->columns[rel->key[k]].type_oid,
                              .text = v->kind == PGOUTPUT_TEXT,
                              .bytes = arena_copy(&st->arena, v->p, v->len), /* a text needs its end */
                              .len = (int)v->len};
    }
    make_sql(rel, table_rules_where(st->session->settings->rules, rel->schema, rel->table), &sql);
    struct timespec nap = {.tv_nsec = 1000000};
    bool seen = false, ok = strbuf_ok(&sql, "SELECT", err);
    while (ok && !seen) { /* committed, but not out of the list of running transactions yet */
        ok = look(st, rel, sql.data, params, &seen, ret_there, err);
        if (ok && !seen)
            (void)nanosleep(&nap, NULL);
        if (ok && !seen && cap_stop_asked(st->session))
            ok = err_set(err, ERR_INTERRUPTED, "stopped while a transaction becomes visible");
    }
    free(params);
    strbuf_release(&sql);
    return ok || err_wrap(err, "reading a row again");
}
