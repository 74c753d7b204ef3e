/*
 * Owns: numbers as text: binary numeric ↔ decimal text as PostgreSQL prints it, and money.
 *
 * Binary numeric: int16 ndigits, weight, sign, dscale, then ndigits digits of base 10000; the first is worth
 * 10000^weight. Source: numeric_send/numeric_recv and get_str_from_var of the server's numeric.c.
 */
#include "core/strbuf.h"
#include "internal.h"

#define NUMERIC_NEG       0x4000
#define NUMERIC_NAN       0xC000
#define NUMERIC_PINF      0xD000
#define NUMERIC_NINF      0xF000
#define NUMERIC_SCALE_MAX 0x3FFF
#define NUMERIC_WHOLE_MAX 131072

size_t numeric_text_room(const unsigned char *bytes, size_t len)
{
    if (len < 8 || len != 8 + 2 * (size_t)load_be16(bytes) || load_be16(bytes + 6) > NUMERIC_SCALE_MAX)
        return 0;
    int weight = (int16_t)load_be16(bytes + 2);
    return (size_t)(weight >= 0 ? 4 * (weight + 1) : 1) + load_be16(bytes + 6) + 16;
}

static char *put4(char *p, unsigned v)
{
    p[0] = (char)('0' + v / 1000);
    p[1] = (char)('0' + v / 100 % 10);
    p[2] = (char)('0' + v / 10 % 10);
    p[3] = (char)('0' + v % 10);
    return p + 4;
}

static size_t special_text(unsigned sign, char *out)
{
    const char *word = sign == NUMERIC_NAN ? "NaN" : sign == NUMERIC_PINF ? "Infinity" : "-Infinity";
    if (sign != NUMERIC_NAN && sign != NUMERIC_PINF && sign != NUMERIC_NINF)
        return 0;
    size_t n = strlen(word);
    memcpy(out, word, n);
    return n;
}

size_t numeric_text(const unsigned char *bytes, char *out)
{
    int ndigits = load_be16(bytes), weight = (int16_t)load_be16(bytes + 2);
    unsigned sign = load_be16(bytes + 4);
    size_t scale = load_be16(bytes + 6);
    const unsigned char *digits = bytes + 8;
    if (sign != 0 && sign != NUMERIC_NEG)
        return special_text(sign, out);
    char *p = out;
    if (sign == NUMERIC_NEG)
        *p++ = '-';
    int i = weight < 0 ? weight + 1 : 0; /* index of the first digit behind the point, if weight < 0 */
    if (weight < 0) {
        *p++ = '0';
    } else {
        char *first = p;
        for (i = 0; i <= weight; i++) {
            unsigned d = i < ndigits ? load_be16(digits + 2 * i) : 0;
            if (d > 9999)
                return 0;
            p = put4(p, d);
        }
        char *significant = first;
        while (significant < p - 1 && *significant == '0')
            significant++;
        memmove(first, significant, (size_t)(p - significant));
        p -= significant - first;
    }
    if (scale == 0)
        return (size_t)(p - out);
    *p++ = '.';
    char *end = p + scale;
    for (; p < end; i++) {
        unsigned d = i >= 0 && i < ndigits ? load_be16(digits + 2 * i) : 0;
        if (d > 9999)
            return 0;
        p = put4(p, d);
    }
    return (size_t)(end - out);
}

struct decimal {
    const char *whole; /* digits before the point, no leading zeros ("" for 0.x) */
    size_t whole_len;
    const char *fraction;
    size_t fraction_len;
    bool negative;
};

static size_t count_digits(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return (size_t)(p - start);
}

static bool all_zero(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != '0')
            return false;
    }
    return true;
}

/* Only the form that PostgreSQL prints: a text that only looks like a number ("007", "1e3", "-0") is not
 * taken. */
static bool split_decimal(const char *p, size_t len, struct decimal *ret)
{
    const char *end = p + len;
    ret->negative = p < end && *p == '-';
    p += ret->negative;
    ret->whole = p;
    ret->whole_len = count_digits(p, end);
    p += ret->whole_len;
    ret->fraction = p;
    ret->fraction_len = 0;
    if (ret->whole_len == 0 || (ret->whole_len > 1 && ret->whole[0] == '0'))
        return false;
    if (p < end && *p == '.') {
        ret->fraction = p + 1;
        ret->fraction_len = count_digits(p + 1, end);
        p += 1 + ret->fraction_len;
        if (ret->fraction_len == 0)
            return false;
    }
    if (ret->whole[0] == '0') {
        ret->whole++;
        ret->whole_len--;
    }
    bool zero = ret->whole_len == 0 && all_zero(ret->fraction, ret->fraction_len);
    return p == end && !(ret->negative && zero);
}

static bool special_sign(const char *p, size_t len, uint16_t *ret)
{
    static const struct {
        const char *word;
        uint16_t sign;
    } words[] = {
        {"NaN", NUMERIC_NAN}, {"Infinity", NUMERIC_PINF},          {"-Infinity", NUMERIC_NINF},
        {"NAN", NUMERIC_NAN}, {"POSITIVE_INFINITY", NUMERIC_PINF}, {"NEGATIVE_INFINITY", NUMERIC_NINF}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strlen(words[i].word) == len && memcmp(words[i].word, p, len) == 0) {
            *ret = words[i].sign;
            return true;
        }
    }
    return false;
}

