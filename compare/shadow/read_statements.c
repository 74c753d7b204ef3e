/*
 * Owns: the workload of pg_stat_statements. Its texts are normalised: a constant is $1 there, so parameters have to be found. What is
 * held against a column gets values of that column, read from some rows of its table (the same rows for all of its columns, so that
 * a = $1 AND b = $2 meets something most of the time); LIMIT and OFFSET get 10 and 0; a lone constant of the select list gets 1. A text with any other
 * parameter is listed as "needs parameters".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "latency.h"
#include "workload.h"

#define ROWS_OF_A_TABLE 50

struct sampler {
    struct workload *w;
    struct pg_conn *conn; /* the source, in a read-only transaction with a savepoint "crossfade" */
    unsigned seed;        /* of the block samples */
};

static void recover(struct pg_conn *conn)
{
    (void)!pg_exec(conn, "ROLLBACK TO SAVEPOINT crossfade",
                   NULL); /* a broken connection shows with the next statement */
}

/* The first of the parameter's tables that has the column, quoted; NULL if none has. */
static char *table_of(struct sampler *s, const struct sql_param *p)
{
    for (size_t i = 0; i < p->table_count; i++) {
        PG_RESULT_AUTO res = NULL;
        struct strbuf name = STRBUF_INIT(1024);
        if (p->tables[i].schema != NULL)
            pg_quote_table(&name, p->tables[i].schema, p->tables[i].name);
        else
            pg_quote_ident(&name, p->tables[i].name);
        const char *params[] = {name.data, p->column};
        bool there = pg_query(s->conn,
                              "SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass($1) AND "
                              "attname = $2 AND attnum > 0"
                              " AND NOT attisdropped",
                              2, params, &res, NULL) &&
                     pg_rows(res) == 1;
        if (there)
            return strbuf_detach(&name);
        strbuf_release(&name);
        if (res == NULL)
            recover(s->conn);
    }
    return NULL;
}

/* Some rows of the table, not always its first ones: of a large table a block sample. Values are in the text form of their type. */
static bool sample_rows(struct sampler *s, const char *table, const char *columns, const char *order,
                        struct pg_result **ret)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    double rows = 0;
    char *text = NULL;
    const char *params[] = {table};
    if (pg_query_text(s->conn,
                      "SELECT reltuples::text FROM pg_catalog.pg_class WHERE oid = to_regclass($1) AND "
                      "relkind IN ('r', 'm')",
                      1, params, &text, NULL) &&
        text != NULL)
        rows = atof(text);
    else
        recover(s->conn);
    free(text);
    if (rows > 20000)
        strbuf_addf(
            &sql, "SELECT %s FROM (SELECT * FROM %s TABLESAMPLE SYSTEM (%.6f) REPEATABLE (%u) LIMIT %d) t%s",
            columns, table, MIN_OF(100.0, 1000.0 * 100.0 / rows), s->seed, ROWS_OF_A_TABLE, order);
    else
        strbuf_addf(&sql, "SELECT %s FROM (SELECT * FROM %s LIMIT %d) t%s", columns, table, ROWS_OF_A_TABLE,
                    order);
    bool ok = !sql.failed && pg_query(s->conn, sql.data, 0, NULL, ret, NULL) && pg_rows(*ret) > 0;
    if (*ret == NULL)
        recover(s->conn);
    strbuf_release(&sql);
    return ok;
}

/* A parameter's values, one per row of the sample. */
struct values {
    char *table;
    char *fixed;
    char *list[ROWS_OF_A_TABLE];
    size_t count;
    size_t shift; /* the second parameter for one column takes the next row's: BETWEEN $1 AND $2 */
};

static void values_release(struct values *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->list[i]);
    free(v->table);
}

