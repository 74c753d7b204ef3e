/* The tables of the pipeline on the source: which they are, and whether each can be copied and followed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/filters/filters.h"
#include "check.h"
#include "core/alloc.h"
#include "journal/journal_settings.h"
#include "pg/types/profile.h"

#define SIDE "tables"

struct listed {
    uint32_t oid, root_oid;
    bool chosen;
};

struct listing {
    const struct table_filter *filter;
    struct listed *items;
    size_t count;
};

static bool list_table(void *ctx, uint32_t oid, const char *schema, const char *table, uint32_t root_oid,
                       struct err *err UNUSED)
{
    struct listing *l = ctx;
    l->items = xrealloc(l->items, (l->count + 1) * sizeof *l->items);
    l->items[l->count++] = (struct listed){
        .oid = oid, .root_oid = root_oid, .chosen = table_filter_matches(l->filter, schema, table)};
    return true;
}

static int by_oid(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Those to be looked at, in the order of the list: a partition goes through its root if that is chosen. */
static uint32_t *choose(const struct listing *l, size_t *ret_count)
{
    uint32_t *chosen CLEANUP(free_ptr) = xcalloc(l->count + 1, sizeof *chosen);
    uint32_t *oids = xcalloc(l->count + 1, sizeof *oids);
    size_t n = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].chosen)
            chosen[n++] = l->items[i].oid;
    }
    qsort(chosen, n, sizeof *chosen, by_oid);
    *ret_count = 0;
    for (size_t i = 0; i < l->count; i++) {
        const uint32_t *root = &l->items[i].root_oid;
        bool covered = *root != 0 && bsearch(root, chosen, n, sizeof *chosen, by_oid) != NULL;
        if (l->items[i].chosen && !covered)
            oids[(*ret_count)++] = l->items[i].oid;
    }
    return oids;
}

/* What source.filters leaves of it. */
static void shape_table(struct check *ck, struct check_table *t)
{
    struct err why = ERR_INIT;
    if (cap_filters_shape(ck->rules, &t->source, &why))
        return;
    check_add(ck, SIDE, "filters", CHECK_FAIL, NULL, "%s", why.text);
    t->bad = true;
}

static bool load_tables(struct check *ck, struct err *err)
{
    struct listing l = {.filter = ck->filter};
    bool good = source_tables(ck->source, list_table, &l, err);
    size_t count = 0;
    uint32_t *oids CLEANUP(free_ptr) = choose(&l, &count);
    struct source_table *loaded CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *loaded);
    free(l.items);
    if (!good || !source_tables_load(ck->source, oids, count, loaded, &count, err))
        return false;
    ck->tables = xcalloc(count + 1, sizeof *ck->tables);
    for (size_t i = 0; i < count; i++) {
        ck->tables[i].source = loaded[i];
        shape_table(ck, &ck->tables[i]);
    }
    ck->table_count = count;
    return true;
}

static void fail(struct check *ck, struct check_table *t, const char *name, char *hint, const char *what)
{
    t->bad = true;
    check_add_hint(ck, SIDE, name, CHECK_FAIL, hint, "%s.%s: %s", t->source.schema, t->source.name, what);
}

static char *alter_table(const struct check_table *t, const char *clause)
{
    struct strbuf sql = STRBUF_INIT(2000);
    strbuf_adds(&sql, "ALTER TABLE ");
    pg_quote_table(&sql, t->source.schema, t->source.name);
    strbuf_addf(&sql, " %s", clause);
    return strbuf_detach(&sql);
}

/* columns: 0 deferrable primary key, 1 owner, 2 select, 3 row security active, 4 published */
static void check_table_row(struct check *ck, struct check_table *t, const struct pg_result *res, int row)
{
    const struct source_table *st = &t->source;
    bool full = st->replica_identity == 'f';
    if (st->replica_identity == 'd' && pg_cell_bool(res, row, 0))
        fail(ck, t, "replica identity",
             alter_table(t, "REPLICA IDENTITY FULL, or make the key NOT DEFERRABLE"),
             "its primary key is deferrable, which PostgreSQL does not take as identity");
    else if (!full && (st->replica_identity == 'n' || st->key_count == 0))
        fail(ck, t, "replica identity",
             alter_table(t, "REPLICA IDENTITY FULL; better: ADD PRIMARY KEY (…); or exclude it"),
             "no key: PostgreSQL would refuse its updates and deletes once it is published");
    else if (st->key_count == 0)
        check_add(
            ck, SIDE, "replica identity", CHECK_WARN, "a primary key makes apply and compare much faster",
            "%s.%s: no key, replica identity full: changes are applied row by row", st->schema, st->name);
    if (!pg_cell_bool(res, row, 1) && !pg_cell_bool(res, row, 4))
        fail(ck, t, "owner",
             alter_table(t, "OWNER TO our role, or GRANT the owning role to it, or have the publication made "
                            "beforehand (docs/PRIVILEGES.md)"),
             "only its owner may add it to a publication");
    if (!pg_cell_bool(res, row, 2))
        fail(ck, t, "select",
             xasprintf("GRANT SELECT ON \"%s\".\"%s\" TO \"%s\"", st->schema, st->name, pg_user(ck->source)),
             "may not be read");
    if (!pg_cell_bool(res, row, 5))
        fail(ck, t, "schema",
             xasprintf("GRANT USAGE ON SCHEMA \"%s\" TO \"%s\"", st->schema, pg_user(ck->source)),
             "its schema may not be used");
    if (pg_cell_bool(res, row, 3))
        fail(ck, t, "row security", xasprintf("ALTER ROLE \"%s\" BYPASSRLS", pg_user(ck->source)),
             "row security would hide rows from the copy");
}

