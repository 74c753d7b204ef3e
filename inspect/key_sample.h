/*
 * Which keys were seen: a set of 64-bit hashes in memory of a fixed size. When it is full it keeps every second hash (by its
 * value, so the same ones for the whole run), then every fourth …: a uniform sample, in which each repetition is found, for a
 * share of the keys that is known. Two different keys have the same hash with a probability of 2^-64.
 */
#ifndef INSPECT_KEY_SAMPLE_H
#define INSPECT_KEY_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_sample {
    uint64_t *slots; /* 0 = free */
    size_t slot_count, used;
    unsigned halvings; /* one of 2^halvings hashes is kept */
};

/* Takes at most memory_bytes (4096 at least; rounded down to a power of two). */
void key_sample_init(struct key_sample *set, size_t memory_bytes);
void key_sample_release(struct key_sample *set);
/* Empty, and all keys are kept again. */
void key_sample_clear(struct key_sample *set);
/* True if the hash was there already. */
bool key_sample_add(struct key_sample *set, uint64_t hash);

#endif
