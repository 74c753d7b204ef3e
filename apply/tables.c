/* Owns: the map from schemas to prepared target tables. */
#include "apply/tables.h"

#include <stdlib.h>

#include "core/alloc.h"

struct table_map {
    struct target *tgt;
    struct {
        const struct table_schema *schema;
        struct target_table *table;
    } * items;
    size_t count, cap;
};

struct table_map *table_map_new(struct target *tgt)
{
    struct table_map *map = xcalloc(1, sizeof *map);
    map->tgt = tgt;
    return map;
}

void table_map_free(struct table_map *map)
{
    if (map == NULL)
        return;
    free(map->items);
    free(map);
}

bool table_map_get(struct table_map *map, const struct table_schema *schema, struct target_table **ret,
                   struct err *err)
{
    for (size_t i = 0; i < map->count; i++) {
        if (map->items[i].schema == schema) {
            *ret = map->items[i].table;
            return true;
        }
    }
    struct target_table *table = NULL;
    if (!target_prepare(map->tgt, schema, &table, err))
        return false;
    if (map->count == map->cap) {
        map->cap = map->cap == 0 ? 32 : 2 * map->cap;
        map->items = xrealloc(map->items, map->cap * sizeof *map->items);
    }
    map->items[map->count].schema = schema;
    map->items[map->count++].table = table;
    *ret = table;
    return true;
}
