/* Owns: numbers, bits and texts under the debezium profile. See profile.h. */
#include <math.h>
#include <stdlib.h>

#include "change/nested.h"
#include "debezium.h"

bool dbz_lost(const struct pg_column_reader *r, const char *what, struct err *err)
{
    return r->profile->stand_ins ||
           err_set(err, ERR_DATA,
                   "%s: this %s cannot be held by the form that type_profile: debezium gives it. Hint: "
                   "journal.type_profile: exact, another mode, or journal.lossy: debezium",
                   what, r->source_type);
}

bool dbz_bad(const struct pg_column_reader *r, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "the bytes of a %s do not parse", r->source_type);
}

static bool no_room(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "no room for a value in the message's memory");
}

static void set_bytes(struct datum *ret, const void *p, size_t len)
{
    *ret = (struct datum){.state = DATUM_VALUE, .s = {p, (uint32_t)len}};
}

bool dbz_bytes(const void *p, size_t len, struct arena *arena, struct datum *ret, struct err *err)
{
    char *copy = len <= UINT32_MAX ? arena_copy(arena, p, len) : NULL;
    if (copy == NULL)
        return no_room(err);
    set_bytes(ret, copy, len);
    return true;
}

/* ---- numeric ---- */

/* The text, NUL-terminated in the arena; NULL with an err. */
static char *number_text(const struct pg_column_reader *r, const unsigned char *bytes, uint32_t len,
                         struct arena *arena, size_t *ret_len, struct err *err)
{
    size_t room = numeric_text_room(bytes, len);
    char *text = room > 0 ? arena_alloc(arena, room + 1) : NULL;
    *ret_len = text != NULL ? numeric_text(bytes, text) : 0;
    if (room > 0 && text == NULL)
        no_room(err);
    else if (*ret_len == 0)
        dbz_bad(r, err);
    else
        text[*ret_len] = '\0';
    return *ret_len > 0 ? text : NULL;
}

static bool is_special(const char *text, size_t len)
{
    return text[len - 1] > '9'; /* NaN, Infinity */
}

/* A number as digits only, its point `scale` places from the right. */
struct digits {
    char *p;
    size_t count;
    size_t scale;
    bool negative;
};

/* Works inside of the text. */
static struct digits split(char *text, size_t len)
{
    struct digits d = {.p = text, .count = len};
    if (*d.p == '-') {
        d.negative = true;
        d.p++;
        d.count--;
    }
    char *point = memchr(d.p, '.', d.count);
    if (point != NULL) {
        d.scale = (size_t)(d.p + d.count - point) - 1;
        memmove(point, point + 1, d.scale);
        d.count--;
    }
    return d;
}

/* In as few bytes as can be, as Java's BigInteger does. */
static bool small_bytes(int64_t v, struct arena *arena, struct datum *ret, struct err *err)
{
    uint64_t be = htobe64((uint64_t)v);
    unsigned char bytes[sizeof be], *p = bytes;
    memcpy(bytes, &be, sizeof be);
    while (p < bytes + sizeof be - 1 && ((p[0] == 0 && p[1] < 128) || (p[0] == 255 && p[1] >= 128)))
        p++;
    return dbz_bytes(p, (size_t)(bytes + sizeof be - p), arena, ret, err);
}

static bool unscaled(const struct digits *d, struct arena *arena, struct datum *ret, struct err *err)
{
    if (d->count <= 18) {
        int64_t v = 0;
        for (size_t i = 0; i < d->count; i++)
            v = v * 10 + (d->p[i] - '0');
        return small_bytes(d->negative ? -v : v, arena, ret, err);
    }
    uint32_t len;
    const char *bytes = decimal_to_bytes(d->p, d->count, d->negative, arena, &len);
    if (bytes == NULL)
        return no_room(err);
    set_bytes(ret, bytes, len);
    return true;
}

static bool special_number(const struct pg_column_reader *r, struct datum *ret, struct err *err)
{
    ret->state = DATUM_NULL;
    return dbz_lost(r, "NaN or an infinity", err);
}

READER(dbz_decimal)
{
    size_t text_len;
    char *text = number_text(r, bytes, len, arena, &text_len, err);
    if (text == NULL)
        return false;
    if (is_special(text, text_len))
        return special_number(r, ret, err);
    struct digits d = split(text, text_len);
    size_t scale = (size_t)r->decimal_scale;
    if (d.scale > scale)
        return dbz_bad(r, err);
    if (d.scale < scale) { /* a column with a negative scale */
        char *longer = arena_alloc(arena, d.count + scale - d.scale);
        if (longer == NULL)
            return no_room(err);
        memcpy(longer, d.p, d.count);
        memset(longer + d.count, '0', scale - d.scale);
        d.p = longer;
        d.count += scale - d.scale;
    }
    return unscaled(&d, arena, ret, err);
}

READER(dbz_variable)
{
    size_t text_len;
    char *text = number_text(r, bytes, len, arena, &text_len, err);
    struct datum scale, value;
    if (text == NULL)
        return false;
    if (is_special(text, text_len))
        return special_number(r, ret, err);
    struct digits d = split(text, text_len);
    for (; d.scale > 0 && d.p[d.count - 1] == '0'; d.scale--)
        d.count--;
    if (!unscaled(&d, arena, &value, err))
        return false;
    dbz_int(&scale, (int64_t)d.scale);
    struct strbuf *body = catalog_scratch(r->cat);
    nested_add(body, PHYS_INT32, false, &scale);
    nested_add(body, PHYS_BYTES, false, &value);
    return strbuf_ok(body, "value", err) && dbz_bytes(body->data, body->len, arena, ret, err);
}

