/* Owns: stored bytes → datums, but for times. See value.h. */
#include "maria/binlog/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "change/nested.h"

#define DECIMAL_GROUP 9 /* digits */
#define DECIMAL_WORDS 8 /* 65 digits are 216 bits */
#define DECIMAL_BYTES (DECIMAL_WORDS * 4 + 1)

static bool broken(const char *what, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "a broken %s in the binlog", what);
}

bool value_keep(const struct value_context *ctx, const void *bytes, size_t len, struct datum *ret,
                struct err *err)
{
    const char *copy = arena_copy(ctx->arena, bytes, len);
    if (copy == NULL || len > UINT32_MAX)
        return err_set(err, ERR_NO_MEMORY, "a value of %zu bytes: no room for it", len);
    *ret = (struct datum){.state = DATUM_VALUE, .s = {.p = copy, .len = (uint32_t)len}};
    return true;
}

static struct datum bytes_datum(const void *p, size_t len)
{
    return (struct datum){.state = DATUM_VALUE, .s = {.p = p, .len = (uint32_t)len}};
}

static struct datum int_datum(int64_t v)
{
    return (struct datum){.state = DATUM_VALUE, .i = v};
}

static int64_t read_int(const struct value_plan *plan, struct row_value v)
{
    uint64_t u = bytes_le_at(v.p, v.len);
    unsigned shift = 64 - 8 * v.len;
    return plan->col.is_unsigned ? (int64_t)u : (int64_t)(u << shift) >> shift;
}

/* --- numbers of many digits --- */

struct big {
    uint32_t words[DECIMAL_WORDS]; /* least first */
};

static void big_add(struct big *big, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < DECIMAL_WORDS; i++) {
        carry += (uint64_t)big->words[i] * factor;
        big->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

/* Two's complement, big end first, as short as can be: what Connect's Decimal holds. */
static bool big_keep(const struct big *big, bool negative, const struct value_context *ctx, struct datum *ret,
                     struct err *err)
{
    uint8_t bytes[DECIMAL_BYTES];
    unsigned carry = negative;
    for (size_t i = 0; i < DECIMAL_BYTES; i++) { /* the last one: the sign */
        unsigned byte = i / 4 < DECIMAL_WORDS ? big->words[i / 4] >> (8 * (i % 4)) & 0xff : 0;
        unsigned v = negative ? (~byte & 0xff) + carry : byte;
        carry = negative ? v >> 8 : 0;
        bytes[DECIMAL_BYTES - 1 - i] = (uint8_t)v;
    }
    size_t from = 0;
    while (from + 1 < DECIMAL_BYTES && ((bytes[from] == 0x00 && bytes[from + 1] < 0x80) ||
                                        (bytes[from] == 0xff && bytes[from + 1] >= 0x80)))
        from++;
    return value_keep(ctx, bytes + from, DECIMAL_BYTES - from, ret, err);
}

static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

static bool take_digits(struct big *big, const uint8_t **p, unsigned digits)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
    uint64_t group = bytes_be_at(*p, sizes[digits]);
    *p += sizes[digits];
    big_add(big, powers[digits], (uint32_t)group);
    return group < powers[digits];
}

/* Groups of nine digits from the point outwards; the highest bit is the sign, inverted; all bits of a negative number are. */
static bool read_decimal(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                         struct datum *ret, struct err *err)
{
    uint8_t copy[DECIMAL_BYTES] = {0};
    unsigned whole = (unsigned)plan->col.precision - plan->col.scale, scale = plan->col.scale;
    struct big big = {{0}};
    if (v.len == 0 || v.len > sizeof copy)
        return broken("decimal", err);
    bool negative = (v.p[0] & 0x80) == 0, ok = true;
    for (size_t i = 0; i < v.len; i++)
        copy[i] = (uint8_t)((negative ? ~v.p[i] : v.p[i]) ^ (i == 0 ? 0x80 : 0));
    const uint8_t *p = copy;
    ok = take_digits(&big, &p, whole % DECIMAL_GROUP);
    for (unsigned i = 0; i < whole / DECIMAL_GROUP + scale / DECIMAL_GROUP; i++)
        ok = take_digits(&big, &p, DECIMAL_GROUP) && ok;
    ok = take_digits(&big, &p, scale % DECIMAL_GROUP) && ok;
    return ok ? big_keep(&big, negative, ctx, ret, err) : broken("decimal", err);
}

