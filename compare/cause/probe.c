/* Owns: the questions about a row that go to the servers. See probe.h. */
#include "cause/probe.h"

#include <stdlib.h>
#include <string.h>

#include "cause/target_look.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "pg/conn.h"

#define LONG_MARK     " characters, sha256 " /* sqlgen.h: stands in place of a longer text */
#define COLUMNS_ASKED 20

static const struct cause_ops *ops_of(const struct table_probe *probe)
{
    return probe->pt->dialect[SIDE_TARGET] == DIALECT_MARIADB ? &cause_mariadb : &cause_postgres;
}

/* NULL: it failed, and the session is as it was. */
static struct rowset *ask(const struct table_probe *probe, enum side side, const struct statement *st)
{
    struct session *s = probe->causes->pair->session[side];
    struct rowset *res = NULL;
    struct err why = ERR_INIT;
    if (st->sql.failed || !session_query(s, st, &res, &why)) {
        (void)!session_recover(s, NULL); /* what is broken shows with the next statement */
        return NULL;
    }
    return res;
}

static struct rowset *ask_of_table(const struct table_probe *probe, const char *sql)
{
    const struct catalog *cat = &probe->causes->cats[SIDE_TARGET];
    const struct cat_table *table = catalog_find(cat, probe->pt->out.schema, probe->pt->out.table);
    if (table == NULL)
        return NULL;
    const char *params[] = {table->schema, table->name};
    struct statement st = {STRBUF_INIT(STRBUF_SQL_MAX), 2, params};
    strbuf_adds(&st.sql, sql);
    struct rowset *res = ask(probe, SIDE_TARGET, &st);
    strbuf_release(&st.sql);
    return res;
}

void table_probe_open(const struct causes *causes, const struct plan_table *pt, struct table_probe *ret)
{
    *ret = (struct table_probe){.causes = causes, .pt = pt};
    ret->columns = ask_of_table(ret, ops_of(ret)->columns);
    ret->triggers = ask_of_table(ret, ops_of(ret)->triggers(causes->pair->session[SIDE_TARGET]));
    struct rowset *sees =
        ops_of(ret)->sees_triggers != NULL ? ask_of_table(ret, ops_of(ret)->sees_triggers) : NULL;
    ret->triggers_hidden = ret->triggers == NULL || (sees != NULL && !rowset_bool(sees, 0, 0));
    rowset_free(sees);
}

void table_probe_close(struct table_probe *probe)
{
    rowset_free(probe->columns);
    rowset_free(probe->triggers);
}

void cause_add_key(const struct plan_table *pt, enum side side, const char *const *key,
                   void (*quote)(struct strbuf *sb, const char *text), struct strbuf *out)
{
    for (size_t k = 0; k < pt->key_count; k++) {
        const struct plan_key *pk = &pt->keys[k];
        strbuf_adds(out, k > 0 ? " AND " : " WHERE ");
        strbuf_addf(out, "%s = %s", pk->native ? pk->column[side] : pk->text[side],
                    pk->native ? pk->head[side] : "");
        quote(out, key[k]);
        strbuf_adds(out, pk->native ? pk->tail[side] : "");
    }
}

/* ---- collation and type ---- */

static bool find_column(const struct table_probe *probe, const char *name, struct target_column *ret)
{
    const struct rowset *res = probe->columns;
    for (int row = 0; res != NULL && row < rowset_rows(res); row++) {
        if (!catalog_same_name(&probe->causes->cats[SIDE_TARGET], rowset_cell(res, row, 0), name))
            continue;
        *ret = (struct target_column){rowset_cell(res, row, 0), rowset_cell(res, row, 1),
                                      rowset_bool(res, row, 2)};
        return true;
    }
    return false;
}

struct likeness {
    bool alike, narrowed;
};

static struct likeness compare_value(const struct table_probe *probe, const char *const *key,
                                     const char *column, const char *source, const char *target)
{
    struct target_column there;
    struct likeness ret = {false, false};
    if (source == NULL || target == NULL || strstr(source, LONG_MARK) != NULL ||
        !find_column(probe, column, &there))
        return ret;
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    ops_of(probe)->compare_value(probe->pt, key, &there, source, &st.sql);
    struct rowset *res = ask(probe, SIDE_TARGET, &st);
    if (res != NULL && rowset_rows(res) > 0)
        ret = (struct likeness){rowset_bool(res, 0, 0), rowset_bool(res, 0, 1)};
    rowset_free(res);
    strbuf_release(&st.sql);
    return ret;
}

void probe_values(const struct table_probe *probe, const struct values *v, size_t row, const char *const *key,
                  struct cause_facts *facts)
{
    size_t asked = 0;
    facts->alike = facts->narrowed = facts->kind == DIFF_CHANGED;
    for (size_t c = 0; facts->narrowed && c < probe->pt->column_count; c++) {
        const char *source = values_side(v, SIDE_SOURCE, row, c),
                   *target = values_side(v, SIDE_TARGET, row, c);
        if (values_same(source, target))
            continue;
        struct likeness like = {false, false};
        if (asked++ < COLUMNS_ASKED)
            like = compare_value(probe, key, probe->pt->columns[c].name,
                                 values_readable(v, SIDE_SOURCE, row, c), target);
        facts->alike = facts->alike && like.alike;
        facts->narrowed = facts->narrowed && (like.alike || like.narrowed);
    }
    facts->alike = facts->alike && asked > 0;
    facts->narrowed = facts->narrowed && asked > 0;
}

