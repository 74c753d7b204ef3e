/*
 * Arenas: memory with one lifetime (process, connection, relation cache, batch, message). Passed as an
 * argument, there is no hidden current one. Bounded: arena_alloc returns NULL past the maximum. @thread: one
 * owner at a time.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

struct arena_block;
struct arena {
    struct arena_block *head; /* block in use; older ones behind it */
    size_t used_bytes;        /* handed out since the last clear */
    size_t reserved_bytes;    /* held from malloc */
    size_t block_bytes;       /* size of a fresh block */
    size_t max_bytes;
    bool in_file; /* new blocks are pages of `fd` (arena_overflow) */
    int fd;
    uint64_t file_bytes; /* of these so far */
};

void arena_init(struct arena *a, size_t block_bytes, size_t max_bytes);
/* Frees everything. */
void arena_release(struct arena *a);
/* From here to arena_clear() or _release() new blocks are pages of this file, for which max_bytes does not count: the kernel
 * writes them out when memory is short. The file is empty and the caller's; it stays open until then. Its room is allocated before it is
 * mapped, so that a full disk is a NULL of arena_alloc (errno says why), not a SIGBUS. */
void arena_overflow(struct arena *a, int fd);
/* Forgets all allocations; keeps the largest block for reuse. */
void arena_clear(struct arena *a);
/* 8-byte aligned; NULL when max_bytes would be passed (size 0 gives a valid pointer). */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;
/* Copies bytes, adds a NUL behind them. NULL as above. */
char *arena_copy(struct arena *a, const void *bytes, size_t len) MUST_CHECK;

#endif
