/* Wraps glibc's malloc_trim(). See memory.h. */
#include "core/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/attr.h"
#include "core/clock.h"

#define LOOK_EVERY_US INT64_C(10000000)
#define WORTH_IT      (UINT64_C(16) << 20) /* below, giving back and taking anew costs more than it is worth */
#define KEEP_BYTES    ((size_t)1 << 20)    /* at the heap's end, for what comes next */

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

void memory_tidy(void)
{
    static _Thread_local int64_t looked_us;
    static _Thread_local uint64_t left_bytes; /* by the last time: grown beyond that is what may be free */
    int64_t now_us = clock_mono_us();
    if (looked_us != 0 && now_us - looked_us < LOOK_EVERY_US)
        return;
    looked_us = now_us;
    uint64_t anon_bytes = memory_anon_bytes();
    left_bytes = MIN_OF(left_bytes, anon_bytes);
    if (anon_bytes < left_bytes + WORTH_IT || mallinfo2().fordblks < WORTH_IT)
        return;
    (void)malloc_trim(KEEP_BYTES);
    left_bytes = memory_anon_bytes();
}