/* Of all tables at once: there may be thousands. The rows come in their order. */
static bool ask_rights(struct check *ck, struct pg_result **ret, struct err *err)
{
    static const char sql[] =
        "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT "
        "i.indimmediate),"
        " pg_has_role(c.relowner, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid),"
        " EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid"
        "          WHERE p.pubname = $2 AND r.prrelid = c.oid)"
        "   OR EXISTS (SELECT FROM pg_publication WHERE pubname = $2 AND puballtables),"
        " has_schema_privilege(c.relnamespace, 'USAGE'), c.oid"
        " FROM unnest($1::oid[]) WITH ORDINALITY u (oid, n) JOIN pg_class c ON c.oid = u.oid ORDER BY n";
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < ck->table_count; i++)
        pg_array_int64(&oids, i, ck->tables[i].source.oid);
    pg_array_end(&oids, ck->table_count);
    const char *params[] = {oids.data, ck->slot};
    bool ok = strbuf_ok(&oids, "tables", err) && pg_query(ck->source, sql, 2, params, ret, err);
    strbuf_release(&oids);
    return ok;
}

static bool check_parts(struct check *ck, struct check_table *t, struct err *err)
{
    char *parts CLEANUP(free_ptr) = NULL;
    if (t->source.partitioned && !source_parts_unfit(ck->source, &t->source, &parts, err))
        return false;
    if (parts != NULL) {
        char *what CLEANUP(free_ptr) =
            xasprintf("partitions without a replica identity that fits: %s", parts);
        fail(ck, t, "replica identity", xstrdup("ALTER TABLE … REPLICA IDENTITY FULL on each of them"), what);
    }
    return true;
}

/* What is not moved, or may not come back as it was. */
static void check_losses(struct check *ck, const struct check_table *t)
{
    const struct source_table *st = &t->source;
    if (st->generated != NULL)
        check_add(ck, SIDE, "generated columns", CHECK_OK, NULL,
                  "%s.%s: %s are left out: the target computes them", st->schema, st->name, st->generated);
    for (size_t i = 0; t->schema != NULL && i < t->schema->field_count; i++) {
        const struct field *f = &t->schema->fields[i];
        if (f->lossy)
            check_add(
                ck, SIDE, "type_profile", CHECK_WARN,
                "journal.type_profile: exact, or another mode; apply takes it with journal.lossy: debezium",
                "%s.%s: column %s: %s in Debezium's form may not give back every value", st->schema, st->name,
                f->name, f->source_type);
    }
}

/* The table as capture would describe it in the journal. */
static void plan_columns(struct check *ck, struct check_table *t, struct pg_type_catalog *types)
{
    const struct type_profile profile = cap_profile_read(ck->cfg);
    const struct source_table *st = &t->source;
    struct table_schema *schema = xcalloc(1, sizeof *schema);
    bool shared = false;
    schema->topic = cap_filters_topic(ck->rules, ck->routing, config_text(ck->cfg, "journal.topic_prefix"),
                                      st->schema, st->name, &shared);
    schema->name_space = xstrdup(schema->topic);
    schema->shared_id = shared ? xstrdup(schema->topic) : NULL;
    schema->schema = xstrdup(st->schema);
    schema->table = xstrdup(st->name);
    schema->fields = xcalloc(st->column_count + 1, sizeof *schema->fields);
    schema->key_fields = xcalloc(st->key_count + 1, sizeof *schema->key_fields);
    for (size_t i = 0; i < st->column_count; i++) {
        struct pg_column_reader reader;
        struct err why = ERR_INIT;
        const struct source_column *col = &st->columns[i];
        if (pg_reader_plan_profile(&profile, types, ck->source, col->type_oid, col->typmod, &reader, &why)) {
            pg_reader_field(&reader, table_rules_rename(ck->rules, st->schema, st->name, col->name),
                            !col->not_null, false, &schema->fields[schema->field_count++]);
            continue;
        }
        char *what = xasprintf("column %s: %s", col->name, why.text);
        fail(ck, t, "types", xstrdup("exclude the table, or change the column to a supported type"), what);
        free(what);
    }
    for (size_t i = 0; i < st->key_count && schema->field_count == st->column_count; i++) {
        schema->key_fields[schema->key_count++] = st->key[i];
        schema->fields[st->key[i]].key = true;
    }
    if (schema->field_count == st->column_count)
        t->schema = schema;
    else
        table_schema_free(schema);
    check_losses(ck, t);
}

