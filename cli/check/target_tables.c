/* The tables of the pipeline on the target: there, wide enough, keyed alike, writable, and empty before the
 * first copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "pg/types/write.h"

#define SIDE "tables"

/* So many tables are asked about in one statement. */
#define TABLES_AT_ONCE 200

/* What the target says of TABLES_AT_ONCE tables. Rows of each answer begin with the table's number among them, and come in that order. */
struct answers {
    struct pg_result *exists, *columns, *keys, *triggers;
    bool filled[TABLES_AT_ONCE + 1]; /* by number */
};

struct pair {
    struct check *ck;
    struct check_table *t;
    size_t number; /* in the answers, from 1 */
    const struct answers *answers;
    struct pg_type_catalog *types;
};

/* Rows [*ret_from, end) of an answer are the table's. */
static int rows_of(const struct pair *p, const struct pg_result *res, int *ret_from)
{
    int low = 0, high = pg_rows(res);
    int64_t number = (int64_t)p->number;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (pg_cell_int64(res, middle, 0) < number)
            low = middle + 1;
        else
            high = middle;
    }
    for (*ret_from = low; high < pg_rows(res) && pg_cell_int64(res, high, 0) == number;)
        high++;
    return high;
}

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

static const char exists_sql[] =
    "SELECT u.n, c.oid, c.relkind, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, "
    "'INSERT'),"
    " has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'),"
    " has_table_privilege(c.oid, 'TRUNCATE'), row_security_active(c.oid),"
    " has_schema_privilege(n.oid, 'USAGE')"
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY u (s, t, n) JOIN pg_namespace n ON n.nspname = u.s"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.t ORDER BY u.n";