static bool read_uint64(struct row_value v, const struct value_context *ctx, struct datum *ret,
                        struct err *err)
{
    uint64_t u = bytes_le_at(v.p, v.len);
    struct big big = {{(uint32_t)u, (uint32_t)(u >> 32)}};
    return big_keep(&big, false, ctx, ret, err);
}

/* --- bits, texts, bytes --- */

/* Stored with the highest byte first; Debezium's Bits have the lowest. */
static bool read_bits(struct row_value v, const struct value_context *ctx, struct datum *ret, struct err *err)
{
    uint8_t turned[8];
    for (size_t i = 0; i < v.len; i++)
        turned[i] = v.p[v.len - 1 - i];
    return value_keep(ctx, turned, v.len, ret, err);
}

static bool read_text(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                      struct datum *ret, struct err *err)
{
    if (charset_is_utf8(plan->charset)) {
        if (!charset_check_utf8(v.p, v.len, err))
            return false;
        *ret = bytes_datum(v.p, v.len);
        return true;
    }
    strbuf_clear(ctx->scratch);
    return charset_add_utf8(plan->charset, v.p, v.len, ctx->scratch, err) &&
           value_keep(ctx, ctx->scratch->data, ctx->scratch->len, ret, err);
}

static bool read_fixed(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                       struct datum *ret, struct err *err)
{
    char *whole = arena_alloc(ctx->arena, plan->col.length);
    if (whole == NULL)
        return err_set(err, ERR_NO_MEMORY, "a value of %u bytes: no room for it", plan->col.length);
    memcpy(whole, v.p, v.len);
    memset(whole + v.len, 0, plan->col.length - v.len);
    *ret = bytes_datum(whole, plan->col.length);
    return true;
}

/* Of versions 1 to 5, as most are, the parts are stored the other way round: so they sort by time. Those are told by where version and
 * variant then stand. Facts: the server's sql_type_uuid.h. */
static void uuid_in_order(const uint8_t in[16], uint8_t out[16])
{
    static const uint8_t from[16] = {12, 13, 14, 15, 10, 11, 8, 9, 6, 7, 0, 1, 2, 3, 4, 5};
    bool turned = (in[6] & 0x80) != 0 && in[8] > 0 && in[8] < 0x60;
    for (size_t i = 0; i < 16; i++)
        out[i] = in[turned ? from[i] : i];
}

static bool read_address(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                         struct datum *ret, struct err *err)
{
    uint8_t in[16] = {0}, u[16];
    char text[INET6_ADDRSTRLEN + 1];
    memcpy(in, v.p, MIN_OF(v.len, sizeof in)); /* zeros at its end are not sent */
    if (plan->form != VALUE_UUID) {
        int family = plan->form == VALUE_INET4 ? AF_INET : AF_INET6;
        if (inet_ntop(family, in, text, sizeof text) == NULL)
            return broken("address", err);
        return value_keep(ctx, text, strlen(text), ret, err);
    }
    uuid_in_order(in, u);
    (void)snprintf(text, sizeof text, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
                   u[14], u[15]);
    return value_keep(ctx, text, strlen(text), ret, err);
}

/* 0 is what the server stores for a value that was none: "". */
static bool read_enum(const struct value_plan *plan, struct row_value v, struct datum *ret, struct err *err)
{
    uint64_t index = bytes_le_at(v.p, v.len);
    if (index > plan->label_count)
        return broken("enum", err);
    *ret =
        index == 0 ? bytes_datum("", 0) : bytes_datum(plan->labels[index - 1].p, plan->labels[index - 1].len);
    return true;
}

