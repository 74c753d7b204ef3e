/* Owns: texts of SELECT → stored bytes. See value_text.h. The session is in UTC and utf8mb4 (maria/conn.h). */
#include "maria/binlog/value_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maria/quote.h"

#define STORED_MAX    40
#define GROUP_DIGITS  9
#define DECIMAL_MOST  65
#define NUMBER_TEXT   80 /* longer ones are none */
#define FRACTION_MOST 6

struct stored {
    uint8_t bytes[STORED_MAX];
    size_t len;
};

void value_select(const struct value_plan *plan, const char *name, struct strbuf *sql)
{
    bool stamp = plan->form == VALUE_TIMESTAMP;
    strbuf_adds(sql, stamp ? "UNIX_TIMESTAMP(" : "");
    maria_quote_ident(sql, name);
    strbuf_adds(sql, stamp ? ")" : "");
    if (plan->form == VALUE_FLOAT || plan->form == VALUE_DOUBLE)
        strbuf_adds(sql, " + 0e0"); /* all digits */
    else if (plan->form == VALUE_BOOL || plan->form == VALUE_BITS)
        strbuf_adds(sql, " + 0");
}

static void put_le(struct stored *s, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        s->bytes[s->len++] = (uint8_t)(v >> (8 * i));
}

static void put_be(struct stored *s, uint64_t v, size_t size)
{
    for (size_t i = size; i > 0; i--)
        s->bytes[s->len++] = (uint8_t)(v >> (8 * (i - 1)));
}

/* --- numbers --- */

static bool take_uint(const char *text, uint64_t *ret)
{
    char *end = NULL;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

static bool put_int(const struct value_plan *plan, const char *text, struct stored *s)
{
    static const uint8_t sizes[] = {
        [COLUMN_TINY] = 1, [COLUMN_SHORT] = 2, [COLUMN_INT24] = 3, [COLUMN_LONG] = 4, [COLUMN_LONGLONG] = 8};
    char *end = NULL;
    uint64_t v = 0;
    bool good = plan->col.is_unsigned ? take_uint(text, &v) : *text != '\0';
    errno = 0;
    if (!plan->col.is_unsigned) {
        v = (uint64_t)strtoll(text, &end, 10);
        good = good && errno == 0 && *end == '\0';
    }
    if (!good || (size_t)plan->col.kind >= sizeof sizes || sizes[plan->col.kind] == 0)
        return false;
    put_le(s, v, sizes[plan->col.kind]);
    return true;
}

static bool put_float(const struct value_plan *plan, const char *text, struct stored *s)
{
    char *end = NULL;
    double d = strtod(text, &end);
    float f = (float)d;
    bool single = plan->form == VALUE_FLOAT;
    s->len = single ? sizeof f : sizeof d;
    memcpy(s->bytes, single ? (const void *)&f : (const void *)&d, s->len);
    return *text != '\0' && *end == '\0';
}

/* As many digits as a group has, in as many bytes as these take. */
static void put_group(struct stored *s, const char *digits, size_t count)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
    uint64_t v = 0;
    for (size_t i = 0; i < count; i++)
        v = v * 10 + (uint64_t)(digits[i] - '0');
    put_be(s, v, sizes[count]);
}

