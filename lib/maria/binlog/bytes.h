/*
 * Private to lib/maria/binlog: a cursor over bytes of the network, with a sticky `failed` that is read once at the end. Integers are
 * little-endian as everywhere in the binlog, but for the _be ones (inside of temporal values, decimals and lengths of compressed bodies).
 */
#ifndef MARIA_BINLOG_BYTES_H
#define MARIA_BINLOG_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *p, *end;
    bool failed;
};

static inline struct bytes bytes_of(const void *p, size_t len)
{
    return (struct bytes){.p = p, .end = (const uint8_t *)p + len};
}

static inline size_t bytes_left(const struct bytes *b)
{
    return (size_t)(b->end - b->p);
}

/* The next len bytes, or NULL. */
static inline const uint8_t *bytes_take(struct bytes *b, uint64_t len)
{
    if (b->failed || len > bytes_left(b)) {
        b->failed = true;
        return NULL;
    }
    const uint8_t *at = b->p;
    b->p += len;
    return at;
}

static inline uint64_t bytes_le_at(const uint8_t *p, size_t size)
{
    uint64_t v = 0;
    for (size_t i = size; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static inline uint64_t bytes_be_at(const uint8_t *p, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

/* size: 1 to 8. 0 after a failure. */
static inline uint64_t bytes_le(struct bytes *b, size_t size)
{
    const uint8_t *p = bytes_take(b, size);
    return p != NULL ? bytes_le_at(p, size) : 0;
}

/* The protocol's integer of 1, 3, 4 or 9 bytes; its NULL (251) and 255 are none. */
static inline uint64_t bytes_packed(struct bytes *b)
{
    uint64_t first = bytes_le(b, 1);
    if (first < 251)
        return first;
    b->failed = b->failed || first == 251 || first == 255;
    return bytes_le(b, first == 252 ? 2 : first == 253 ? 3 : 8);
}

#endif
