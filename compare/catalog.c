/* Owns: what the catalogs of both dialects have in common. See catalog.h. */
#include "catalog.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "catalog_impl.h"
#include "core/alloc.h"
#include "maria/names.h"

static const struct catalog_ops *ops_of(enum dialect_kind dialect)
{
    return dialect == DIALECT_MARIADB ? &catalog_mariadb : &catalog_postgres;
}

bool catalog_read(struct session *s, struct catalog *ret, struct err *err)
{
    struct catalog cat = {.dialect = session_dialect(s), .database = xstrdup(session_database(s))};
    if (!ops_of(cat.dialect)->read(s, &cat, err)) {
        err_wrap(err, "reading the catalog of database %s", cat.database);
        catalog_release(&cat);
        return false;
    }
    catalog_index(&cat);
    *ret = cat;
    return true;
}

char *catalog_named(const struct catalog *cat, const struct cat_table *table)
{
    return ops_of(cat->dialect)->named(table);
}

bool catalog_read_partitions(struct session *conn, struct catalog *cat, struct err *err)
{
    const struct catalog_ops *ops = ops_of(cat->dialect);
    return ops->read_partitions == NULL || ops->read_partitions(conn, cat, err);
}

char *catalog_from(const struct catalog *cat, const struct cat_table *table)
{
    char *named = catalog_named(cat, table), *from = xasprintf("%s AS t", named);
    free(named);
    return from;
}

const char *catalog_rewritten_sql(enum dialect_kind dialect)
{
    return ops_of(dialect)->rewritten_sql;
}

struct cat_table *catalog_add_table(struct catalog *cat)
{
    cat->tables = xrealloc(cat->tables, (cat->table_count + 1) * sizeof *cat->tables);
    struct cat_table *t = &cat->tables[cat->table_count++];
    *t = (struct cat_table){0};
    return t;
}

struct cat_column *cat_table_add_column(struct cat_table *t)
{
    t->columns = xrealloc(t->columns, (t->column_count + 1) * sizeof *t->columns);
    struct cat_column *c = &t->columns[t->column_count++];
    *c = (struct cat_column){0};
    return c;
}

void cat_table_add_key_column(struct cat_table *t, bool first, const char *name)
{
    if (first) {
        t->keys = xrealloc(t->keys, (t->key_count + 1) * sizeof *t->keys);
        t->keys[t->key_count++] = (struct cat_key){0};
    }
    struct cat_key *key = &t->keys[t->key_count - 1];
    key->columns = xrealloc(key->columns, (key->column_count + 1) * sizeof *key->columns);
    key->columns[key->column_count++] = xstrdup(name);
}

static void column_free_parts(struct cat_column *c)
{
    free(c->name);
    free(c->type);
    free(c->collation);
    free(c->collation_named);
    free(c->latest);
}

static void table_free_parts(struct cat_table *t)
{
    for (size_t i = 0; i < t->column_count; i++)
        column_free_parts(&t->columns[i]);
    for (size_t i = 0; i < t->key_count; i++) {
        for (size_t k = 0; k < t->keys[i].column_count; k++)
            free(t->keys[i].columns[k]);
        free(t->keys[i].columns);
    }
    free(t->columns);
    free(t->keys);
    free(t->engine);
    free(t->storage);
    free(t->schema);
    free(t->name);
}

void catalog_drop_tables(struct catalog *cat)
{
    for (size_t i = 0; i < cat->table_count; i++)
        table_free_parts(&cat->tables[i]);
    for (size_t i = 0; i < cat->partition_count; i++) {
        free(cat->partitions[i].schema);
        free(cat->partitions[i].name);
        free(cat->partitions[i].bound);
        free(cat->partitions[i].constraint);
    }
    free(cat->partitions);
    free(cat->tables);
    cat->tables = NULL;
    cat->table_count = 0;
}

void catalog_release(struct catalog *cat)
{
    catalog_drop_tables(cat);
    free(cat->by_name);
    free(cat->database);
    *cat = (struct catalog){0};
}

bool catalog_same_name(const struct catalog *cat, const char *a, const char *b)
{
    return (cat->caseless ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

/* Names that are the same but for their case stay in the order in which they were read. */
static int by_name(const void *a, const void *b)
{
    const struct cat_table *x = *(struct cat_table *const *)a, *y = *(struct cat_table *const *)b;
    int c = strcasecmp(x->name, y->name);
    return c != 0 ? c : x < y ? -1 : x > y;
}

void catalog_index(struct catalog *cat)
{
    cat->by_name = xcalloc(cat->table_count + 1, sizeof(struct cat_table *));
    for (size_t i = 0; i < cat->table_count; i++)
        cat->by_name[i] = &cat->tables[i];
    if (cat->table_count > 1)
        qsort(cat->by_name, cat->table_count, sizeof(struct cat_table *), by_name);
}

/* The first one in by_name whose name is not less. */
static size_t lower_bound(const struct catalog *cat, const char *name)
{
    size_t low = 0, high = cat->table_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (strcasecmp(cat->by_name[mid]->name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct cat_table *catalog_find_like(const struct catalog *cat, const struct catalog *other,
                                    const char *schema, const char *name)
{
    for (size_t i = lower_bound(cat, name);
         i < cat->table_count && strcasecmp(cat->by_name[i]->name, name) == 0; i++) {
        if (catalog_same_name(other, cat->by_name[i]->name, name) &&
            catalog_same_name(other, cat->by_name[i]->schema, schema))
            return cat->by_name[i];
    }
    return NULL;
}

struct cat_table *catalog_find(const struct catalog *cat, const char *schema, const char *name)
{
    const char *where = cat->dialect == DIALECT_MARIADB ? maria_database_of(cat->database, schema) : schema;
    return catalog_find_like(cat, cat, where, name);
}

const char *catalog_schema_of(const struct catalog *cat, const struct cat_table *table)
{
    return cat->dialect == DIALECT_MARIADB && catalog_same_name(cat, table->schema, cat->database)
               ? "public"
               : table->schema;
}

const struct cat_column *cat_table_column(const struct cat_table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    }
    return NULL;
}
