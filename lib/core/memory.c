/* Wraps glibc's mallopt() and malloc_trim(). See memory.h. */
#include "core/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/attr.h"
#include "core/clock.h"

#define LOOK_EVERY_US INT64_C(10000000)
#define WORTH_IT      (UINT64_C(16) << 20) /* below, giving back and taking anew costs more than it is worth */
#define KEEP_BYTES    (1 << 20)            /* at the heap's end, for what comes next */

/*
 * Each thread takes from an arena of its own, and what is free at an arena's end is given back by free() alone, from M_TRIM_THRESHOLD on:
 * malloc_trim() does not touch it but in the main one (glibc, malloc/malloc.c: mtrim(), heap_trim()). Left to itself that threshold grows to twice
 * the largest block that was ever freed, and there are eight arenas per core: a role that meets an outage a day, each with new threads of its
 * libraries, would grow by some MiB each time.
 */
#define ARENAS         4
#define END_KEEP_BYTES (2 << 20)
/* Larger blocks are mapped one by one, and are gone when freed. Above what is taken and freed again and again: batches of a Kafka producer. */
#define MAPPED_BYTES (8 << 20)

void memory_init(void)
{
    /* Another allocator (a sanitizer's, a preloaded one) takes none of them, and then needs none. */
    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)mallopt(M_TRIM_THRESHOLD, END_KEEP_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
}

uint64_t memory_anon_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "RssAnon: %llu", &kib) != 1)
        continue;
    (void)fclose(file);
    return kib * 1024;
}

/* Resident, and in nobody's use; a part of it is not the allocator's: stacks, the data of libraries. */
static uint64_t unused_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    uint64_t anon_bytes = memory_anon_bytes(), used_bytes = info.uordblks + info.hblkhd;
    return anon_bytes - MIN_OF(used_bytes, anon_bytes);
}

void memory_tidy(void)
{
    static _Thread_local int64_t looked_us;
    static _Thread_local uint64_t
        left_bytes; /* by the last time: held beyond that is what may be given back */
    int64_t now_us = clock_mono_us();
    if (looked_us != 0 && now_us - looked_us < LOOK_EVERY_US)
        return;
    looked_us = now_us;
    uint64_t held_bytes = unused_bytes();
    left_bytes = MIN_OF(left_bytes, held_bytes);
    if (held_bytes < left_bytes + WORTH_IT)
        return;
    (void)malloc_trim(KEEP_BYTES);
    left_bytes = unused_bytes();
}