/* *ret_there false: there is nothing more to look at. */
static void check_exists(struct pair *p, bool *ret_there)
{
    const struct pg_result *res = p->answers->exists;
    int row = 0;
    *ret_there = rows_of(p, res, &row) > row;
    if (!*ret_there) {
        fail(p, "exists", xstrdup("create it there: pg_dump --schema-only of the source into the target"),
             "there is no such table on the target");
        return;
    }
    char kind = pg_cell(res, row, 2)[0];
    if (kind != 'r' && kind != 'p') {
        *ret_there = false;
        fail(p, "exists", xstrdup("make it an ordinary or partitioned table"),
             "on the target this is no table");
        return;
    }
    static const char *const rights[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"};
    for (int i = 0; i < 5; i++) {
        if (!pg_cell_bool(res, row, 3 + i))
            fail(
                p, "privileges",
                xasprintf("on the target: GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON \"%s\".\"%s\" TO "
                          "\"%s\"",
                          p->t->source.schema, p->t->source.name, pg_user(p->ck->target)),
                "our role lacks %s on the target", rights[i]);
    }
    if (!pg_cell_bool(res, row, 9))
        fail(p, "privileges",
             xasprintf("on the target: GRANT USAGE ON SCHEMA \"%s\" TO \"%s\"", p->t->source.schema,
                       pg_user(p->ck->target)),
             "our role may not use its schema on the target");
    if (pg_cell_bool(res, row, 8))
        fail(p, "row security",
             xasprintf("on the target: ALTER ROLE \"%s\" BYPASSRLS", pg_user(p->ck->target)),
             "row security on the target would hide or refuse rows");
}

static int find_row(const struct pg_result *res, int from, int to, const char *name)
{
    for (int i = from; i < to; i++) {
        if (strcmp(pg_cell(res, i, 1), name) == 0)
            return i;
    }
    return -1;
}

static const char columns_sql[] =
    "SELECT u.n, a.attname, a.atttypid, a.atttypmod, a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',"
    " a.attgenerated <> '', a.attnotnull, a.attname = ANY (u.g::name[]) FROM unnest($1::oid[], $2::text[])"
    " WITH ORDINALITY u (o, g, n) JOIN pg_attribute a ON a.attrelid = u.o"
    " WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY u.n, a.attnum";

/* Rows [from, to): 1 attname, 2 atttypid, 3 atttypmod, 4 must be given, 5 generated, 6 not null, 7 generated on the source */
static void check_field(struct pair *p, const struct field *field, int from, int to)
{
    const struct pg_result *res = p->answers->columns;
    int row = find_row(res, from, to, field->name);
    if (row < 0) {
        fail(p, "columns", alter_type(p, "ADD COLUMN", field->name, ""), "the target lacks column %s",
             field->name);
        return;
    }
    if (pg_cell_bool(res, row, 5)) {
        if (field->key)
            fail(p, "columns", alter_table(p, "ALTER COLUMN", field->name, "DROP EXPRESSION"),
                 "key column %s is generated on the target", field->name);
        return;
    }
    struct pg_column_writer writer;
    struct err why = ERR_INIT;
    if (!pg_writer_plan(field, (uint32_t)pg_cell_int64(res, row, 2), (int32_t)pg_cell_int64(res, row, 3),
                        p->types, p->ck->target, &writer, &why))
        fail(p, "types", alter_type(p, "ALTER COLUMN", field->name, "TYPE "), "%s", why.text);
    else if (field->optional && pg_cell_bool(res, row, 6))
        check_add_hint(p->ck, SIDE, "not null", CHECK_WARN,
                       alter_table(p, "ALTER COLUMN", field->name, "DROP NOT NULL"),
                       "%s.%s: column %s takes nulls on the source and not on the target",
                       p->t->source.schema, p->t->source.name, field->name);
}

/* A column that the source computes and does not send: the target has to compute it, too. */
static void check_generated(struct pair *p, int from, int to)
{
    const struct pg_result *res = p->answers->columns;
    for (int i = from; i < to; i++) {
        if (pg_cell_bool(res, i, 7) && !pg_cell_bool(res, i, 5))
            check_add(
                p->ck, SIDE, "generated columns", CHECK_WARN,
                "make it GENERATED ALWAYS AS (…) STORED on the target as well",
                "%s.%s: column %s is generated on the source, which does not send it, and not on the target: "
                "it stays empty there",
                p->t->source.schema, p->t->source.name, pg_cell(res, i, 1));
    }
}

static void check_columns(struct pair *p)
{
    const struct pg_result *res = p->answers->columns;
    const struct table_schema *schema = p->t->schema;
    int from = 0, to = rows_of(p, res, &from);
    for (size_t i = 0; i < schema->field_count; i++)
        check_field(p, &schema->fields[i], from, to);
    for (int i = from; i < to; i++) {
        if (pg_cell_bool(res, i, 4) && !pg_cell_bool(res, i, 5) &&
            table_schema_find(schema, pg_cell(res, i, 1)) < 0)
            fail(p, "columns", alter_table(p, "ALTER COLUMN", pg_cell(res, i, 1), "SET DEFAULT …"),
                 "the target wants a value for column %s, which the source lacks", pg_cell(res, i, 1));
    }
    check_generated(p, from, to);
}

/* A subquery of its own for each table: as a join it may be tried for every index that there is. */
static const char keys_sql[] =
    "SELECT u.n FROM unnest($1::oid[], $2::text[]) WITH ORDINALITY u (o, k, n) WHERE (SELECT count(*) FROM"
    " pg_index i WHERE i.indrelid = u.o AND i.indisunique AND i.indisvalid"
    " AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY"
    " a.attname::text) FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, n) JOIN pg_attribute a"
    " ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts)"
    " = (SELECT array_agg(x ORDER BY x) FROM unnest(u.k::text[]) x)) > 0 ORDER BY u.n";

/* The same columns as the source's key must be unique on the target, in whatever order. */
static void check_key(struct pair *p)
{
    const struct table_schema *schema = p->t->schema;
    int from = 0;
    if (schema->key_count == 0 || rows_of(p, p->answers->keys, &from) > from)
        return;
    struct strbuf shown = STRBUF_INIT(1 << 20);
    for (size_t i = 0; i < schema->key_count; i++) {
        strbuf_adds(&shown, i > 0 ? ", " : "");
        pg_quote_ident(&shown, schema->fields[schema->key_fields[i]].name);
    }
    char *clause CLEANUP(free_ptr) = xasprintf("ADD PRIMARY KEY (%s)", shown.data);
    fail(p, "key", alter_table(p, clause, NULL, NULL),
         "the target has no unique index on exactly the source's key (%s)", shown.data);
    strbuf_release(&shown);
}

static const char triggers_sql[] =
    "SELECT u.n, tgname FROM unnest($1::oid[]) WITH ORDINALITY u (o, n) JOIN pg_trigger ON tgrelid = u.o "
    "WHERE"
    " NOT tgisinternal AND tgenabled IN ('A', 'R') AND tgname NOT LIKE 'crossfade%' ORDER BY 1, 2";

/* Triggers that fire even for replicated rows. */
static void check_triggers(struct pair *p)
{
    const struct pg_result *res = p->answers->triggers;
    int from = 0, to = rows_of(p, res, &from);
    for (int i = from; i < to; i++)
        check_add(p->ck, SIDE, "triggers", CHECK_WARN,
                  "see that it does not change replicated rows, or disable it",
                  "%s.%s: trigger %s on the target fires for replicated rows too", p->t->source.schema,
                  p->t->source.name, pg_cell(res, i, 1));
}

static void check_empty(struct pair *p)
{
    bool truncate = strcmp(config_text(p->ck->cfg, "apply.on_nonempty"), "truncate") == 0;
    if (p->answers->filled[p->number])
        check_add(p->ck, SIDE, "empty", CHECK_WARN,
                  truncate ? "its rows will be lost: apply.on_nonempty is truncate"
                           : "apply would halt: empty it, or set apply.on_nonempty to truncate",
                  "%s.%s: the target's table holds rows before the first copy", p->t->source.schema,
                  p->t->source.name);
}

static void check_pair(struct pair *p)
{
    bool there = false;
    check_exists(p, &there);
    if (!there || p->t->schema == NULL)
        return;
    check_columns(p);
    check_key(p);
    check_triggers(p);
    check_empty(p);
}

/* --- asking --- */

static bool ask_exists(struct check *ck, const struct check_table *tables, size_t count,
                       struct answers *answers, struct err *err)
{
    struct strbuf schemas = STRBUF_INIT(STRBUF_SQL_MAX), names = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++) {
        pg_array_text(&schemas, i, tables[i].source.schema);
        pg_array_text(&names, i, tables[i].source.name);
    }
    pg_array_end(&schemas, count);
    pg_array_end(&names, count);
    const char *params[] = {schemas.data, names.data};
    bool ok = strbuf_ok(&schemas, "names", err) && strbuf_ok(&names, "names", err) &&
              pg_query(ck->target, exists_sql, 2, params, &answers->exists, err);
    strbuf_release(&schemas);
    strbuf_release(&names);
    return ok;
}