READER(dbz_numeric_text)
{
    size_t text_len;
    char *text = number_text(r, bytes, len, arena, &text_len, err);
    if (text == NULL)
        return false;
    if (is_special(text, text_len)) {
        if (dbz_is_element(r))
            return special_number(r, ret, err);
        const char *word = text[0] == 'N'   ? "NAN"
                           : text[0] == '-' ? "NEGATIVE_INFINITY"
                                            : "POSITIVE_INFINITY";
        set_bytes(ret, word, strlen(word));
        return true;
    }
    if (r->decimal_scale < 1024) {
        set_bytes(ret, text, text_len);
        return true;
    }
    size_t zeros = (size_t)r->decimal_scale; /* a negative scale, read as 11 bits */
    char *longer = arena_alloc(arena, text_len + 1 + zeros);
    if (longer == NULL)
        return no_room(err);
    memcpy(longer, text, text_len);
    longer[text_len] = '.';
    memset(longer + text_len + 1, '0', zeros);
    set_bytes(ret, longer, text_len + 1 + zeros);
    return true;
}

READER(dbz_numeric_double)
{
    size_t text_len;
    char *text = number_text(r, bytes, len, arena, &text_len, err);
    if (text == NULL)
        return false;
    if (is_special(text, text_len) && dbz_is_element(r))
        return special_number(r, ret, err);
    *ret = (struct datum){.state = DATUM_VALUE, .f = strtod(text, NULL)};
    return true;
}

READER(dbz_money_decimal)
{
    if (len != 8)
        return dbz_bad(r, err);
    return small_bytes((int64_t)load_be64(bytes), arena, ret, err);
}

READER(dbz_money_double)
{
    char text[33];
    if (len != 8)
        return dbz_bad(r, err);
    text[money_text((int64_t)load_be64(bytes), text)] = '\0';
    *ret = (struct datum){.state = DATUM_VALUE, .f = strtod(text, NULL)};
    return true;
}

/* ---- bits ---- */

/* int32 length in bits, then the bits from the left. */
static bool open_bits(const unsigned char *bytes, uint32_t len, uint32_t *ret_count)
{
    *ret_count = len >= 4 ? load_be32(bytes) : 0;
    return len >= 4 && len - 4 == (*ret_count + UINT32_C(7)) / 8 && *ret_count <= UINT32_MAX - 7;
}

READER(dbz_bit1)
{
    uint32_t count;
    if (!open_bits(bytes, len, &count) || count > 1)
        return dbz_bad(r, err);
    dbz_int(ret, count == 1 && bytes[4] >= 128);
    return true;
}

/* The last bit is the first byte's lowest; no zero bytes at the end. */
READER(dbz_bits)
{
    uint32_t count;
    if (!open_bits(bytes, len, &count))
        return dbz_bad(r, err);
    unsigned char *out = arena_alloc(arena, len);
    if (out == NULL)
        return no_room(err);
    memset(out, 0, len);
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = count - 1 - i;
        if ((bytes[4 + from / 8] >> (7 - from % 8) & 1) == 0)
            continue;
        out[i / 8] |= (unsigned char)(1 << i % 8);
        used = i / 8 + 1;
    }
    set_bytes(ret, out, used);
    return true;
}

READER(dbz_no_bits)
{
    ret->state = DATUM_NULL;
    return dbz_lost(r, "an array of bit strings", err);
}

/* ---- texts ---- */

static bool add_text(const struct pg_column_reader *r, const unsigned char *bytes, uint32_t len,
                     struct strbuf **ret, struct err *err)
{
    *ret = catalog_scratch(r->cat);
    return text_exact(r->cat, r->conn, dbz_is_element(r) ? r->elem_oid : r->oid, bytes, len, *ret, err);
}

READER(dbz_text)
{
    struct strbuf *text;
    return add_text(r, bytes, len, &text, err) && dbz_bytes(text->data, text->len, arena, ret, err);
}

READER(dbz_hex)
{
    static const char hex[] = "0123456789abcdef";
    char *out = arena_alloc(arena, 2 * (size_t)len), *to = out;
    if (out == NULL || len > UINT32_MAX / 2)
        return no_room(err);
    for (uint32_t i = 0; i < len; i++) {
        *to++ = hex[bytes[i] >> 4];
        *to++ = hex[bytes[i] & 15];
    }
    set_bytes(ret, out, (size_t)(to - out));
    return true;
}

READER(dbz_base64)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(arena, ((size_t)len / 3 + 1) * 4), *to = out;
    if (out == NULL || len > UINT32_MAX / 2)
        return no_room(err);
    for (uint32_t i = 0; i < len; i += 3) {
        uint32_t left = len - i;
        unsigned v = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                     (left > 2 ? bytes[i + 2] : 0);
        *to++ = letters[v >> 18];
        *to++ = letters[(v >> 12) & 63];
        *to++ = left > 1 ? letters[(v >> 6) & 63] : '=';
        *to++ = left > 2 ? letters[v & 63] : '=';
    }
    set_bytes(ret, out, (size_t)(to - out));
    return true;
}

bool debezium_encode_text(const struct pg_column_reader *r, const void *bytes, uint32_t len,
                          struct arena *arena, struct datum *ret, struct err *err)
{
    switch (r->profile->binary) {
    case BINARY_HEX:
        return dbz_hex(r, bytes, len, arena, ret, err);
    case BINARY_BASE64:
        return dbz_base64(r, bytes, len, arena, ret, err);
    case BINARY_BYTES:
        break;
    }
    return dbz_bytes(bytes, len, arena, ret, err);
}

READER(dbz_encoded)
{
    struct strbuf *text;
    return add_text(r, bytes, len, &text, err) &&
           debezium_encode_text(r, text->data, (uint32_t)text->len, arena, ret, err);
}
