/* The tables of the pipeline on the target: there, wide enough, keyed alike, writable, and empty before the
 * first copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "pg/types/write.h"

#define SIDE "tables"

struct pair {
    struct check *ck;
    struct check_table *t;
    char oid[16]; /* of the target's table */
    struct pg_type_catalog *types;
};

static void fail(struct pair *p, const char *name, char *hint, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void fail(struct pair *p, const char *name, char *hint, const char *fmt, ...)
{
    char what[1500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    p->t->bad = true;
    check_add_hint(p->ck, SIDE, name, CHECK_FAIL, hint, "%s.%s: %s", p->t->source.schema, p->t->source.name,
                   what);
}

/* "on the target: ALTER TABLE … <before> <column> <after>"; column and after may be NULL. malloc'd. */
static char *alter_table(const struct pair *p, const char *before, const char *column, const char *after)
{
    struct strbuf sql = STRBUF_INIT(8000);
    strbuf_adds(&sql, "on the target: ALTER TABLE ");
    pg_quote_table(&sql, p->t->source.schema, p->t->source.name);
    strbuf_addf(&sql, " %s", before);
    if (column != NULL) {
        strbuf_addc(&sql, ' ');
        pg_quote_ident(&sql, column);
    }
    if (after != NULL)
        strbuf_addf(&sql, " %s", after);
    return strbuf_detach(&sql);
}

/* The column's type as the source would write it, for hints; "…" if it does not say. malloc'd. */
static char *source_type(const struct pair *p, const char *column)
{
    const struct source_table *st = &p->t->source;
    char oid[16], typmod[16], *text = NULL;
    const char *params[] = {oid, typmod};
    struct err ignored = ERR_INIT; /* a hint is not worth an error */
    for (size_t i = 0; i < st->column_count; i++) {
        if (strcmp(st->columns[i].name, column) != 0)
            continue;
        (void)snprintf(oid, sizeof oid, "%u", st->columns[i].type_oid);
        (void)snprintf(typmod, sizeof typmod, "%d", (int)st->columns[i].typmod);
        if (!pg_query_text(p->ck->source, "SELECT format_type($1::oid, $2::integer)", 2, params, &text,
                           &ignored))
            text = NULL;
    }
    return text != NULL ? text : xstrdup("…");
}

static char *alter_type(const struct pair *p, const char *before, const char *column, const char *word)
{
    char *type = source_type(p, column);
    char *after = xasprintf("%s%s", word, type);
    char *hint = alter_table(p, before, column, after);
    free(type);
    free(after);
    return hint;
}

/* False when there is nothing more to look at. */
static bool check_exists(struct pair *p, bool *ret_there, struct err *err)
{
    static const char sql[] =
        "SELECT c.oid, c.relkind, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),"
        " has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'),"
        " has_table_privilege(c.oid, 'TRUNCATE'), row_security_active(c.oid),"
        " has_schema_privilege(n.oid, 'USAGE')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = "
        "$2";
    const char *params[] = {p->t->source.schema, p->t->source.name};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(p->ck->target, sql, 2, params, &res, err))
        return false;
    *ret_there = pg_rows(res) == 1;
    if (!*ret_there) {
        fail(p, "exists", xstrdup("create it there: pg_dump --schema-only of the source into the target"),
             "there is no such table on the target");
        return true;
    }
    char kind = pg_cell(res, 0, 1)[0];
    (void)snprintf(p->oid, sizeof p->oid, "%s", pg_cell(res, 0, 0));
    if (kind != 'r' && kind != 'p') {
        *ret_there = false;
        fail(p, "exists", xstrdup("make it an ordinary or partitioned table"),
             "on the target this is no table");
        return true;
    }
    static const char *const rights[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"};
    for (int i = 0; i < 5; i++) {
        if (!pg_cell_bool(res, 0, 2 + i))
            fail(
                p, "privileges",
                xasprintf("on the target: GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON \"%s\".\"%s\" TO "
                          "\"%s\"",
                          p->t->source.schema, p->t->source.name, pg_user(p->ck->target)),
                "our role lacks %s on the target", rights[i]);
    }
    if (!pg_cell_bool(res, 0, 8))
        fail(p, "privileges",
             xasprintf("on the target: GRANT USAGE ON SCHEMA \"%s\" TO \"%s\"", p->t->source.schema,
                       pg_user(p->ck->target)),
             "our role may not use its schema on the target");
    if (pg_cell_bool(res, 0, 7))
        fail(p, "row security",
             xasprintf("on the target: ALTER ROLE \"%s\" BYPASSRLS", pg_user(p->ck->target)),
             "row security on the target would hide or refuse rows");
    return true;
}

static int find_row(const struct pg_result *res, const char *name)
{
    for (int i = 0; i < pg_rows(res); i++) {
        if (strcmp(pg_cell(res, i, 0), name) == 0)
            return i;
    }
    return -1;
}

/* res: 0 attname, 1 atttypid, 2 atttypmod, 3 must be given, 4 generated, 5 not null, 6 type as text */
static void check_field(struct pair *p, const struct field *field, const struct pg_result *res)
{
    int row = find_row(res, field->name);
    if (row < 0) {
        fail(p, "columns", alter_type(p, "ADD COLUMN", field->name, ""), "the target lacks column %s",
             field->name);
        return;
    }
    if (pg_cell_bool(res, row, 4)) {
        if (field->key)
            fail(p, "columns", alter_table(p, "ALTER COLUMN", field->name, "DROP EXPRESSION"),
                 "key column %s is generated on the target", field->name);
        return;
    }
    struct pg_column_writer writer;
    struct err why = ERR_INIT;
    if (!pg_writer_plan(field, (uint32_t)pg_cell_int64(res, row, 1), (int32_t)pg_cell_int64(res, row, 2),
                        p->types, p->ck->target, &writer, &why))
        fail(p, "types", alter_type(p, "ALTER COLUMN", field->name, "TYPE "), "%s", why.text);
    else if (field->optional && pg_cell_bool(res, row, 5))
        check_add_hint(p->ck, SIDE, "not null", CHECK_WARN,
                       alter_table(p, "ALTER COLUMN", field->name, "DROP NOT NULL"),
                       "%s.%s: column %s takes nulls on the source and not on the target",
                       p->t->source.schema, p->t->source.name, field->name);
}

/* A column that the source computes and does not send: the target has to compute it, too. */
static bool check_generated(struct pair *p, struct err *err)
{
    static const char sql[] =
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' AND attname = ANY ($2::name[]) ORDER BY attnum";
    const char *params[] = {p->oid, p->t->source.generated};
    PG_RESULT_AUTO res = NULL;
    if (p->t->source.generated == NULL)
        return true;
    if (!pg_query(p->ck->target, sql, 2, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        check_add(
            p->ck, SIDE, "generated columns", CHECK_WARN,
            "make it GENERATED ALWAYS AS (…) STORED on the target as well",
            "%s.%s: column %s is generated on the source, which does not send it, and not on the target: it "
            "stays empty there",
            p->t->source.schema, p->t->source.name, pg_cell(res, i, 0));
    return true;
}

static bool check_columns(struct pair *p, struct err *err)
{
    static const char sql[] =
        "SELECT a.attname, a.atttypid, a.atttypmod, a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',"
        " a.attgenerated <> '', a.attnotnull FROM pg_attribute a"
        " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    const char *params[] = {p->oid};
    const struct table_schema *schema = p->t->schema;
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(p->ck->target, sql, 1, params, &res, err))
        return false;
    for (size_t i = 0; i < schema->field_count; i++)
        check_field(p, &schema->fields[i], res);
    for (int i = 0; i < pg_rows(res); i++) {
        if (pg_cell_bool(res, i, 3) && !pg_cell_bool(res, i, 4) &&
            table_schema_find(schema, pg_cell(res, i, 0)) < 0)
            fail(p, "columns", alter_table(p, "ALTER COLUMN", pg_cell(res, i, 0), "SET DEFAULT …"),
                 "the target wants a value for column %s, which the source lacks", pg_cell(res, i, 0));
    }
    return check_generated(p, err);
}

/* The same columns as the source's key must be unique on the target, in whatever order. */
static bool check_key(struct pair *p, struct err *err)
{
    const struct table_schema *schema = p->t->schema;
    if (schema->key_count == 0)
        return true;
    struct strbuf names = STRBUF_INIT(1 << 20), sql = STRBUF_INIT(STRBUF_SQL_MAX),
                  shown = STRBUF_INIT(1 << 20);
    for (size_t i = 0; i < schema->key_count; i++) {
        const char *name = schema->fields[schema->key_fields[i]].name;
        strbuf_adds(&names, i > 0 ? ", " : "");
        strbuf_adds(&shown, i > 0 ? ", " : "");
        pg_quote_literal(&names, name);
        pg_quote_ident(&shown, name);
    }
    strbuf_addf(
        &sql,
        "SELECT count(*) FROM pg_index i WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid"
        " AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY"
        " a.attname::text) FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, n) JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts)"
        " = (SELECT array_agg(u ORDER BY u) FROM unnest(ARRAY[%s]::text[]) u)",
        names.data);
    int64_t count = 0;
    const char *params[] = {p->oid};
    bool good = strbuf_ok(&names, "key", err) && strbuf_ok(&sql, "statement", err) &&
                pg_query_int64(p->ck->target, sql.data, 1, params, &count, err);
    if (good && count == 0) {
        char *clause = xasprintf("ADD PRIMARY KEY (%s)", shown.data);
        fail(p, "key", alter_table(p, clause, NULL, NULL),
             "the target has no unique index on exactly the source's key (%s)", shown.data);
        free(clause);
    }
    strbuf_release(&names);
    strbuf_release(&sql);
    strbuf_release(&shown);
    return good;
}

/* Triggers that fire even for replicated rows. */
static bool check_triggers(struct pair *p, struct err *err)
{
    const char *params[] = {p->oid};
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(p->ck->target,
                  "SELECT tgname FROM pg_trigger WHERE tgrelid = $1::oid AND NOT tgisinternal AND tgenabled "
                  "IN ('A', 'R')"
                  " AND tgname NOT LIKE 'crossfade%' ORDER BY 1",
                  1, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        check_add(p->ck, SIDE, "triggers", CHECK_WARN,
                  "see that it does not change replicated rows, or disable it",
                  "%s.%s: trigger %s on the target fires for replicated rows too", p->t->source.schema,
                  p->t->source.name, pg_cell(res, i, 0));
    return true;
}

static bool check_empty(struct pair *p, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(2000);
    char *rows = NULL;
    bool truncate = strcmp(config_text(p->ck->cfg, "apply.on_nonempty"), "truncate") == 0;
    strbuf_adds(&sql, "SELECT EXISTS (SELECT FROM ");
    pg_quote_table(&sql, p->t->source.schema, p->t->source.name);
    strbuf_adds(&sql, ")::text");
    struct err why = ERR_INIT;
    bool good = strbuf_ok(&sql, "statement", err);
    /* A table that may not be read has been told of already. */
    if (good && pg_query_text(p->ck->target, sql.data, 0, NULL, &rows, &why) && rows != NULL &&
        strcmp(rows, "true") == 0)
        check_add(p->ck, SIDE, "empty", CHECK_WARN,
                  truncate ? "its rows will be lost: apply.on_nonempty is truncate"
                           : "apply would halt: empty it, or set apply.on_nonempty to truncate",
                  "%s.%s: the target's table holds rows before the first copy", p->t->source.schema,
                  p->t->source.name);
    free(rows);
    strbuf_release(&sql);
    return good;
}

static bool check_pair(struct pair *p, struct err *err)
{
    bool there = false;
    if (!check_exists(p, &there, err))
        return false;
    if (!there || p->t->schema == NULL)
        return true;
    return check_columns(p, err) && check_key(p, err) && check_triggers(p, err) &&
           (p->ck->has_position || check_empty(p, err));
}

bool check_target_tables(struct check *ck, struct err *err)
{
    struct pg_type_catalog *types = pg_type_catalog_new();
    size_t ready = 0;
    bool good = true;
    for (size_t i = 0; good && i < ck->table_count; i++) {
        struct pair p = {.ck = ck, .t = &ck->tables[i], .types = types};
        if (ck->target != NULL)
            good = check_pair(&p, err);
        else if (ck->maria != NULL)
            good = check_mariadb_table(ck, p.t, err);
        ready += !ck->tables[i].bad;
    }
    pg_type_catalog_free(types);
    if (good && ck->table_count > 0)
        check_add(ck, SIDE, "ready", ready == ck->table_count ? CHECK_OK : CHECK_FAIL, NULL,
                  "%zu of %zu tables%s", ready, ck->table_count,
                  ck->target == NULL && ck->maria == NULL ? " (source only)" : "");
    return good;
}
