/* A reader over bytes that never runs past their end: a short read sets the sticky `failed` flag and gives 0,
 * so that a decoder asks once per message. Big-endian, as the PostgreSQL protocol is. */
#ifndef PG_CURSOR_H
#define PG_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const char *p, *end;
    bool failed;
};

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* `len` bytes, or NULL (failed). */
static inline const char *cursor_bytes(struct cursor *c, size_t len)
{
    if (c->failed || cursor_left(c) < len) {
        c->failed = true;
        return NULL;
    }
    const char *p = c->p;
    c->p += len;
    return p;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
    const char *p = cursor_bytes(c, 1);
    return p != NULL ? (uint8_t)*p : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
    const char *p = cursor_bytes(c, 2);
    uint16_t v = 0;
    if (p != NULL)
        memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t cursor_u32(struct cursor *c)
{
    const char *p = cursor_bytes(c, 4);
    uint32_t v = 0;
    if (p != NULL)
        memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline uint64_t cursor_u64(struct cursor *c)
{
    const char *p = cursor_bytes(c, 8);
    uint64_t v = 0;
    if (p != NULL)
        memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

/* A NUL-terminated string inside the bytes; "" when failed. */
static inline const char *cursor_text(struct cursor *c)
{
    const char *nul = c->failed || c->p == c->end ? NULL : memchr(c->p, '\0', cursor_left(c));
    if (nul == NULL) {
        c->failed = true;
        return "";
    }
    const char *p = c->p;
    c->p = nul + 1;
    return p;
}

#endif
