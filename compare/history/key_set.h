/*
 * The keys that changed, each once: texts of a key's columns, one NUL behind each. Bounded: a set that is full says so,
 * and whoever fills it empties it. No I/O. @thread: one owner at a time. Private to compare.
 */
#ifndef COMPARE_HISTORY_KEY_SET_H
#define COMPARE_HISTORY_KEY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_set {
    char *bytes; /* the keys, one behind the other */
    size_t len, cap;
    size_t *offsets; /* of each key */
    size_t count, offset_cap;
    size_t *slots; /* hash table: index + 1; 0 = free */
    size_t slot_count;
};

/* A set begins zeroed. Whether the key was new. */
bool key_set_add(struct key_set *set, const char *key, size_t len);
/* The n-th key that was added, and its length. */
const char *key_set_at(const struct key_set *set, size_t n, size_t *ret_len);
/* What it takes of memory. */
size_t key_set_bytes(const struct key_set *set);
/* Frees all: the set is empty. */
void key_set_release(struct key_set *set);

#endif
