/* Private to lib/change: Avro's binary encoding: zigzag varints, little-endian floats, lengths in front of
 * bytes. */
#ifndef CHANGE_AVRO_WIRE_H
#define CHANGE_AVRO_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "change/datum.h"
#include "core/utf8.h"

#define AVRO_LONG_MAX 10 /* bytes of the longest varint */

/* --- writing: the caller has reserved enough --- */

static inline uint8_t *put_long(uint8_t *to, int64_t v)
{
    uint64_t n = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    while (n >= 0x80) {
        *to++ = (uint8_t)(n | 0x80);
        n >>= 7;
    }
    *to++ = (uint8_t)n;
    return to;
}

static inline uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t len)
{
    to = put_long(to, (int64_t)len);
    if (len != 0)
        memcpy(to, bytes, len);
    return to + len;
}

static inline uint8_t *put_float(uint8_t *to, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = htole32(bits);
    memcpy(to, &bits, sizeof bits);
    return to + sizeof bits;
}

static inline uint8_t *put_double(uint8_t *to, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = htole64(bits);
    memcpy(to, &bits, sizeof bits);
    return to + sizeof bits;
}

/* --- reading: a cursor with a sticky failure, read once per record --- */

struct avro_cursor {
    const uint8_t *p;
    const uint8_t *end;
    const char *failed; /* NULL, or what was wrong first */
};

static inline void cursor_fail(struct avro_cursor *c, const char *why)
{
    if (c->failed == NULL)
        c->failed = why;
    c->p = c->end;
}

static inline int64_t get_long(struct avro_cursor *c)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (c->p == c->end)
            break;
        uint8_t byte = *c->p++;
        if (shift == 63 && byte > 1)
            break;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
    }
    cursor_fail(c, "number is cut short or too long");
    return 0;
}

static inline int32_t get_int(struct avro_cursor *c)
{
    int64_t v = get_long(c);
    if (v < INT32_MIN || v > INT32_MAX) {
        cursor_fail(c, "int is larger than 32 bits");
        return 0;
    }
    return (int32_t)v;
}

/* Takes n bytes; NULL when they are not there. */
static inline const void *get_raw(struct avro_cursor *c, uint64_t n)
{
    if (n > (uint64_t)(c->end - c->p)) {
        cursor_fail(c, "record is cut short");
        return NULL;
    }
    const void *at = c->p;
    c->p += n;
    return at;
}

/* Length and bytes; never NULL unless failed. */
static inline const void *get_bytes(struct avro_cursor *c, size_t *ret_len)
{
    int64_t len = get_long(c);
    if (len < 0) {
        cursor_fail(c, "negative length");
        len = 0;
    }
    *ret_len = (size_t)len;
    const void *at = get_raw(c, (uint64_t)len);
    if (at == NULL)
        *ret_len = 0;
    return at;
}

static inline bool get_bool(struct avro_cursor *c)
{
    const uint8_t *at = get_raw(c, 1);
    if (at != NULL && *at > 1)
        cursor_fail(c, "boolean is neither 0 nor 1");
    return at != NULL && *at == 1;
}

static inline float get_float(struct avro_cursor *c)
{
    uint32_t bits = 0;
    float v;
    const void *at = get_raw(c, sizeof bits);
    if (at != NULL)
        memcpy(&bits, at, sizeof bits);
    bits = le32toh(bits);
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline double get_double(struct avro_cursor *c)
{
    uint64_t bits = 0;
    double v;
    const void *at = get_raw(c, sizeof bits);
    if (at != NULL)
        memcpy(&bits, at, sizeof bits);
    bits = le64toh(bits);
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* A value of a type that is not nested, into d->i, d->f or d->s (where the record has it). False: it is nested, or none. */
static inline bool get_scalar(struct avro_cursor *c, enum phys phys, struct datum *d)
{
    size_t len;
    switch (phys) {
    case PHYS_BOOL:
        d->i = get_bool(c);
        return true;
    case PHYS_INT16:
        d->i = get_long(c);
        if (d->i < INT16_MIN || d->i > INT16_MAX)
            cursor_fail(c, "int16 out of range");
        return true;
    case PHYS_INT32:
        d->i = get_int(c);
        return true;
    case PHYS_INT64:
        d->i = get_long(c);
        return true;
    case PHYS_FLOAT32:
        d->f = (double)get_float(c);
        return true;
    case PHYS_FLOAT64:
        d->f = get_double(c);
        return true;
    case PHYS_STRING:
    case PHYS_BYTES:
        d->s.p = get_bytes(c, &len);
        d->s.len = (uint32_t)len;
        if (len > UINT32_MAX)
            cursor_fail(c, "value is longer than 4 GiB");
        else if (phys == PHYS_STRING && d->s.p != NULL && !utf8_valid(d->s.p, len))
            cursor_fail(c, "text is not valid UTF-8");
        return true;
    default:
        return false;
    }
}

#endif