/* ---- filters ---- */

/* The column of the source that goes under this name. */
static const struct cat_column *raw_column(const struct table_probe *probe, const struct cat_table *table,
                                           const char *name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const char *moved =
            table_rules_rename(probe->causes->rules, table->schema, table->name, table->columns[i].name);
        if (strcmp(moved, name) == 0)
            return &table->columns[i];
    }
    return NULL;
}

static bool add_raw_key(const struct table_probe *probe, const struct cat_table *table,
                        const char *const *key, struct strbuf *out)
{
    for (size_t k = 0; k < probe->pt->key_count; k++) {
        const struct plan_key *pk = &probe->pt->keys[k];
        const struct cat_column *column = raw_column(probe, table, pk->name);
        if (column == NULL || !pk->native)
            return false;
        strbuf_adds(out, k > 0 ? " AND t." : " WHERE t.");
        pg_quote_ident(out, column->name);
        strbuf_addf(out, " = %s", pk->head[SIDE_SOURCE]);
        pg_quote_literal(out, key[k]);
        strbuf_adds(out, pk->tail[SIDE_SOURCE]);
    }
    return true;
}

bool probe_left_out(const struct table_probe *probe, const char *const *key)
{
    const struct catalog *cat = &probe->causes->cats[SIDE_SOURCE];
    const struct cat_table *table = catalog_find(cat, probe->pt->out.schema, probe->pt->out.table);
    if (table == NULL || table_rules_where(probe->causes->rules, table->schema, table->name) == NULL)
        return false;
    char *from = catalog_from(cat, table);
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    strbuf_addf(&st.sql, "SELECT 1 FROM %s", from);
    struct rowset *res = add_raw_key(probe, table, key, &st.sql) ? ask(probe, SIDE_SOURCE, &st) : NULL;
    bool there = res != NULL && rowset_rows(res) > 0;
    rowset_free(res);
    strbuf_release(&st.sql);
    free(from);
    return there;
}

/* ---- the target's own doing ---- */

/* Missing and extra rows can only come of a trigger that stands before the change. */
const char *probe_trigger(const struct table_probe *probe, enum compare_kind kind)
{
    const struct rowset *res = probe->triggers;
    for (int row = 0; res != NULL && row < rowset_rows(res); row++) {
        bool insert = rowset_bool(res, row, 1), update = rowset_bool(res, row, 2),
             delete = rowset_bool(res, row, 3), before = rowset_bool(res, row, 4);
        bool fits = kind == DIFF_CHANGED   ? insert || update
                    : kind == DIFF_MISSING ? insert && before
                                           : delete &&before;
        if (fits)
            return rowset_cell(res, row, 0);
    }
    return NULL;
}

char *probe_writer(const struct table_probe *probe, const char *const *key, struct cause_facts *facts)
{
    if (ops_of(probe)->writer == NULL)
        return NULL;
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    char *text = NULL;
    ops_of(probe)->writer(probe->causes->pipeline, probe->pt, key, &st.sql);
    struct rowset *res = ask(probe, SIDE_TARGET, &st);
    if (res != NULL && rowset_rows(res) > 0) {
        bool origin = !rowset_is_null(res, 0, 2);
        facts->by_apply = origin && rowset_bool(res, 0, 3);
        facts->other_origin = origin && !facts->by_apply;
        facts->unmarked = !origin && rowset_bool(res, 0, 4);
        text = xasprintf("transaction %s%s%s%s%s", rowset_cell(res, 0, 0),
                         rowset_is_null(res, 0, 1) ? "" : " at ", rowset_cell(res, 0, 1),
                         origin            ? ", origin "
                         : facts->unmarked ? ", without a replication origin"
                                           : "",
                         rowset_cell(res, 0, 2));
    }
    rowset_free(res);
    strbuf_release(&st.sql);
    return text;
}

/* ---- the journal's way to write a key ---- */

char *probe_journal_key(const struct table_probe *probe, const char *const *key, size_t *ret_len)
{
    const struct plan_table *pt = probe->pt;
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    struct strbuf out = STRBUF_INIT(STRBUF_SQL_MAX);
    struct rowset *res = NULL;
    bool native = pt->as_text;
    for (size_t k = 0; k < pt->key_count; k++) {
        native = native && pt->keys[k].native;
        strbuf_adds(&st.sql, k > 0 ? ", (" : "SELECT (");
        strbuf_adds(&st.sql, native ? pt->keys[k].head[SIDE_SOURCE] : "");
        pg_quote_literal(&st.sql, key[k]);
        strbuf_addf(&st.sql, "%s)::text", native ? pt->keys[k].tail[SIDE_SOURCE] : "");
    }
    if (native)
        res = ask(probe, SIDE_SOURCE, &st);
    for (size_t k = 0; res != NULL && rowset_rows(res) > 0 && k < pt->key_count; k++)
        strbuf_add(&out, rowset_cell(res, 0, (int)k), rowset_cell_len(res, 0, (int)k) + 1);
    bool there = out.len > 0 && !out.failed;
    *ret_len = out.len;
    rowset_free(res);
    strbuf_release(&st.sql);
    if (there)
        return strbuf_detach(&out);
    strbuf_release(&out);
    return NULL;
}