static bool read_values(struct sampler *s, const struct sql_param *p, struct values *v)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf column = STRBUF_INIT(4096), order = STRBUF_INIT(4096);
    if ((v->table = table_of(s, p)) == NULL)
        return false;
    /* = ANY ($1) takes an array: of one value */
    strbuf_adds(&column, p->array ? "ARRAY[t." : "t.");
    pg_quote_ident(&column, p->column);
    strbuf_adds(&column, p->array ? "]::text" : "::text");
    strbuf_adds(&order, " WHERE t.");
    pg_quote_ident(&order, p->column);
    strbuf_adds(&order, " IS NOT NULL AND pg_catalog.pg_column_size(t.");
    pg_quote_ident(&order, p->column);
    strbuf_adds(&order, ") < 8000"); /* a value of a gigabyte is no parameter */
    if (p->range) {
        strbuf_adds(&order, " ORDER BY t.");
        pg_quote_ident(&order, p->column);
    }
    bool ok = sample_rows(s, v->table, column.data, order.data, &res);
    for (int i = 0; ok && i < pg_rows(res) && v->count < ROWS_OF_A_TABLE; i++)
        v->list[v->count++] = xstrdup(pg_cell(res, i, 0));
    strbuf_release(&column);
    strbuf_release(&order);
    return ok;
}

static bool find_values(struct sampler *s, const struct sql_statement *st, struct values *values,
                        char *ret_needs, size_t size)
{
    for (size_t i = 0; i < st->param_count; i++) {
        const struct sql_param *p = &st->params[i];
        bool found = true;
        if (!p->used)
            values[i].fixed = NULL;
        else if (p->role == PARAM_LIMIT || p->role == PARAM_OFFSET)
            values[i].fixed = p->role == PARAM_LIMIT ? "10" : "0";
        else if (p->role == PARAM_VALUE)
            values[i].fixed = "1";
        else
            found = p->role == PARAM_COLUMN && read_values(s, p, &values[i]);
        if (!found) {
            (void)snprintf(ret_needs, size, "needs parameters: $%zu%s", i + 1,
                           p->role == PARAM_COLUMN ? " (no value of its column was found)"
                                                   : " (held against no column)");
            return false;
        }
        for (size_t e = 0; e < i; e++)
            values[i].shift += p->range && st->params[e].range && values[e].table != NULL &&
                               values[i].table != NULL && strcmp(values[e].table, values[i].table) == 0 &&
                               strcmp(st->params[e].column, p->column) == 0;
    }
    return true;
}

/* Whether the server takes the text with these parameters; else *ret_state says why not. */
static bool server_takes(struct sampler *s, const char *sql, char *const *params, size_t count,
                         char ret_state[6])
{
    PG_RESULT_AUTO res = NULL;
    struct err why = ERR_INIT;
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&text, "EXPLAIN %s", sql);
    bool ok =
        !text.failed && pg_query(s->conn, text.data, (int)count, (const char *const *)params, &res, &why);
    strbuf_release(&text);
    if (!ok)
        recover(s->conn);
    memcpy(ret_state, why.sqlstate, 6);
    return ok;
}

static size_t variants_of(const struct sql_statement *st, const struct values *values, size_t wanted)
{
    size_t most = 1;
    for (size_t i = 0; i < st->param_count; i++)
        most = MAX_OF(most, values[i].count);
    return MIN_OF(most, wanted);
}

/* One text and its values: the variants go into the workload, each an equal part of the weight. */
static void offer_variants(struct sampler *s, const struct offer *base, const struct sql_statement *st,
                           const struct values *values)
{
    char *params[SQL_PARAMS_MAX] = {NULL}, state[6] = "", needs[80];
    char *own CLEANUP(free_ptr) = NULL;
    size_t n = variants_of(st, values, s->w->variant_max);
    struct offer o = *base;
    o.params = params;
    o.param_count = st->param_count;
    o.weight = base->weight / (double)n;
    for (size_t v = 0; v < n; v++) {
        for (size_t i = 0; i < st->param_count; i++)
            params[i] = values[i].count > 0
                            ? values[i].list[(v * values[i].count / n + values[i].shift) % values[i].count]
                            : values[i].fixed;
        if (v == 0 && !server_takes(s, o.sql, params, o.param_count, state)) {
            own = sql_in_own_words(o.sql);
            if (own != NULL)
                o.sql = own;
            if (own == NULL || !server_takes(s, own, params, o.param_count, state)) {
                (void)snprintf(needs, sizeof needs,
                               "needs parameters: the source refuses it with those found (SQLSTATE %s)",
                               state);
                workload_need(s->w, base, st, needs);
                return;
            }
        }
        o.whole = true;
        workload_offer(s->w, &o);
    }
}

