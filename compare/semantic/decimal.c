/* Wraps OpenSSL's big numbers for exact decimals. See decimal.h. */
#include "compare/semantic/decimal.h"

#include <ctype.h>
#include <openssl/bn.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define DIGITS_MAX   20000 /* numeric goes to 131,072; nobody's column does, and multiplication is quadratic */
#define EXPONENT_MAX 100000

static long exponent_of(const char *p, const char **ret_end)
{
    char *end;
    long e = isdigit((unsigned char)p[*p == '-' || *p == '+']) ? strtol(p, &end, 10) : EXPONENT_MAX + 1;
    *ret_end = e <= EXPONENT_MAX && e >= -EXPONENT_MAX ? end : p;
    return e;
}

/* The significant digits of "012.340" are 1234, times ten to the -2. */
bool decimal_canonical(const char *text, struct strbuf *out)
{
    bool minus = *text == '-';
    const char *p = text + (minus || *text == '+');
    size_t len = strlen(p), used = 0, behind = 0;
    if (len > DIGITS_MAX)
        return false;
    char *digits CLEANUP(free_ptr) = xcalloc(len + 1, 1);
    bool any = false, point = false;
    for (; isdigit((unsigned char)*p) || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        any = true;
        behind += point;
        if (*p != '0' || used > 0)
            digits[used++] = *p;
    }
    long exponent = 0;
    if (any && (*p == 'e' || *p == 'E'))
        exponent = exponent_of(p + 1, &p);
    if (!any || *p != '\0' || exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX)
        return false;
    exponent -= (long)behind;
    for (; used > 0 && digits[used - 1] == '0'; used--)
        exponent++;
    digits[used] = '\0';
    if (used == 0)
        strbuf_adds(out, "0");
    else if (exponent == 0)
        strbuf_addf(out, "%s%s", minus ? "-" : "", digits);
    else
        strbuf_addf(out, "%s%se%ld", minus ? "-" : "", digits, exponent);
    return true;
}

struct number {
    BIGNUM *digits; /* with sign */
    long exponent;
};

static struct number read_number(const char *canonical)
{
    struct number n = {0};
    const char *e = strchr(canonical, 'e');
    char *digits CLEANUP(free_ptr) =
        xstrndup(canonical, e != NULL ? (size_t)(e - canonical) : strlen(canonical));
    if (BN_dec2bn(&n.digits, digits) == 0)
        BUG("not a canonical number: %s", canonical);
    n.exponent = e != NULL ? strtol(e + 1, NULL, 10) : 0;
    return n;
}

/* n × 10^power; power >= 0 */
static void scale(BIGNUM *n, long power)
{
    BIGNUM *factor = BN_new(), *by = BN_new();
    BN_CTX *ctx = BN_CTX_new();
    if (factor == NULL || by == NULL || ctx == NULL || !BN_set_word(by, (BN_ULONG)power) ||
        !BN_set_word(factor, 10) || !BN_exp(factor, factor, by, ctx) || !BN_mul(n, n, factor, ctx))
        BUG("no memory for a number");
    BN_free(factor);
    BN_free(by);
    BN_CTX_free(ctx);
}

/* Gives both the smaller exponent. */
static void align(struct number *a, struct number *b)
{
    struct number *wide = a->exponent > b->exponent ? a : b;
    long low = a->exponent > b->exponent ? b->exponent : a->exponent;
    if (!BN_is_zero(wide->digits) && wide->exponent > low)
        scale(wide->digits, wide->exponent - low);
    wide->exponent = low;
}

/* Where the first digit stands: 123 → 3, 0.01 → -1. Tells numbers apart that are too far from each other to be aligned. */
static long magnitude(const char *canonical)
{
    const char *p = canonical + (*canonical == '-');
    size_t digits = strcspn(p, "e");
    return (long)digits + (p[digits] == 'e' ? strtol(p + digits + 1, NULL, 10) : 0);
}

int decimal_compare(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return 0;
    int sign_a = *a == '-' ? -1 : *a != '0', sign_b = *b == '-' ? -1 : *b != '0';
    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    long size_a = magnitude(a), size_b = magnitude(b);
    if (size_a != size_b)
        return (size_a < size_b) == (sign_a > 0) ? -1 : 1;
    /* alike in size, their digits stand one under the other, and none ends in a zero */
    const char *x = a + (*a == '-'), *y = b + (*b == '-');
    size_t digits_x = strcspn(x, "e"), digits_y = strcspn(y, "e"),
           both = digits_x < digits_y ? digits_x : digits_y;
    int order = memcmp(x, y, both);
    order = order != 0 ? order : digits_x < digits_y ? -1 : digits_x > digits_y;
    return order < 0 ? -sign_a : order > 0 ? sign_a : 0;
}

