/* Owns: can this table of the target be written at all: is it there, of a kind and engine that take part, without triggers, and that of
 * one table of the source alone? Its columns: prepare_columns.c, its key: prepare_keys.c. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "maria/names.h"
#include "prepare.h"
#include "target/target_impl.h"
#include "watch.h"

const char *md_database_of(const struct md_target *mt, const char *schema)
{
    return strcmp(schema, "public") == 0 ? mt->database : schema;
}

void md_add_table_name(struct strbuf *sb, const struct md_target *mt, const char *schema, const char *table)
{
    maria_quote_ident(sb, md_database_of(mt, schema));
    strbuf_addc(sb, '.');
    maria_quote_ident(sb, table);
}

bool md_schema_err(const struct md_table *tab, struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_SCHEMA, "table=%s.%s: %s%s%s", tab->base.schema->schema, tab->base.schema->table,
                   what, name != NULL ? " " : "", name != NULL ? name : "");
}

static void set_free(struct md_set *set)
{
    md_stmt_release(&set->update);
    md_stmt_release(&set->hold);
    free(set->present);
    free(set);
}

void md_table_free(struct md_table *tab)
{
    if (tab == NULL)
        return;
    for (size_t i = 0; i < tab->set_count; i++)
        set_free(tab->sets[i]);
    for (size_t i = 0; i < tab->column_count; i++)
        md_column_release(&tab->columns[i]);
    md_stmt_release(&tab->insert);
    md_stmt_release(&tab->upsert);
    md_stmt_release(&tab->remove);
    md_watch_free(tab->watch);
    free(tab->sets);
    free(tab->columns);
    free(tab->key);
    free(tab->base.split);
    free(tab->name);
    free(tab->database);
    free(tab);
}

/* What is being altered just then, information_schema leaves out, with no more than a warning (1684), if we hold locks: such a table
 * is there all the same. */
static bool none_left_out(struct md_target *mt, struct err *err)
{
    MD_ROWS rows = {0};
    if (mysql_warning_count(mt->my) == 0)
        return true;
    if (!md_query(mt, "SHOW WARNINGS", &rows, err))
        return false;
    while (md_next(&rows)) {
        if (strcmp(rows.cell[1], "1684") == 0)
            return maria_fail(1684, "HY000", rows.cell[2], "information_schema", err);
    }
    return true;
}

bool md_query_catalog(struct md_target *mt, const struct md_part *part, const struct md_question *q,
                      struct md_rows *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < part->count; i++) {
        strbuf_addf(&sql, "%s(SELECT %zu, %s WHERE %s = ", i > 0 ? " UNION ALL " : "", i, q->select,
                    q->schema_column);
        maria_quote_literal(&sql, part->tabs[i]->database);
        strbuf_addf(&sql, " AND %s = ", q->table_column);
        maria_quote_literal(&sql, part->tabs[i]->base.schema->table);
        strbuf_addf(&sql, "%s)", q->also);
    }
    strbuf_addf(&sql, " ORDER BY 1%s", q->order);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, ret, err) && none_left_out(mt, err);
    strbuf_release(&sql);
    return ok;
}

size_t md_part_number(const struct md_part *part, const struct md_rows *rows)
{
    size_t n = (size_t)strtoull(rows->cell[0], NULL, 10);
    BUG_UNLESS(n < part->count);
    return n;
}

static bool check_kind(const struct md_table *tab, const char *type, const char *engine, struct err *err)
{
    if (engine == NULL || strcmp(type, "VIEW") == 0)
        return md_schema_err(tab, err, "on the target this is no table that can be written", NULL);
    return strcmp(engine, "InnoDB") == 0 ||
           md_schema_err(tab, err,
                         "on the target its engine cannot take part in a transaction: ALTER TABLE … "
                         "ENGINE=InnoDB; it is",
                         engine);
}

static bool find_tables(struct md_target *mt, const struct md_part *part, struct err *err)
{
    static const struct md_question q = {"TABLE_TYPE, ENGINE FROM information_schema.TABLES", "TABLE_SCHEMA",
                                         "TABLE_NAME", "", ""};
    bool found[MD_PREPARE_TABLES] = {0};
    MD_ROWS rows = {0};
    for (size_t i = 0; i < part->count; i++) {
        if (maria_is_system_database(part->tabs[i]->database))
            return md_schema_err(
                part->tabs[i], err,
                "its schema is called like a database that MariaDB keeps for itself: leave the table out "
                "(source.tables), or rename the schema on the source; nothing is written to",
                part->tabs[i]->name);
    }
    if (!md_query_catalog(mt, part, &q, &rows, err))
        return false;
    while (md_next(&rows)) {
        size_t n = md_part_number(part, &rows);
        found[n] = true;
        if (!check_kind(part->tabs[n], rows.cell[1], rows.cell[2], err))
            return false;
    }
    for (size_t i = 0; i < part->count; i++) {
        if (!found[i])
            return md_schema_err(
                part->tabs[i], err,
                "there is no such table on the target, or our role has no rights on it (schema public is the "
                "URL's "
                "database, any other schema the database of that name): create it there, then start apply "
                "again: "
                "nothing was skipped; looked for",
                part->tabs[i]->name);
    }
    return true;
}