static bool put_decimal(const struct value_plan *plan, const char *text, struct stored *s)
{
    char digits[DECIMAL_MOST + 1];
    size_t scale = plan->col.scale, whole = plan->col.precision - scale;
    bool negative = *text == '-';
    text += negative;
    const char *dot = strchr(text, '.');
    size_t before = dot != NULL ? (size_t)(dot - text) : strlen(text),
           after = dot != NULL ? strlen(dot + 1) : 0;
    if (plan->col.precision > DECIMAL_MOST || after > scale || strspn(text, "0123456789") != before ||
        (dot != NULL && strspn(dot + 1, "0123456789") != after) || before + after == 0)
        return false;
    while (before > whole && *text == '0') { /* "0.5" of a column without digits in front */
        text++;
        before--;
    }
    if (before > whole)
        return false;
    memset(digits, '0', sizeof digits);
    memcpy(digits + whole - before, text, before);
    if (after > 0)
        memcpy(digits + whole, dot + 1, after);
    size_t at = whole % GROUP_DIGITS;
    put_group(s, digits, at);
    for (; at + GROUP_DIGITS <= whole + scale / GROUP_DIGITS * GROUP_DIGITS; at += GROUP_DIGITS)
        put_group(s, digits + at, GROUP_DIGITS);
    put_group(s, digits + at, scale % GROUP_DIGITS);
    s->bytes[0] ^= 0x80;
    for (size_t i = 0; negative && i < s->len; i++)
        s->bytes[i] = (uint8_t)~s->bytes[i];
    return true;
}

static bool put_bits(const struct value_plan *plan, const char *text, struct stored *s)
{
    uint64_t v = 0;
    if (!take_uint(text, &v) || plan->col.precision > 64)
        return false;
    put_be(s, v, (plan->col.precision + 7u) / 8);
    return true;
}

/* --- times --- */

/* Digits up to `sign` or the end, which is passed. */
static bool take_part(const char **p, char sign, unsigned *ret)
{
    uint64_t v = 0;
    const char *at = *p;
    while (*at >= '0' && *at <= '9' && v < 1000000)
        v = v * 10 + (uint64_t)(*at++ - '0');
    if (at == *p || (sign != '\0' && *at != sign))
        return false;
    *ret = (unsigned)v;
    *p = at + (sign != '\0');
    return true;
}

/* ".5" → the bytes of the fraction, pairs of digits each; nothing stands behind it. */
static bool put_fraction(const char *p, unsigned digits, uint64_t *ret, unsigned *ret_size)
{
    static const unsigned factor[] = {1, 10000, 100, 1};
    unsigned us = 0, places = FRACTION_MOST;
    *ret_size = (digits + 1) / 2;
    for (p += *p == '.'; *p >= '0' && *p <= '9' && places > 0; places--)
        us = us * 10 + (unsigned)(*p++ - '0');
    for (; places > 0; places--)
        us *= 10;
    *ret = *ret_size > 0 ? us / factor[*ret_size] : 0;
    return *p == '\0' && *ret_size <= 3;
}

static bool put_date(const char *p, struct stored *s)
{
    unsigned y = 0, m = 0, d = 0;
    if (!take_part(&p, '-', &y) || !take_part(&p, '-', &m) || !take_part(&p, '\0', &d) || *p != '\0' ||
        m > 15 || d > 31)
        return false;
    put_le(s, (uint64_t)y << 9 | m << 5 | d, 3);
    return true;
}

static bool put_datetime(const struct value_plan *plan, const char *p, struct stored *s)
{
    unsigned y = 0, mon = 0, d = 0, h = 0, min = 0, sec = 0, size = 0;
    uint64_t part = 0;
    if (!take_part(&p, '-', &y) || !take_part(&p, '-', &mon) || !take_part(&p, ' ', &d) ||
        !take_part(&p, ':', &h) || !take_part(&p, ':', &min) || !take_part(&p, '\0', &sec) ||
        !put_fraction(p, plan->col.scale, &part, &size) || mon > 12 || d > 31 || h > 23 || min > 59 ||
        sec > 59)
        return false;
    uint64_t ymd = ((uint64_t)y * 13 + mon) << 5 | d, hms = h << 12 | min << 6 | sec;
    put_be(s, (ymd << 17 | hms) + UINT64_C(0x8000000000), 5);
    put_be(s, part, size);
    return true;
}