static bool read_set(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                     struct datum *ret, struct err *err)
{
    uint64_t bits = bytes_le_at(v.p, v.len);
    if (plan->label_count < 64 && bits >> plan->label_count != 0)
        return broken("set", err);
    strbuf_clear(ctx->scratch);
    for (size_t i = 0; i < plan->label_count; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        strbuf_adds(ctx->scratch, ctx->scratch->len > 0 ? "," : "");
        strbuf_add(ctx->scratch, plan->labels[i].p, plan->labels[i].len);
    }
    return strbuf_ok(ctx->scratch, "set", err) &&
           value_keep(ctx, ctx->scratch->data, ctx->scratch->len, ret, err);
}

/* The SRID in four bytes, then WKB; 0 is none. */
static bool read_geometry(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                          struct datum *ret, struct err *err)
{
    const uint8_t *wkb = v.p + 4;
    bool point = plan->form == VALUE_POINT;
    if (v.len < 9 || (point && (v.len != 25 || wkb[0] != 1 || bytes_le_at(wkb + 1, 4) != 1)))
        return broken("geometry", err);
    uint32_t srid = (uint32_t)bytes_le_at(v.p, 4);
    struct datum bytes = bytes_datum(wkb, v.len - 4), id = int_datum((int32_t)srid);
    id.state = srid == 0 ? DATUM_NULL : DATUM_VALUE;
    strbuf_clear(ctx->scratch);
    for (size_t i = 0; point && i < 2; i++) {
        struct datum d = {.state = DATUM_VALUE};
        memcpy(&d.f, wkb + 5 + 8 * i, 8);
        nested_add(ctx->scratch, PHYS_FLOAT64, false, &d);
    }
    nested_add(ctx->scratch, PHYS_BYTES, point, &bytes);
    nested_add(ctx->scratch, PHYS_INT32, true, &id);
    return strbuf_ok(ctx->scratch, "geometry", err) &&
           value_keep(ctx, ctx->scratch->data, ctx->scratch->len, ret, err);
}

static struct datum read_float(struct row_value v)
{
    float single;
    double d;
    memcpy(&single, v.p, sizeof single);
    if (v.len == sizeof d)
        memcpy(&d, v.p, sizeof d);
    else
        d = single;
    return (struct datum){.state = DATUM_VALUE, .f = d};
}

bool value_read(const struct value_plan *plan, struct row_value v, const struct value_context *ctx,
                struct datum *ret, struct err *err)
{
    if (v.p == NULL) {
        *ret = (struct datum){.state = DATUM_NULL};
        return true;
    }
    switch (plan->form) {
    case VALUE_INT:
        *ret = int_datum(read_int(plan, v));
        return true;
    case VALUE_YEAR:
        *ret = int_datum(v.p[0] == 0 ? 0 : 1900 + v.p[0]);
        return true;
    case VALUE_UINT64:
        return read_uint64(v, ctx, ret, err);
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        *ret = read_float(v);
        return true;
    case VALUE_DECIMAL:
        return read_decimal(plan, v, ctx, ret, err);
    case VALUE_BOOL:
        *ret = int_datum((v.p[0] & 1) != 0);
        return true;
    case VALUE_BITS:
        return read_bits(v, ctx, ret, err);
    case VALUE_TEXT:
        return read_text(plan, v, ctx, ret, err);
    case VALUE_BYTES:
        *ret = bytes_datum(v.p, v.len);
        return true;
    case VALUE_FIXED_BYTES:
        return read_fixed(plan, v, ctx, ret, err);
    case VALUE_UUID:
    case VALUE_INET4:
    case VALUE_INET6:
        return read_address(plan, v, ctx, ret, err);
    case VALUE_ENUM:
        return read_enum(plan, v, ret, err);
    case VALUE_SET:
        return read_set(plan, v, ctx, ret, err);
    case VALUE_DATE:
    case VALUE_TIME:
    case VALUE_DATETIME_MS:
    case VALUE_DATETIME_US:
    case VALUE_TIMESTAMP:
        return value_read_time(plan, v.p, ctx, ret, err);
    case VALUE_POINT:
    case VALUE_GEOMETRY:
        return read_geometry(plan, v, ctx, ret, err);
    case VALUE_UNKNOWN:
        break;
    }
    return err_set(err, ERR_BUG, "a column without a form");
}
