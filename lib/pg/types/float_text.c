/*
 * Owns: floats as float8out/float4out print them with extra_float_digits 1: the fewest digits that lie
 * strictly inside the interval of reals which round to the value, the nearest of these; fixed notation for
 * exponents from -4 up to 14 (float4: 5), else d.ddde+dd. (The server takes them from Ryu, built without its
 * interval's bounds; here an exact search does.)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

struct shortest {
    char digits[24]; /* no point, no trailing zeros; the value is 0.ddd… × 10^(exponent+1) */
    int count;
    int exponent; /* of the first digit */
};

/* Is the decimal d.ddd × 10^exponent inside (low, high)? Both are exact in long double: one bit more than the
 * float is enough. Reading the decimal rounds, but monotonically: only equality is in doubt, and is settled
 * on exact digits. */
static int compare_exactly(const char *decimal, long double bound)
{
    /* 2^-1075 has 768 significant digits, no bound has more: this prints it exactly. */
    char exact[820], longer[820];
    (void)snprintf(exact, sizeof exact, "%.790Le", bound);
    const char *e = strchr(decimal, 'e'), *exact_e = strchr(exact, 'e');
    int shift = atoi(e + 1) - atoi(exact_e + 1);
    if (shift != 0)
        return shift;
    size_t n = (size_t)(e - decimal);
    memset(longer, '0', sizeof longer);
    memcpy(longer, decimal, n);
    if (n == 1)
        longer[1] = '.';
    return memcmp(longer, exact, (size_t)(exact_e - exact));
}

static bool inside(const char *decimal, long double low, long double high)
{
    long double v = strtold(decimal, NULL);
    if (v > low && v < high)
        return true;
    if (v == low)
        return compare_exactly(decimal, low) > 0;
    return v == high && compare_exactly(decimal, high) < 0;
}

/* The neighbour of the decimal one unit of its last place up: where the value is a power of two, the interval
 * reaches twice as far up as down, so that the nearest decimal (below) may be out and the next one in. */
static void next_up(char *decimal)
{
    char *e = strchr(decimal, 'e');
    int exponent = atoi(e + 1);
    for (char *p = e - 1; p >= decimal; p--) {
        if (*p == '.')
            continue;
        if (*p != '9') {
            ++*p;
            return;
        }
        *p = '0';
    }
    decimal[0] = '1'; /* 9.99 → 10.0 */
    (void)snprintf(e, 16, "e%+03d", exponent + 1);
}

static void take_digits(const char *decimal, struct shortest *ret)
{
    const char *e = strchr(decimal, 'e');
    ret->exponent = atoi(e + 1);
    ret->count = 0;
    for (const char *p = decimal; p < e; p++) {
        if (*p != '.')
            ret->digits[ret->count++] = *p;
    }
    while (ret->count > 1 && ret->digits[ret->count - 1] == '0')
        ret->count--;
}

/* v > 0 and finite; low and high are halfway to its neighbours. */
static void find_shortest(double v, long double low, long double high, int first, int last,
                          struct shortest *ret)
{
    char decimal[48];
    for (int n = first;; n++) {
        (void)snprintf(decimal, sizeof decimal, "%.*e", n - 1, v);
        if (n == last || inside(decimal, low, high))
            break;
        if ((long double)v - low < high - (long double)v) {
            next_up(decimal);
            if (inside(decimal, low, high))
                break;
        }
    }
    take_digits(decimal, ret);
}

static size_t print(const struct shortest *s, bool negative, int fixed_below, char *out)
{
    char *p = out;
    if (negative)
        *p++ = '-';
    if (s->exponent < -4 || s->exponent >= fixed_below) {
        *p++ = s->digits[0];
        if (s->count > 1) {
            *p++ = '.';
            memcpy(p, s->digits + 1, (size_t)s->count - 1);
            p += s->count - 1;
        }
        p += snprintf(p, 16, "e%+03d", s->exponent);
        return (size_t)(p - out);
    }
    if (s->exponent < 0) {
        memcpy(p, "0.0000", 6);
        p += 1 - s->exponent;
        memcpy(p, s->digits, (size_t)s->count);
        return (size_t)(p + s->count - out);
    }
    for (int i = 0; i < s->count || i <= s->exponent; i++) {
        if (i == s->exponent + 1)
            *p++ = '.';
        *p++ = i < s->count ? s->digits[i] : '0';
    }
    return (size_t)(p - out);
}

static size_t special(double v, char *out)
{
    const char *word = isnan(v)     ? "NaN"
                       : isinf(v)   ? (v > 0 ? "Infinity" : "-Infinity")
                       : signbit(v) ? "-0"
                                    : "0";
    size_t n = strlen(word);
    memcpy(out, word, n);
    return n;
}

/* Neighbours of a positive float: its bits count up. (nextafter would need libm.) */
static double double_step(double v, int64_t step)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits += step;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float float_step(float v, int32_t step)
{
    int32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits += step;
    memcpy(&v, &bits, sizeof v);
    return v;
}

size_t float8_text(double v, char out[FLOAT_TEXT_MAX])
{
    if (!isfinite(v) || v == 0)
        return special(v, out);
    double a = __builtin_fabs(v), up = double_step(a, 1);
    long double below = ((long double)double_step(a, -1) + a) / 2;
    /* Above the largest there is no neighbour: the interval is as wide as below. */
    long double above = isinf(up) ? (long double)a + ((long double)a - below) : ((long double)up + a) / 2;
    struct shortest s;
    /* 15 digits always survive in a normal double: if fewer are enough, these 15 end in zeros. */
    find_shortest(a, below, above, a < 2.2250738585072014e-308 ? 1 : 15, 17, &s);
    return print(&s, v < 0, 15, out);
}

size_t float4_text(float v, char out[FLOAT_TEXT_MAX])
{
    if (!isfinite(v) || v == 0)
        return special((double)v, out);
    float a = __builtin_fabsf(v), up = float_step(a, 1);
    double below = ((double)float_step(a, -1) + (double)a) / 2;
    double above = isinf(up) ? (double)a + ((double)a - below) : ((double)up + (double)a) / 2;
    struct shortest s;
    find_shortest((double)a, below, above, a < 1.17549435e-38F ? 1 : 6, 9, &s);
    return print(&s, v < 0, 6, out);
}
