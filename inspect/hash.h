/* Hashes of the walk: MurmurHash64A for tables, and Kafka's murmur2 (32 bits, Utils.murmur2 of its Java clients), which says
 * in which partition a key belongs. Both are Austin Appleby's public-domain functions. */
#ifndef INSPECT_HASH_H
#define INSPECT_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
    static const uint64_t m = UINT64_C(0xc6a4a7935bd1e995);
    const unsigned char *p = bytes;
    uint64_t h = seed ^ (len * m), k;
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&k, p, 8);
        k *= m;
        k = (k ^ (k >> 47)) * m;
        h = (h ^ k) * m;
    }
    if (len > 0) {
        k = 0;
        memcpy(&k, p, len);
        h = (h ^ k) * m;
    }
    h = (h ^ (h >> 47)) * m;
    return h ^ (h >> 47);
}

static inline uint32_t kafka_murmur2(const void *bytes, size_t len)
{
    static const uint32_t m = 0x5bd1e995u;
    const unsigned char *p = bytes;
    uint32_t h = 0x9747b28cu ^ (uint32_t)len;
    for (; len >= 4; p += 4, len -= 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    if (len >= 3)
        h ^= (uint32_t)p[2] << 16;
    if (len >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (len >= 1)
        h = (h ^ p[0]) * m;
    h = (h ^ (h >> 13)) * m;
    return h ^ (h >> 15);
}

/* The partition that Java clients and our writer choose; no key: 0 (ours alone). */
static inline int32_t kafka_partition(const void *key, size_t len, int32_t count)
{
    return key == NULL || count <= 1 ? 0
                                     : (int32_t)((kafka_murmur2(key, len) & 0x7fffffffu) % (uint32_t)count);
}

#endif
