/* Owns: a set of keys. See key_set.h. */
#include "history/key_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/hash.h"

#define SLOTS_FIRST 64

static size_t slot_of(const struct key_set *set, const char *key, size_t len)
{
    return (size_t)hash_fnv1a(HASH_FNV1A, key, len) & (set->slot_count - 1);
}

const char *key_set_at(const struct key_set *set, size_t n, size_t *ret_len)
{
    size_t end = n + 1 < set->count ? set->offsets[n + 1] : set->len;
    *ret_len = end - set->offsets[n];
    return set->bytes + set->offsets[n];
}

/* The key's slot, or the free one where it belongs. */
static size_t find(const struct key_set *set, const char *key, size_t len)
{
    size_t slot = slot_of(set, key, len);
    for (; set->slots[slot] != 0; slot = (slot + 1) & (set->slot_count - 1)) {
        size_t there_len;
        const char *there = key_set_at(set, set->slots[slot] - 1, &there_len);
        if (there_len == len && memcmp(there, key, len) == 0)
            break;
    }
    return slot;
}

/* At most half of the slots are taken. */
static void make_slots(struct key_set *set)
{
    if (2 * (set->count + 1) <= set->slot_count)
        return;
    free(set->slots);
    set->slot_count = set->slot_count == 0 ? SLOTS_FIRST : 2 * set->slot_count;
    set->slots = xcalloc(set->slot_count, sizeof *set->slots);
    for (size_t i = 0; i < set->count; i++) {
        size_t len;
        const char *key = key_set_at(set, i, &len);
        set->slots[find(set, key, len)] = i + 1;
    }
}

static void make_room(struct key_set *set, size_t len)
{
    if (set->len + len > set->cap) {
        set->cap = 2 * (set->cap + len);
        set->bytes = xrealloc(set->bytes, set->cap);
    }
    if (set->count == set->offset_cap) {
        set->offset_cap = set->offset_cap == 0 ? SLOTS_FIRST : 2 * set->offset_cap;
        set->offsets = xrealloc(set->offsets, set->offset_cap * sizeof *set->offsets);
    }
}

bool key_set_add(struct key_set *set, const char *key, size_t len)
{
    make_slots(set);
    size_t slot = find(set, key, len);
    if (set->slots[slot] != 0)
        return false;
    make_room(set, len);
    memcpy(set->bytes + set->len, key, len);
    set->offsets[set->count++] = set->len;
    set->len += len;
    set->slots[slot] = set->count;
    return true;
}

size_t key_set_bytes(const struct key_set *set)
{
    return set->cap + set->offset_cap * sizeof *set->offsets + set->slot_count * sizeof *set->slots;
}

void key_set_release(struct key_set *set)
{
    free(set->bytes);
    free(set->offsets);
    free(set->slots);
    *set = (struct key_set){0};
}
