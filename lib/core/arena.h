/*
 * Arenas: memory with one lifetime (process, connection, relation cache, batch, message). Passed as an
 * argument, there is no hidden current one. Bounded: arena_alloc returns NULL past the maximum. @thread: one
 * owner at a time.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stddef.h>

#include "core/attr.h"

struct arena_block;
struct arena {
    struct arena_block *head; /* block in use; older ones behind it */
    size_t used_bytes;        /* handed out since the last clear */
    size_t reserved_bytes;    /* held from malloc */
    size_t block_bytes;       /* size of a fresh block */
    size_t max_bytes;
};

void arena_init(struct arena *a, size_t block_bytes, size_t max_bytes);
/* Frees everything. */
void arena_release(struct arena *a);
/* Forgets all allocations; keeps the largest block for reuse. */
void arena_clear(struct arena *a);
/* 8-byte aligned; NULL when max_bytes would be passed (size 0 gives a valid pointer). */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;
/* Copies bytes, adds a NUL behind them. NULL as above. */
char *arena_copy(struct arena *a, const void *bytes, size_t len) MUST_CHECK;

#endif
