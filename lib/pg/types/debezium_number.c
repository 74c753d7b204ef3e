/* Owns: whole numbers of any size between decimal digits and big-endian two's complement. See internal.h. */
#include "core/strbuf.h"
#include "internal.h"

#define CHUNK        1000000000U /* nine digits at a time */
#define CHUNK_DIGITS 9
/* A numeric has at most 131072 digits before the point and 16383 behind it; Debezium adds up to 2046. */
#define DIGITS_MAX 150000
#define BYTES_MAX  62500

/* v = v * CHUNK + add, in 32-bit limbs, least first. */
static size_t limbs_push(uint32_t *limbs, size_t count, uint32_t times, uint32_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < count; i++) {
        carry += (uint64_t)limbs[i] * times;
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0)
        limbs[count++] = (uint32_t)carry;
    return count;
}

/* The magnitude as bytes, least first; one zero byte behind the last. */
static size_t magnitude(const char *digits, size_t count, uint32_t *limbs, unsigned char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < count;) {
        size_t take = (count - i) % CHUNK_DIGITS == 0 ? CHUNK_DIGITS : (count - i) % CHUNK_DIGITS;
        uint32_t chunk = 0;
        for (size_t end = i + take; i < end; i++)
            chunk = chunk * 10 + (uint32_t)(digits[i] - '0');
        used = limbs_push(limbs, used, CHUNK, chunk);
    }
    for (size_t i = 0; i < used; i++) {
        uint32_t le = htole32(limbs[i]);
        memcpy(out + 4 * i, &le, sizeof le);
    }
    size_t len = 4 * used;
    while (len > 0 && out[len - 1] == 0)
        len--;
    out[len] = 0;
    return len;
}

const char *decimal_to_bytes(const char *digits, size_t count, bool negative, struct arena *arena,
                             uint32_t *ret_len)
{
    if (count > DIGITS_MAX)
        return NULL;
    size_t limb_count = count / CHUNK_DIGITS + 2;
    uint32_t *limbs = arena_alloc(arena, limb_count * sizeof *limbs);
    unsigned char *bytes = arena_alloc(arena, limb_count * sizeof *limbs + 8);
    if (limbs == NULL || bytes == NULL)
        return NULL;
    size_t len = magnitude(digits, count, limbs, bytes);
    unsigned carry = negative;
    for (size_t i = 0; negative && i <= len; i++) {
        carry += (unsigned char)~bytes[i];
        bytes[i] = (unsigned char)carry;
        carry >>= 8;
    }
    len++; /* with the sign's byte, which goes where the one below says the same */
    if (len > 1 && bytes[len - 1] == (bytes[len - 2] >= 128 ? 255 : 0))
        len--;
    for (size_t i = 0; i < len / 2; i++) {
        unsigned char swap = bytes[i];
        bytes[i] = bytes[len - 1 - i];
        bytes[len - 1 - i] = swap;
    }
    *ret_len = (uint32_t)len;
    return (const char *)bytes;
}

/* Divides by CHUNK in place; returns the rest. */
static uint32_t limbs_pop(uint32_t *limbs, size_t *count)
{
    uint64_t rest = 0;
    for (size_t i = *count; i-- > 0;) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / CHUNK);
        rest %= CHUNK;
    }
    while (*count > 0 && limbs[*count - 1] == 0)
        --*count;
    return (uint32_t)rest;
}

/* Fills limbs with the magnitude; returns how many. */
static size_t load_magnitude(const unsigned char *bytes, size_t len, uint32_t *limbs)
{
    bool negative = len > 0 && bytes[0] >= 128;
    unsigned carry = negative;
    for (size_t i = 0; i < len; i++) {
        unsigned char b = bytes[len - 1 - i];
        carry += negative ? (unsigned char)~b : b;
        limbs[i / 4] |= (uint32_t)(carry & 255) << 8 * (i % 4);
        carry >>= 8;
    }
    if (carry != 0) /* -256^len */
        limbs[len / 4] |= UINT32_C(1) << 8 * (len % 4);
    size_t count = len / 4 + 1;
    while (count > 0 && limbs[count - 1] == 0)
        count--;
    return count;
}

static void put_digits(struct strbuf *out, const char *digits, size_t count, int scale)
{
    size_t fraction = scale > 0 ? (size_t)scale : 0;
    if (count > fraction)
        strbuf_add(out, digits, count - fraction);
    else
        strbuf_addc(out, '0');
    for (int i = 0; i < -scale && count > 0; i++)
        strbuf_addc(out, '0');
    if (fraction == 0)
        return;
    strbuf_addc(out, '.');
    for (size_t i = count; i < fraction; i++)
        strbuf_addc(out, '0');
    strbuf_add(out, digits + (count > fraction ? count - fraction : 0), MIN_OF(count, fraction));
}

bool decimal_from_bytes(const unsigned char *bytes, size_t len, int scale, struct strbuf *out)
{
    if (len == 0 || len > BYTES_MAX || scale > DIGITS_MAX || scale < -DIGITS_MAX)
        return false;
    struct strbuf limbs = STRBUF_INIT(2 * (size_t)BYTES_MAX), digits = STRBUF_INIT(4 * (size_t)BYTES_MAX);
    size_t room = (len / 4 + 2) * sizeof(uint32_t), digits_room = len * 5 / 2 + 2 * CHUNK_DIGITS;
    char *limb_bytes = strbuf_reserve(&limbs, room), *end = strbuf_reserve(&digits, digits_room);
    bool ok = limb_bytes != NULL && end != NULL;
    if (ok) {
        memset(limb_bytes, 0, room);
        uint32_t *values = (uint32_t *)(void *)limb_bytes;
        size_t count = load_magnitude(bytes, len, values);
        char *last = end + digits_room, *p = last;
        while (count > 0) {
            uint32_t chunk = limbs_pop(values, &count);
            for (int i = 0; i < CHUNK_DIGITS; i++, chunk /= 10)
                *--p = (char)('0' + chunk % 10);
        }
        while (p < last && *p == '0')
            p++;
        if (p < last && bytes[0] >= 128)
            strbuf_addc(out, '-');
        put_digits(out, p, (size_t)(last - p), scale);
    }
    strbuf_release(&limbs);
    strbuf_release(&digits);
    return ok;
}