static bool put_time(const struct value_plan *plan, const char *p, struct stored *s)
{
    unsigned h = 0, min = 0, sec = 0, size = 0;
    uint64_t part = 0;
    bool negative = *p == '-';
    p += negative;
    if (!take_part(&p, ':', &h) || !take_part(&p, ':', &min) || !take_part(&p, '\0', &sec) ||
        !put_fraction(p, plan->col.scale, &part, &size) || h > 838 || min > 59 || sec > 59)
        return false;
    int64_t v = (int64_t)((uint64_t)(h << 12 | min << 6 | sec) << (8 * size) | part);
    put_be(s, (uint64_t)((negative ? -v : v) + (INT64_C(0x800000) << (8 * size))), 3 + size);
    return true;
}

static bool put_timestamp(const struct value_plan *plan, const char *p, struct stored *s)
{
    const char *dot = strchr(p, '.');
    char seconds[24];
    size_t len = dot != NULL ? (size_t)(dot - p) : strlen(p);
    uint64_t v = 0, part = 0;
    unsigned size = 0;
    if (len >= sizeof seconds)
        return false;
    memcpy(seconds, p, len);
    seconds[len] = '\0';
    if (!take_uint(seconds, &v) || v > UINT32_MAX || !put_fraction(p + len, plan->col.scale, &part, &size))
        return false;
    put_be(s, v, 4);
    put_be(s, part, size);
    return true;
}

static bool put_year(const char *text, struct stored *s)
{
    uint64_t v = 0;
    bool good = take_uint(text, &v) && (v == 0 || (v > 1900 && v < 2156));
    put_le(s, v == 0 ? 0 : v - 1900, 1);
    return good;
}

static bool to_stored(const struct value_plan *plan, const char *text, struct stored *s)
{
    uint64_t v = 0;
    switch (plan->form) {
    case VALUE_INT:
        return put_int(plan, text, s);
    case VALUE_UINT64:
        if (!take_uint(text, &v))
            return false;
        put_le(s, v, 8);
        return true;
    case VALUE_FLOAT:
    case VALUE_DOUBLE:
        return put_float(plan, text, s);
    case VALUE_DECIMAL:
        return put_decimal(plan, text, s);
    case VALUE_BOOL:
    case VALUE_BITS:
        return put_bits(plan, text, s);
    case VALUE_YEAR:
        return put_year(text, s);
    case VALUE_DATE:
        return put_date(text, s);
    case VALUE_TIME:
        return put_time(plan, text, s);
    case VALUE_DATETIME_MS:
    case VALUE_DATETIME_US:
        return put_datetime(plan, text, s);
    case VALUE_TIMESTAMP:
        return put_timestamp(plan, text, s);
    default:
        return false;
    }
}

/* Comes as it is to be given: texts in UTF-8, labels, addresses, bytes. */
static bool is_plain(enum value_form form)
{
    return form == VALUE_TEXT || form == VALUE_ENUM || form == VALUE_SET || form == VALUE_UUID ||
           form == VALUE_INET4 || form == VALUE_INET6 || form == VALUE_BYTES || form == VALUE_FIXED_BYTES;
}

bool value_of_text(const struct value_plan *plan, const char *text, size_t len,
                   const struct value_context *ctx, struct datum *ret, struct err *err)
{
    struct stored s = {.len = 0};
    if (text == NULL || plan->form == VALUE_POINT || plan->form == VALUE_GEOMETRY)
        return value_read(plan, (struct row_value){(const uint8_t *)text, (uint32_t)len}, ctx, ret, err);
    if (is_plain(plan->form)) {
        bool bytes = plan->form == VALUE_BYTES || plan->form == VALUE_FIXED_BYTES;
        *ret = (struct datum){.state = DATUM_VALUE, .s = {text, (uint32_t)len}};
        return bytes || charset_check_utf8(text, len, err);
    }
    if (len >= NUMBER_TEXT || strlen(text) != len || !to_stored(plan, text, &s))
        return err_set(err, ERR_PROTOCOL, "the server gave a value that is none of the column's type");
    return value_read(plan, (struct row_value){s.bytes, (uint32_t)s.len}, ctx, ret, err);
}
