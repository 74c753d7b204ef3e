/* Owns: which texts are the same value. See value.h. */
#include "compare/semantic/value.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/semantic/decimal.h"
#include "core/alloc.h"

static bool is_numeric(enum value_class c)
{
    return c == VALUE_NUMBER || c == VALUE_FLOAT || c == VALUE_SINGLE || c == VALUE_BOOL;
}

/* A text beside a number (or a time) is read as one, where it can be: engines differ in what a function gives. */
enum value_mode value_mode_of(enum value_class a, enum value_class b)
{
    enum value_class known = a == VALUE_TEXT ? b : a, other = known == a ? b : a;
    if (is_numeric(known) && (is_numeric(other) || other == VALUE_TEXT || other == VALUE_CHAR))
        return a == VALUE_SINGLE || b == VALUE_SINGLE ? MODE_SINGLE
               : a == VALUE_FLOAT || b == VALUE_FLOAT ? MODE_FLOAT
                                                      : MODE_NUMBER;
    if (known == VALUE_TIME && (other == VALUE_TIME || other == VALUE_TEXT))
        return MODE_TIME;
    if (known == VALUE_CHAR || other == VALUE_CHAR)
        return MODE_CHAR;
    return MODE_TEXT;
}

/* --- times --- */

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static bool read_digits(const char **at, size_t least, size_t most, int64_t *ret)
{
    size_t n = 0;
    int64_t value = 0;
    for (; n < most && isdigit((unsigned char)(*at)[n]); n++)
        value = value * 10 + ((*at)[n] - '0');
    *at += n;
    *ret = value;
    return n >= least;
}

static bool skip(const char **at, char c)
{
    bool there = **at == c;
    *at += there;
    return there;
}

/* "12:30:00.5" in microseconds */
static bool read_clock(const char **at, int64_t *ret_us)
{
    int64_t h, m, s = 0, fraction = 0;
    if (!read_digits(at, 2, 3, &h) || !skip(at, ':') || !read_digits(at, 2, 2, &m) ||
        (skip(at, ':') && !read_digits(at, 2, 2, &s)))
        return false;
    if (skip(at, '.')) {
        const char *from = *at;
        if (!read_digits(at, 1, 6, &fraction))
            return false;
        for (long n = *at - from; n < 6; n++)
            fraction *= 10;
        while (**at == '0') /* nanoseconds of another engine */
            ++*at;
    }
    *ret_us = ((h * 60 + m) * 60 + s) * 1000000 + fraction;
    return true;
}

/* "+02", "-05:30", "Z" or nothing */
static bool read_zone(const char **at, int64_t *ret_us)
{
    int64_t h, m = 0;
    *ret_us = 0;
    if (skip(at, 'Z') || **at == '\0')
        return true;
    bool minus = **at == '-';
    if ((!skip(at, '+') && !skip(at, '-')) || !read_digits(at, 2, 2, &h) ||
        (skip(at, ':') && !read_digits(at, 2, 2, &m)))
        return false;
    *ret_us = (h * 60 + m) * 60 * INT64_C(1000000) * (minus ? -1 : 1);
    return true;
}

static bool read_date(const char **at, int64_t *ret_us)
{
    const char *p = *at;
    int64_t y, m, d;
    if (!read_digits(&p, 4, 6, &y) || !skip(&p, '-') || !read_digits(&p, 2, 2, &m) || !skip(&p, '-') ||
        !read_digits(&p, 2, 2, &d) || m < 1 || m > 12 || d < 1 || d > 31)
        return false;
    *ret_us = days_from_civil(y, m, d) * INT64_C(86400) * 1000000;
    *at = p;
    return true;
}