struct topic_of {
    char *unified; /* what has to differ */
    struct check_table *table;
};

static int by_unified(const void *a, const void *b)
{
    return strcmp(((const struct topic_of *)a)->unified, ((const struct topic_of *)b)->unified);
}

static void check_topic_pair(struct check *ck, const struct topic_of *a, const struct topic_of *b)
{
    const struct table_schema *one = a->table->schema, *two = b->table->schema;
    if (strcmp(a->unified, b->unified) != 0)
        return;
    bool same = strcmp(one->topic, two->topic) == 0;
    if (same && one->shared_id != NULL && two->shared_id != NULL) /* as journal.topic_routing says */
        return;
    char *what =
        xasprintf(same ? "its topic %s is also that of %s.%s"
                       : "Kafka does not tell its topic %s from that of %s.%s ('.' and '_' are one letter)",
                  two->topic, one->schema, one->table);
    fail(ck, b->table, "topic", xstrdup("rename one of the two, or exclude it"), what);
    free(what);
}

/* Topic names have fewer letters than table names: two tables must not meet in one topic. */
static void check_topics(struct check *ck)
{
    struct topic_of *topics = xcalloc(ck->table_count + 1, sizeof *topics);
    bool kafka = strstr(config_text(ck->cfg, "journal.url"), "kafka://") != NULL; /* also behind fault: */
    size_t count = 0;
    for (size_t i = 0; i < ck->table_count; i++) {
        struct check_table *t = &ck->tables[i];
        if (t->schema != NULL)
            topics[count++] =
                (struct topic_of){kafka ? topic_unified(t->schema->topic) : xstrdup(t->schema->topic), t};
    }
    qsort(topics, count, sizeof *topics, by_unified);
    for (size_t i = 1; i < count; i++)
        check_topic_pair(ck, &topics[i - 1], &topics[i]);
    for (size_t i = 0; i < count; i++)
        free(topics[i].unified);
    free(topics);
}

/* What fits the patterns and cannot be replicated: named, so that nobody believes it was moved. */
static bool check_left_out(struct check *ck, struct err *err)
{
    static const char sql[] =
        "SELECT n.nspname, c.relname, CASE WHEN c.relkind = 'f' THEN 'a foreign table' WHEN c.relkind = 'm'"
        " THEN 'a materialized view' ELSE 'unlogged' END"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE (c.relkind IN ('f', 'm') OR (c.relkind IN ('r', 'p') AND c.relpersistence = 'u'))"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
        "                  AND d.deptype = 'e') ORDER BY 1, 2";
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(ck->source, sql, 0, NULL, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        if (table_filter_matches(ck->filter, pg_cell(res, i, 0), pg_cell(res, i, 1)))
            check_add(
                ck, SIDE, "left out", CHECK_WARN,
                "move it by other means and exclude it in source.tables (unlogged: ALTER TABLE … SET LOGGED)",
                "%s.%s is %s: it is not replicated", pg_cell(res, i, 0), pg_cell(res, i, 1),
                pg_cell(res, i, 2));
    }
    int64_t objects = 0;
    if (!pg_query_int64(ck->source, "SELECT count(*) FROM pg_largeobject_metadata", 0, NULL, &objects, err))
        return false;
    if (objects > 0)
        check_add(ck, SIDE, "large objects", CHECK_WARN, "move them by other means (pg_dump --large-objects)",
                  "%" PRId64 " large objects are not replicated", objects);
    return true;
}

bool check_source_tables(struct check *ck, struct err *err)
{
    if (ck->source == NULL)
        return true;
    if (!load_tables(ck, err) || !check_left_out(ck, err))
        return false;
    if (ck->table_count == 0)
        check_add(ck, SIDE, "source.tables", CHECK_FAIL,
                  "mend source.tables, or connect to the right database",
                  "no table of the source fits the patterns");
    PG_RESULT_AUTO rights = NULL;
    if (!ask_rights(ck, &rights, err))
        return false;
    struct pg_type_catalog *types = pg_type_catalog_new();
    bool good = true;
    int row = 0;
    for (size_t i = 0; good && i < ck->table_count; i++) {
        struct check_table *t = &ck->tables[i];
        if (row < pg_rows(rights) && pg_cell_int64(rights, row, 6) == (int64_t)t->source.oid)
            check_table_row(ck, t, rights, row++);
        good = check_parts(ck, t, err);
        if (good)
            plan_columns(ck, t, types);
    }
    if (good)
        check_topics(ck);
    pg_type_catalog_free(types);
    return good;
}
