/* Owns: the map from schemas to prepared target tables. */
#include "apply/tables.h"

#include <stdlib.h>

#include "core/alloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

struct entry {
    const struct table_schema *schema;
    struct target_table *table;
    const struct conflict_rule *rule;
    UT_hash_handle hh;
};

struct table_map {
    struct target *tgt;
    bool accept_lossy;
    const struct conflict_rules *rules;
    bool defers;
    struct entry *entries;
};

struct table_map *table_map_new(struct target *tgt)
{
    struct table_map *map = xcalloc(1, sizeof *map);
    map->tgt = tgt;
    return map;
}

void table_map_accept_lossy(struct table_map *map)
{
    map->accept_lossy = true;
}

static void find_rule(const struct table_map *map, struct entry *e)
{
    e->rule = conflict_rules_find(map->rules, e->schema->schema, e->schema->table);
}

void table_map_watch(struct table_map *map, const struct conflict_rules *rules)
{
    struct entry *e, *next;
    map->rules = rules;
    HASH_ITER(hh, map->entries, e, next)
    {
        find_rule(map, e);
    }
}

void table_map_defer(struct table_map *map, bool defer)
{
    map->defers = defer;
}

bool table_map_defers(const struct table_map *map)
{
    return map->defers;
}

bool table_map_watches(const struct table_map *map)
{
    return map->rules != NULL;
}

const struct conflict_rule *table_map_rule(const struct table_map *map, const struct table_schema *schema)
{
    struct entry *e = NULL;
    if (map->rules == NULL)
        return NULL;
    HASH_FIND_PTR(map->entries, &schema, e);
    return e != NULL ? e->rule : NULL;
}

void table_map_free(struct table_map *map)
{
    if (map == NULL)
        return;
    struct entry *e, *next;
    HASH_ITER(hh, map->entries, e, next)
    {
        HASH_DEL(map->entries, e);
        free(e);
    }
    free(map);
}

/* Promise 5: what may have been changed on its way into the journal is not written as if it had not. */
static bool check_lossy(const struct table_map *map, const struct table_schema *schema, struct err *err)
{
    for (size_t i = 0; !map->accept_lossy && i < schema->field_count; i++) {
        const struct field *f = &schema->fields[i];
        if (f->lossy)
            return err_set(
                err, ERR_SCHEMA,
                "table=%s.%s column=%s: the journal holds this %s in a form of type_profile: debezium "
                "that may not give back every value. Hint: capture with journal.type_profile: exact "
                "or another mode, or set journal.lossy: debezium to accept what is there",
                schema->schema, schema->table, f->name, f->source_type != NULL ? f->source_type : "column");
    }
    return true;
}

static struct entry *find(struct table_map *map, const struct table_schema *schema)
{
    struct entry *e = NULL;
    HASH_FIND_PTR(map->entries, &schema, e);
    return e;
}

static void add(struct table_map *map, const struct table_schema *schema, struct target_table *table)
{
    struct entry *e = xcalloc(1, sizeof *e);
    e->schema = schema;
    e->table = table;
    find_rule(map, e);
    HASH_ADD_PTR(map->entries, schema, e);
}

static int by_address(const void *a, const void *b)
{
    const struct table_schema *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

/* The new ones among them, each once; in the order of their addresses, which is about that in which they came. */
static size_t list_new(struct table_map *map, const struct table_schema *const *schemas, size_t count,
                       const struct table_schema **ret)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (find(map, schemas[i]) == NULL)
            ret[n++] = schemas[i];
    }
    qsort(ret, n, sizeof(struct table_schema *), by_address);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || ret[i] != ret[i - 1])
            ret[kept++] = ret[i];
    }
    return kept;
}

bool table_map_expect(struct table_map *map, const struct table_schema *const *schemas, size_t count,
                      struct err *err)
{
    const struct table_schema **wanted = xcalloc(count + 1, sizeof(struct table_schema *));
    size_t n = list_new(map, schemas, count, wanted);
    struct target_table **tables = xcalloc(n + 1, sizeof(struct target_table *));
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = check_lossy(map, wanted[i], err);
    ok = ok && (n == 0 || target_prepare_all(map->tgt, wanted, n, tables, err));
    for (size_t i = 0; ok && i < n; i++)
        add(map, wanted[i], tables[i]);
    free(tables);
    free(wanted);
    return ok;
}

bool table_map_get(struct table_map *map, const struct table_schema *schema, struct target_table **ret,
                   struct err *err)
{
    const struct entry *e = find(map, schema);
    if (e == NULL) {
        struct target_table *table = NULL;
        if (!check_lossy(map, schema, err) || !target_prepare(map->tgt, schema, &table, err))
            return false;
        add(map, schema, table);
        e = find(map, schema);
    }
    *ret = e->table;
    return true;
}