/* MariaDB has no way to keep triggers from firing for one session. Those of a rollback that has closed this side (cutover/from_maria/) do nothing
 * for apply's user. */
static bool refuse_triggers(struct md_target *mt, const struct md_part *part, struct err *err)
{
    static const struct md_question q = {"TRIGGER_NAME FROM information_schema.TRIGGERS",
                                         "EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE",
                                         " AND TRIGGER_NAME NOT LIKE 'crossfade\\_freeze\\__\\_%'", ""};
    MD_ROWS rows = {0};
    if (!md_query_catalog(mt, part, &q, &rows, err))
        return false;
    return !md_next(&rows) || md_schema_err(part->tabs[md_part_number(part, &rows)], err,
                                            "the target table has a trigger, which would run for rows whose "
                                            "triggers the source has run already: "
                                            "drop it until the cutover. It is",
                                            rows.cell[1]);
}

static struct md_table *new_table(const struct md_target *mt, const struct table_schema *schema,
                                  size_t number)
{
    struct strbuf name = STRBUF_INIT(4096);
    struct md_table *tab = xcalloc(1, sizeof *tab);
    tab->base.schema = schema;
    tab->id = (unsigned)(mt->table_count + number) + 1;
    tab->database = xstrdup(md_database_of(mt, schema->schema));
    md_add_table_name(&name, mt, schema->schema, schema->table);
    tab->name = strbuf_detach(&name);
    return tab;
}

static bool same_source(const struct md_table *a, const struct md_table *b)
{
    return strcmp(a->base.schema->schema, b->base.schema->schema) == 0 &&
           strcmp(a->base.schema->table, b->base.schema->table) == 0;
}

/* Two tables of the source would be one here: public's and that of a schema that is called like the URL's database, or names that
 * differ in case where the server does not tell them apart. */
static bool one_source(struct md_target *mt, const struct md_table *tab, struct md_table *const *others,
                       size_t count, struct err *err)
{
    bool public = strcmp(tab->base.schema->schema, "public") == 0;
    bool namesake = !public && strcmp(tab->base.schema->schema, mt->database) == 0;
    mt->namesake = mt->namesake || namesake;
    if (!mt->caseless && !namesake && !(public && mt->namesake))
        return true;
    for (size_t i = 0; i < count; i++) {
        bool same_name = mt->caseless ? strcasecmp(others[i]->name, tab->name) == 0
                                      : strcmp(others[i]->name, tab->name) == 0;
        if (same_name && !same_source(others[i], tab))
            return md_schema_err(
                tab, err,
                "on the target it would be the same table as another one of the source "
                "(schema public is the URL's database; lower_case_table_names): leave one of them "
                "out (source.tables), rename it, or name another database in target.url. It is",
                tab->name);
    }
    return true;
}

static bool prepare_part(struct md_target *mt, const struct table_schema *const *schemas, size_t count,
                         struct target_table **ret, struct err *err)
{
    struct md_part part = {.count = count};
    for (size_t i = 0; i < count; i++) {
        part.tabs[i] = new_table(mt, schemas[i], i);
        part.first[i + 1] = part.first[i] + schemas[i]->field_count;
    }
    part.seen = xcalloc(part.first[count] + 1, sizeof *part.seen);
    part.json = xcalloc(part.first[count] + 1, sizeof *part.json);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = one_source(mt, part.tabs[i], part.tabs, i, err) &&
             one_source(mt, part.tabs[i], mt->tables, mt->table_count, err);
    ok = ok && find_tables(mt, &part, err) && refuse_triggers(mt, &part, err) &&
         md_read_columns(mt, &part, err) && md_find_keys(mt, &part, err);
    for (size_t i = 0; ok && mt->writer == 0 && i < count; i++)
        ok = md_tell_cascades(mt, part.tabs[i], err);
    free(part.seen);
    free(part.json);
    if (ok)
        mt->tables = xrealloc(mt->tables, (mt->table_count + count) * sizeof(struct md_table *));
    for (size_t i = 0; i < count; i++) {
        if (!ok) {
            md_table_free(part.tabs[i]);
            continue;
        }
        mt->tables[mt->table_count++] = part.tabs[i];
        ret[i] = &part.tabs[i]->base;
    }
    return ok;
}

bool md_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                struct target_table **ret, struct err *err)
{
    struct md_target *mt = (struct md_target *)tgt;
    for (size_t first = 0, n; first < count; first += n) {
        n = target_prepare_part(schemas + first, count - first, MD_PREPARE_TABLES, MD_PREPARE_FIELDS);
        if (!prepare_part(mt, schemas + first, n, ret + first, err))
            return false;
    }
    return true;
}
