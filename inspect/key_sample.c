/* Owns: the set, and its thinning out. See key_sample.h. */
#include "inspect/key_sample.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define LEAST_BYTES ((size_t)4096)

void key_sample_init(struct key_sample *set, size_t memory_bytes)
{
    size_t bytes = LEAST_BYTES;
    while (bytes * 2 <= memory_bytes)
        bytes *= 2;
    *set = (struct key_sample){.slot_count = bytes / sizeof *set->slots};
    set->slots = xcalloc(set->slot_count, sizeof *set->slots);
}

void key_sample_release(struct key_sample *set)
{
    free(set->slots);
    *set = (struct key_sample){0};
}

void key_sample_clear(struct key_sample *set)
{
    memset(set->slots, 0, set->slot_count * sizeof *set->slots);
    set->used = 0;
    set->halvings = 0;
}

/* The upper bits choose the sample, the lower ones the slot. */
static bool is_kept(const struct key_sample *set, uint64_t hash)
{
    return set->halvings == 0 || hash >> (64 - set->halvings) == 0;
}

/* The slot that holds it, or the free one where it belongs. */
static uint64_t *find(struct key_sample *set, uint64_t hash)
{
    size_t at = (size_t)hash & (set->slot_count - 1);
    while (set->slots[at] != 0 && set->slots[at] != hash)
        at = (at + 1) & (set->slot_count - 1);
    return &set->slots[at];
}

/* In place: what is kept is taken out and put in again, from a free slot on, so that no chain is broken. */
static void halve(struct key_sample *set)
{
    size_t start = 0;
    set->halvings++;
    while (set->slots[start] != 0)
        start++;
    for (size_t i = 1; i <= set->slot_count; i++) {
        uint64_t *slot = &set->slots[(start + i) & (set->slot_count - 1)];
        uint64_t hash = *slot;
        if (hash == 0)
            continue;
        *slot = 0;
        if (is_kept(set, hash))
            *find(set, hash) = hash;
        else
            set->used--;
    }
}

bool key_sample_add(struct key_sample *set, uint64_t hash)
{
    hash += hash == 0;
    if (!is_kept(set, hash))
        return false;
    uint64_t *slot = find(set, hash);
    if (*slot == hash)
        return true;
    *slot = hash;
    if (++set->used > set->slot_count / 4 * 3)
        halve(set);
    return false;
}
