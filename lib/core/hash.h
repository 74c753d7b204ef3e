/* FNV-1a, 64 bits: for tables of names, and for what is kept (the plan of a copy in a fence: the function must stay). Begins with
 * HASH_FNV1A; parts follow each other by handing on what came out. @thread any */
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_FNV1A UINT64_C(14695981039346656037)

static inline uint64_t hash_fnv1a(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash;
}

#endif