static void add_header(struct strbuf *out, size_t ndigits, int weight, uint16_t sign, size_t scale)
{
    strbuf_add_be16(out, (uint16_t)ndigits);
    strbuf_add_be16(out, (uint16_t)weight);
    strbuf_add_be16(out, sign);
    strbuf_add_be16(out, (uint16_t)scale);
}

/* Digit of base 10000 number `group`: 0 holds the last four places before the point, -1 the first four behind
 * it. */
static unsigned group_value(const struct decimal *d, long group)
{
    unsigned v = 0;
    if (group >= 0) {
        long high = (long)d->whole_len - 4 * (group + 1);
        for (long i = high; i < high + 4; i++)
            v = v * 10 + (i >= 0 ? (unsigned)(d->whole[i] - '0') : 0);
        return v;
    }
    size_t start = 4 * (size_t)(-group - 1);
    for (size_t i = start; i < start + 4; i++)
        v = v * 10 + (i < d->fraction_len ? (unsigned)(d->fraction[i] - '0') : 0);
    return v;
}

/* Would the column keep it as it is? Negative limits: so many places behind the point (before it) must be
 * zero. */
static bool decimal_fits(const struct decimal *d, int whole, int scale)
{
    size_t whole_max = whole == NUMERIC_ANY ? NUMERIC_WHOLE_MAX : (size_t)MAX_OF(whole, 0);
    size_t scale_max = scale == NUMERIC_ANY ? NUMERIC_SCALE_MAX : (size_t)MAX_OF(scale, 0);
    if (d->whole_len > whole_max || d->fraction_len > scale_max)
        return false;
    if (whole != NUMERIC_ANY && whole < 0 && !all_zero(d->fraction, MIN_OF((size_t)-whole, d->fraction_len)))
        return false;
    if (scale == NUMERIC_ANY || scale >= 0)
        return true;
    size_t zeros = MIN_OF((size_t)-scale, d->whole_len);
    return all_zero(d->whole + d->whole_len - zeros, zeros);
}

bool numeric_from_text(const char *p, size_t len, int whole, int scale, struct strbuf *out, struct err *err)
{
    struct decimal d;
    uint16_t sign;
    if (len > 0 && p[len - 1] > '9' && special_sign(p, len, &sign)) {
        if (whole >= 0 && sign != NUMERIC_NAN)
            return err_set(err, ERR_DATA, "an infinite numeric does not fit a column with a precision");
        add_header(out, 0, 0, sign, 0);
        return true;
    }
    if (!split_decimal(p, len, &d))
        return err_set(err, ERR_PROTOCOL, "text of %zu bytes is not a decimal number in PostgreSQL's form",
                       len);
    if (!decimal_fits(&d, whole, scale))
        return err_set(err, ERR_DATA,
                       "a number with %zu digits before and %zu behind the point does not fit: the column "
                       "takes %d and %d "
                       "(as many as the type has, where this is %d)",
                       d.whole_len, d.fraction_len, whole, scale, NUMERIC_ANY);
    long high = (long)(d.whole_len + 3) / 4 - 1, low = -(long)((d.fraction_len + 3) / 4);
    while (high >= low && group_value(&d, high) == 0)
        high--;
    while (low <= high && group_value(&d, low) == 0)
        low++;
    bool zero = high < low;
    add_header(out, zero ? 0 : (size_t)(high - low + 1), zero ? 0 : (int)high, d.negative ? NUMERIC_NEG : 0,
               d.fraction_len);
    for (long g = high; g >= low; g--)
        strbuf_add_be16(out, (uint16_t)group_value(&d, g));
    return true;
}

size_t money_text(int64_t cents, char out[32])
{
    uint64_t v = cents < 0 ? 0 - (uint64_t)cents : (uint64_t)cents;
    char digits[24], *p = digits + sizeof digits;
    for (int n = 0; n < 3 || v != 0; n++, v /= 10) {
        if (n == 2)
            *--p = '.';
        *--p = (char)('0' + v % 10);
    }
    if (cents < 0)
        *--p = '-';
    size_t len = (size_t)(digits + sizeof digits - p);
    memcpy(out, p, len);
    return len;
}

bool money_from_text(const char *p, size_t len, int64_t *ret, struct err *err)
{
    struct decimal d;
    if (!split_decimal(p, len, &d) || d.fraction_len != 2 || d.whole_len > 17)
        return err_set(err, ERR_PROTOCOL, "text of %zu bytes is not an amount of money like 1234.56", len);
    int64_t v = 0; /* kept negative: its range is one wider */
    bool overflow = false;
    for (size_t i = 0; i < d.whole_len + 2; i++) {
        int digit = (i < d.whole_len ? d.whole[i] : d.fraction[i - d.whole_len]) - '0';
        overflow |= __builtin_mul_overflow(v, 10, &v);
        overflow |= __builtin_sub_overflow(v, digit, &v);
    }
    if (overflow || (!d.negative && v == INT64_MIN))
        return err_set(err, ERR_DATA, "an amount of money is out of range");
    *ret = d.negative ? v : -v;
    return true;
}