/* The target's OIDs; 0: it is no table there. */
static void add_oids(const struct answers *answers, size_t count, struct strbuf *sb)
{
    int row = 0;
    for (size_t i = 0; i < count; i++) {
        bool there =
            row < pg_rows(answers->exists) && pg_cell_int64(answers->exists, row, 0) == (int64_t)i + 1;
        char kind = there ? pg_cell(answers->exists, row, 2)[0] : '\0';
        pg_array_int64(sb, i, kind == 'r' || kind == 'p' ? pg_cell_int64(answers->exists, row, 1) : 0);
        row += there;
    }
    pg_array_end(sb, count);
}

static void add_keys(const struct check_table *tables, size_t count, struct strbuf *sb)
{
    for (size_t i = 0; i < count; i++) {
        const struct table_schema *schema = tables[i].schema;
        struct strbuf key = STRBUF_INIT(STRBUF_SQL_MAX);
        size_t n = schema != NULL ? schema->key_count : 0;
        for (size_t k = 0; k < n; k++)
            pg_array_text(&key, k, schema->fields[schema->key_fields[k]].name);
        pg_array_end(&key, n);
        pg_array_text(sb, i, key.data);
        strbuf_release(&key);
    }
    pg_array_end(sb, count);
}

static bool ask_catalog(struct check *ck, const struct check_table *tables, size_t count,
                        struct answers *answers, struct err *err)
{
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX), keys = STRBUF_INIT(STRBUF_SQL_MAX),
                  generated = STRBUF_INIT(STRBUF_SQL_MAX);
    add_oids(answers, count, &oids);
    add_keys(tables, count, &keys);
    for (size_t i = 0; i < count; i++)
        pg_array_text(&generated, i, tables[i].source.generated != NULL ? tables[i].source.generated : "{}");
    pg_array_end(&generated, count);
    const char *params[] = {oids.data, generated.data}, *of_keys[] = {oids.data, keys.data};
    bool ok = strbuf_ok(&oids, "tables", err) && strbuf_ok(&keys, "keys", err) &&
              strbuf_ok(&generated, "columns", err) &&
              pg_query(ck->target, columns_sql, 2, params, &answers->columns, err) &&
              pg_query(ck->target, keys_sql, 2, of_keys, &answers->keys, err) &&
              pg_query(ck->target, triggers_sql, 1, params, &answers->triggers, err);
    strbuf_release(&oids);
    strbuf_release(&keys);
    strbuf_release(&generated);
    return ok;
}