static void take_read(struct sampler *s, const struct offer *base, const struct sql_statement *st)
{
    char needs[80] = "";
    struct values *values = xcalloc(st->param_count + 1, sizeof *values);
    if (!find_values(s, st, values, needs, sizeof needs))
        workload_need(s->w, base, st, needs);
    else
        offer_variants(s, base, st, values);
    for (size_t i = 0; i < st->param_count; i++)
        values_release(&values[i]);
    free(values);
}

static void take_text(struct sampler *s, const char *sql, double calls)
{
    struct sql_script script = {0};
    const struct offer base = {.origin = "pg_stat_statements", .sql = sql, .weight = calls};
    bool plain = !sql_parse(sql, &script, NULL) || script.count != 1 ||
                 script.statements[0].param_count == 0 || script.statements[0].kind != SQL_READ ||
                 script.statements[0].catalog;
    if (plain) /* counted or taken as it is */
        workload_offer(s->w, &base);
    else if (s->w->sample_percent < 100 && shadow_random_below(&s->w->random, 100) >= s->w->sample_percent)
        workload_leave_out(s->w, 1, "not drawn: compare.shadow.sample");
    else
        take_read(s, &base, &script.statements[0]);
    sql_script_release(&script);
}

bool workload_read_statements(struct workload *w, struct pg_conn *source, struct err *err)
{
    struct sampler s = {.w = w, .conn = source, .seed = (unsigned)(shadow_random(&w->random) & 0xffff)};
    PG_RESULT_AUTO where = NULL;
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(4096);
    if (!pg_query(source,
                  "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = "
                  "e.extnamespace"
                  " WHERE e.extname = 'pg_stat_statements'",
                  0, NULL, &where, err))
        return err_wrap(err, "source");
    if (pg_rows(where) == 0)
        return err_set(err, ERR_CONFIG,
                       "compare.shadow.statements: the source has no extension pg_stat_statements in this "
                       "database (CREATE EXTENSION "
                       "pg_stat_statements; it has to be in shared_preload_libraries)");
    /* Those that ran most come first: compare.shadow.max_queries cuts at the end. Texts that our role may not see are NULL or a note. */
    strbuf_adds(&sql, "SELECT query, coalesce(sum(calls) FILTER (WHERE userid <> me.oid), 0)::float8::text, "
                      "bool_and(userid = me.oid)"
                      " FROM (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user) me, ");
    pg_quote_table(&sql, pg_cell(where, 0, 0), "pg_stat_statements");
    strbuf_adds(
        &sql,
        " WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        " GROUP BY query ORDER BY coalesce(sum(calls) FILTER (WHERE userid <> me.oid), 0) DESC, query LIMIT "
        "20000");
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(source, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (!ok)
        return err_wrap(err, "source: pg_stat_statements");
    for (int i = 0; i < pg_rows(res); i++) {
        if (workload_is_stopped(w, err))
            return false;
        if (pg_is_null(res, i, 0) || strcmp(pg_cell(res, i, 0), "<insufficient privilege>") == 0)
            workload_leave_out(w, 1, "text not shown to our role (grant it pg_read_all_stats)");
        else if (pg_cell_bool(res, i, 2))
            workload_leave_out(w, 1, "of Crossfade itself");
        else
            take_text(&s, pg_cell(res, i, 0), atof(pg_cell(res, i, 1)));
    }
    return true;
}
