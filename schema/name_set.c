/* Owns: a hash table of names with open addressing, at most half full. See name_set.h. */
#include "name_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"

static char **slot_of(const struct name_set *set, const char *name)
{
    size_t at = (size_t)hash_fnv1a(HASH_FNV1A, name, strlen(name)) & (set->size - 1);
    while (set->slots[at] != NULL && strcmp(set->slots[at], name) != 0)
        at = (at + 1) & (set->size - 1);
    return &set->slots[at];
}

static void make_room(struct name_set *set)
{
    struct name_set more = {.size = set->size == 0 ? 256 : set->size * 2, .count = set->count};
    if (set->count * 2 < set->size)
        return;
    more.slots = xcalloc(more.size, sizeof *more.slots);
    for (size_t i = 0; i < set->size; i++) {
        if (set->slots[i] != NULL)
            *slot_of(&more, set->slots[i]) = set->slots[i];
    }
    free(set->slots);
    *set = more;
}

bool name_set_add(struct name_set *set, char *name)
{
    make_room(set);
    char **slot = slot_of(set, name);
    if (*slot != NULL) {
        free(name);
        return false;
    }
    *slot = name;
    set->count++;
    return true;
}

bool name_set_has(const struct name_set *set, const char *name)
{
    return set->count > 0 && *slot_of(set, name) != NULL;
}

void name_set_release(struct name_set *set)
{
    for (size_t i = 0; i < set->size; i++)
        free(set->slots[i]);
    free(set->slots);
    *set = (struct name_set){0};
}