/* |n| <= |limit| */
static bool not_above(const BIGNUM *n, long exponent, const struct number *limit)
{
    struct number x = {BN_dup(n), exponent}, y = {BN_dup(limit->digits), limit->exponent};
    align(&x, &y);
    bool fits = BN_ucmp(x.digits, y.digits) <= 0;
    BN_free(x.digits);
    BN_free(y.digits);
    return fits;
}

static bool within_relative(const BIGNUM *difference, const struct number *a, const struct number *b,
                            const char *relative)
{
    struct number limit = read_number(relative);
    BN_CTX *ctx = BN_CTX_new();
    const struct number *larger = BN_ucmp(a->digits, b->digits) >= 0 ? a : b;
    if (ctx == NULL || !BN_mul(limit.digits, limit.digits, larger->digits, ctx))
        BUG("no memory for a number");
    limit.exponent += larger->exponent;
    bool fits = not_above(difference, a->exponent, &limit);
    BN_CTX_free(ctx);
    BN_free(limit.digits);
    return fits;
}

bool decimal_within(const char *a, const char *b, const char *absolute, const char *relative)
{
    if (strcmp(a, b) == 0)
        return true;
    if (absolute == NULL && relative == NULL)
        return false;
    struct number x = read_number(a), y = read_number(b);
    BIGNUM *difference = BN_new();
    align(&x, &y);
    if (difference == NULL || !BN_sub(difference, x.digits, y.digits))
        BUG("no memory for a number");
    bool fits = false;
    if (absolute != NULL) {
        struct number limit = read_number(absolute);
        fits = not_above(difference, x.exponent, &limit);
        BN_free(limit.digits);
    }
    fits = fits || (relative != NULL && within_relative(difference, &x, &y, relative));
    BN_free(difference);
    BN_free(x.digits);
    BN_free(y.digits);
    return fits;
}

/* digits of |n| with a point before the last `places` */
static void print_scaled(const BIGNUM *n, int places, struct strbuf *out)
{
    char *digits = BN_bn2dec(n);
    const char *p = digits + (*digits == '-');
    long len = (long)strlen(p), whole = len - places;
    if (BN_is_negative(n) && !BN_is_zero(n))
        strbuf_adds(out, "-");
    if (whole <= 0)
        strbuf_adds(out, "0");
    else
        strbuf_add(out, p, (size_t)whole);
    if (places > 0)
        strbuf_addc(out, '.');
    for (long i = whole; i < 0; i++)
        strbuf_addc(out, '0');
    strbuf_adds(out, whole > 0 ? p + whole : p);
    OPENSSL_free(digits);
}

bool decimal_quotient(const char *sum, const char *count, int places, struct strbuf *out)
{
    struct strbuf texts[2] = {STRBUF_INIT(DIGITS_MAX * 2), STRBUF_INIT(DIGITS_MAX * 2)};
    bool ok = decimal_canonical(sum, &texts[0]) && decimal_canonical(count, &texts[1]) &&
              strcmp(texts[1].data, "0") != 0;
    struct number a = {0}, b = {0};
    if (ok) {
        a = read_number(texts[0].data);
        b = read_number(texts[1].data);
        ok = a.exponent - b.exponent < 2000 && a.exponent - b.exponent > -2000;
    }
    if (ok) {
        BN_CTX *ctx = BN_CTX_new();
        align(&a, &b);
        scale(a.digits, places + 1);
        bool minus = BN_is_negative(a.digits) != BN_is_negative(b.digits);
        if (ctx == NULL || !BN_div(a.digits, NULL, a.digits, b.digits, ctx))
            BUG("no memory for a number");
        BN_set_negative(a.digits, 0);
        if (!BN_add_word(a.digits, 5) || BN_div_word(a.digits, 10) == (BN_ULONG)-1)
            BUG("no memory for a number");
        BN_set_negative(a.digits, minus);
        print_scaled(a.digits, places, out);
        BN_CTX_free(ctx);
    }
    BN_free(a.digits);
    BN_free(b.digits);
    strbuf_release(&texts[0]);
    strbuf_release(&texts[1]);
    return ok;
}