/* Seconds since 1970 (or since midnight, for a time of day) as a canonical decimal. */
static bool time_canonical(const char *text, struct strbuf *out)
{
    const char *p = text;
    int64_t date_us = 0, clock_us = 0, zone_us = 0;
    bool minus = false;
    if (read_date(&p, &date_us)) {
        if ((*p == ' ' || *p == 'T') && isdigit((unsigned char)p[1])) {
            p++;
            if (!read_clock(&p, &clock_us) || !read_zone(&p, &zone_us))
                return false;
        }
    } else {
        minus = skip(&p, '-');
        if (!read_clock(&p, &clock_us) || !read_zone(&p, &zone_us))
            return false;
    }
    if (*p != '\0') /* BC, and what else is no time */
        return false;
    int64_t us = date_us + clock_us - zone_us;
    us = minus ? -us : us;
    char seconds[64];
    uint64_t size = us < 0 ? (uint64_t)-us : (uint64_t)us;
    (void)snprintf(seconds, sizeof seconds, "%s%llu.%06llu", us < 0 ? "-" : "",
                   (unsigned long long)(size / 1000000), (unsigned long long)(size % 1000000));
    return decimal_canonical(seconds, out);
}

/* --- numbers --- */

static bool float_canonical(const char *text, int digits, struct strbuf *out)
{
    char *end, shortest[40];
    double d = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(d) || strpbrk(text, "xX \t") != NULL)
        return false;
    (void)snprintf(shortest, sizeof shortest, "%.*g", digits, d == 0 ? 0.0 : d);
    return decimal_canonical(shortest, out);
}

static const char *bool_as_number(const char *text)
{
    if (strcmp(text, "t") == 0 || strcmp(text, "true") == 0)
        return "1";
    return strcmp(text, "f") == 0 || strcmp(text, "false") == 0 ? "0" : text;
}

bool value_mode_measures(enum value_mode mode)
{
    return mode != MODE_TEXT && mode != MODE_CHAR;
}

void value_canonical(enum value_mode mode, enum value_class of, const char *text, struct strbuf *out)
{
    size_t len = strlen(text);
    const char *number = of == VALUE_BOOL ? bool_as_number(text) : text;
    if (mode == MODE_NUMBER && decimal_canonical(number, out))
        return;
    if (mode == MODE_FLOAT && float_canonical(number, 17, out))
        return;
    if (mode == MODE_SINGLE && float_canonical(number, 6, out))
        return;
    if (mode == MODE_TIME && time_canonical(text, out))
        return;
    if (value_mode_measures(mode))
        strbuf_adds(out, "\""); /* NaN, infinity, BC: texts, and never taken for a number below */
    while (mode == MODE_CHAR && len > 0 && text[len - 1] == ' ')
        len--;
    strbuf_add(out, text, len);
}

static bool measured(enum value_mode mode, const char *a, const char *b)
{
    return value_mode_measures(mode) && a[0] != '"' && b[0] != '"';
}

int value_compare(enum value_mode mode, const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return (a != NULL) - (b != NULL);
    bool text_a = a[0] == '"', text_b = b[0] == '"';
    if (measured(mode, a, b))
        return decimal_compare(a, b);
    if (value_mode_measures(mode) && text_a != text_b)
        return text_a - text_b;
    return strcmp(a, b);
}

bool value_equal(enum value_mode mode, const char *a, const char *b, const struct tolerance *t)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (strcmp(a, b) == 0)
        return true;
    if (t == NULL || (t->absolute == NULL && t->relative == NULL) || !measured(mode, a, b))
        return false;
    struct strbuf limits[2] = {STRBUF_INIT(1000), STRBUF_INIT(1000)};
    bool absolute = t->absolute != NULL && decimal_canonical(t->absolute, &limits[0]);
    bool relative = t->relative != NULL && mode != MODE_TIME && decimal_canonical(t->relative, &limits[1]);
    bool equal = decimal_within(a, b, absolute ? limits[0].data : NULL, relative ? limits[1].data : NULL);
    strbuf_release(&limits[0]);
    strbuf_release(&limits[1]);
    return equal;
}
