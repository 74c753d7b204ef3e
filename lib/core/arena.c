#include "core/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Large: a process may have some 65,000 mappings (vm.max_map_count). */
#define FILE_BLOCK ((size_t)16 << 20)

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    size_t mapped_bytes; /* of a file, this header included; 0 = from malloc */
    char data[];
};

void arena_init(struct arena *a, size_t block_bytes, size_t max_bytes)
{
    *a = (struct arena){.block_bytes = block_bytes < 256 ? 256 : block_bytes, .max_bytes = max_bytes};
}

static void free_chain(struct arena *a, struct arena_block *b)
{
    while (b != NULL) {
        struct arena_block *next = b->next;
        if (b->mapped_bytes > 0) {
            (void)munmap(b, b->mapped_bytes);
        } else {
            a->reserved_bytes -= b->size;
            free(b);
        }
        b = next;
    }
}

void arena_overflow(struct arena *a, int fd)
{
    a->in_file = true;
    a->fd = fd;
    a->file_bytes = 0;
}

void arena_release(struct arena *a)
{
    free_chain(a, a->head);
    a->head = NULL;
    a->used_bytes = 0;
    a->in_file = false;
}

void arena_clear(struct arena *a)
{
    struct arena_block *keep = NULL, *rest = NULL;
    for (struct arena_block *b = a->head, *next; b != NULL; b = next) {
        next = b->next;
        if (b->mapped_bytes == 0 && (keep == NULL || b->size > keep->size)) {
            struct arena_block *loser = keep;
            keep = b;
            b = loser;
        }
        if (b != NULL) {
            b->next = rest;
            rest = b;
        }
    }
    free_chain(a, rest);
    a->head = keep;
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->used_bytes = 0;
    a->in_file = false;
}

static struct arena_block *add_mapped(struct arena *a, size_t at_least)
{
    size_t bytes = MAX_OF(at_least + sizeof(struct arena_block), FILE_BLOCK);
    bytes = (bytes + FILE_BLOCK - 1) / FILE_BLOCK * FILE_BLOCK;
    int failed = posix_fallocate(a->fd, (off_t)a->file_bytes, (off_t)bytes);
    if (failed != 0) {
        errno = failed;
        return NULL;
    }
    struct arena_block *b =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, (off_t)a->file_bytes);
    if (b == MAP_FAILED)
        return NULL;
    a->file_bytes += bytes;
    *b = (struct arena_block){.next = a->head, .size = bytes - sizeof *b, .mapped_bytes = bytes};
    a->head = b;
    return b;
}

static struct arena_block *add_block(struct arena *a, size_t at_least)
{
    if (a->in_file)
        return add_mapped(a, at_least);
    size_t size = at_least > a->block_bytes ? at_least : a->block_bytes;
    if (a->reserved_bytes + size > a->max_bytes)
        size = at_least;
    if (size > a->max_bytes || a->reserved_bytes > a->max_bytes - size)
        return NULL;
    struct arena_block *b = malloc(sizeof *b + size);
    if (b == NULL)
        return NULL;
    *b = (struct arena_block){.next = a->head, .size = size};
    a->head = b;
    a->reserved_bytes += size;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - 16)
        return NULL;
    size_t rounded = (size + 7) & ~(size_t)7;
    struct arena_block *b = a->head;
    if (b == NULL || b->size - b->used < rounded) {
        b = add_block(a, rounded);
        if (b == NULL)
            return NULL;
    }
    void *p = b->data + b->used;
    b->used += rounded;
    a->used_bytes += rounded;
    return p;
}

char *arena_copy(struct arena *a, const void *bytes, size_t len)
{
    char *p = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;
    if (p == NULL)
        return NULL;
    if (len != 0)
        memcpy(p, bytes, len);
    p[len] = '\0';
    return p;
}
