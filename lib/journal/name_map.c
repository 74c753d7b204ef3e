/* A hash table from names to small numbers, open addressing. Names are never removed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"
#include "journal_impl.h"

struct slot {
    char *name; /* NULL = free */
    uint64_t hash;
    int value;
};

struct name_map {
    struct slot *slots;
    size_t cap; /* power of two */
    size_t count;
};

static uint64_t hash_name(const char *name)
{
    uint64_t h = hash_fnv1a(HASH_FNV1A, name, strlen(name));
    return h ^ (h >> 29);
}

static struct slot *find_slot(const struct name_map *map, const char *name, uint64_t hash)
{
    size_t i = hash & (map->cap - 1);
    while (map->slots[i].name != NULL &&
           (map->slots[i].hash != hash || strcmp(map->slots[i].name, name) != 0))
        i = (i + 1) & (map->cap - 1);
    return &map->slots[i];
}

static void grow(struct name_map *map)
{
    struct slot *old = map->slots;
    size_t old_cap = map->cap;
    map->cap *= 2;
    map->slots = xcalloc(map->cap, sizeof *map->slots);
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].name != NULL)
            *find_slot(map, old[i].name, old[i].hash) = old[i];
    }
    free(old);
}

struct name_map *name_map_new(void)
{
    struct name_map *map = xcalloc(1, sizeof *map);
    map->cap = 64;
    map->slots = xcalloc(map->cap, sizeof *map->slots);
    return map;
}

void name_map_free(struct name_map *map)
{
    if (map == NULL)
        return;
    for (size_t i = 0; i < map->cap; i++)
        free(map->slots[i].name);
    free(map->slots);
    free(map);
}

int name_map_get(const struct name_map *map, const char *name)
{
    const struct slot *slot = find_slot(map, name, hash_name(name));
    return slot->name != NULL ? slot->value : -1;
}

void name_map_put(struct name_map *map, const char *name, int value)
{
    uint64_t hash = hash_name(name);
    struct slot *slot = find_slot(map, name, hash);
    if (slot->name == NULL) {
        if (map->count * 2 >= map->cap) {
            grow(map);
            slot = find_slot(map, name, hash);
        }
        *slot = (struct slot){.name = xstrdup(name), .hash = hash};
        map->count++;
    }
    slot->value = value;
}