/* A table that may not be read has been told of already, and is not asked. (columns of exists_sql: 3 SELECT, 9 the schema) */
static bool may_read(const struct pg_result *exists, int row)
{
    char kind = pg_cell(exists, row, 2)[0];
    return (kind == 'r' || kind == 'p') && pg_cell_bool(exists, row, 3) && pg_cell_bool(exists, row, 9);
}

/* Of rows [from, to) of exists_sql's answer. What cannot be read all the same (a partition's server, say) hides nothing of the others. */
static bool ask_filled(struct check *ck, const struct check_table *tables, struct answers *answers, int from,
                       int to, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    struct err unasked = ERR_INIT;
    bool any = false;
    for (int row = from; row < to; row++) {
        int64_t number = pg_cell_int64(answers->exists, row, 0);
        const struct source_table *st = &tables[number - 1].source;
        if (!may_read(answers->exists, row))
            continue;
        strbuf_addf(&sql, "%sSELECT %d WHERE EXISTS (SELECT FROM ", any ? " UNION ALL " : "", (int)number);
        pg_quote_table(&sql, st->schema, st->name);
        strbuf_adds(&sql, ")");
        any = true;
    }
    bool ok = strbuf_ok(&sql, "statement", err);
    bool asked = ok && any && pg_query(ck->target, sql.data, 0, NULL, &res, &unasked);
    strbuf_release(&sql);
    for (int row = 0; asked && row < pg_rows(res); row++)
        answers->filled[pg_cell_int64(res, row, 0)] = true;
    if (!ok || !any || asked || to - from == 1)
        return ok;
    int middle = from + (to - from) / 2;
    return ask_filled(ck, tables, answers, from, middle, err) &&
           ask_filled(ck, tables, answers, middle, to, err);
}

static void forget_answers(struct answers *answers)
{
    pg_result_free(answers->exists);
    pg_result_free(answers->columns);
    pg_result_free(answers->keys);
    pg_result_free(answers->triggers);
}

static bool check_some(struct check *ck, struct check_table *tables, size_t count,
                       struct pg_type_catalog *types, struct err *err)
{
    struct answers answers = {0};
    bool ok = ask_exists(ck, tables, count, &answers, err) && ask_catalog(ck, tables, count, &answers, err) &&
              (ck->has_position || ask_filled(ck, tables, &answers, 0, pg_rows(answers.exists), err));
    for (size_t i = 0; ok && i < count; i++) {
        struct pair p = {.ck = ck, .t = &tables[i], .number = i + 1, .answers = &answers, .types = types};
        check_pair(&p);
    }
    forget_answers(&answers);
    return ok;
}

bool check_target_tables(struct check *ck, struct err *err)
{
    struct pg_type_catalog *types = pg_type_catalog_new();
    size_t ready = 0;
    bool good = true;
    for (size_t i = 0, n; good && ck->target != NULL && i < ck->table_count; i += n) {
        n = MIN_OF(TABLES_AT_ONCE, ck->table_count - i);
        good = check_some(ck, ck->tables + i, n, types, err);
    }
    for (size_t i = 0; good && i < ck->table_count; i++) {
        if (ck->target == NULL && ck->maria != NULL)
            good = check_mariadb_table(ck, &ck->tables[i], err);
        ready += !ck->tables[i].bad;
    }
    pg_type_catalog_free(types);
    if (good && ck->table_count > 0)
        check_add(ck, SIDE, "ready", ready == ck->table_count ? CHECK_OK : CHECK_FAIL, NULL,
                  "%zu of %zu tables%s", ready, ck->table_count,
                  ck->target == NULL && ck->maria == NULL ? " (source only)" : "");
    return good;
}
