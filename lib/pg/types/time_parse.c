/* Owns: reading the ISO 8601 forms of the exact profile back (see read.h). Strict: input comes from a
 * journal. */
#include "internal.h"

struct text_in {
    const char *p;
    const char *end;
    bool failed;
};

static bool accept(struct text_in *in, char c)
{
    if (in->p == in->end || *in->p != c)
        return false;
    in->p++;
    return true;
}

static void expect(struct text_in *in, char c)
{
    if (!accept(in, c))
        in->failed = true;
}

/* An unsigned number of min..max digits (max at most 19: no overflow of uint64_t). */
static uint64_t number(struct text_in *in, int min, int max)
{
    uint64_t v = 0;
    int n = 0;
    for (; n < max && in->p < in->end && *in->p >= '0' && *in->p <= '9'; n++)
        v = v * 10 + (uint64_t)(*in->p++ - '0');
    if (n < min)
        in->failed = true;
    return v;
}

/* ".1" … ".123456" as µs; 0 if there is no point. */
static int64_t fraction(struct text_in *in)
{
    static const int64_t scale[] = {1, 100000, 10000, 1000, 100, 10, 1};
    if (!accept(in, '.'))
        return 0;
    const char *start = in->p;
    int64_t v = (int64_t)number(in, 1, 6);
    return in->failed ? 0 : v * scale[in->p - start];
}

/* hh:mm:ss[.f]; up to 24:00:00 when that is allowed. */
static int64_t clock_time(struct text_in *in, bool allow_24)
{
    int64_t h = (int64_t)number(in, 2, 2);
    expect(in, ':');
    int64_t m = (int64_t)number(in, 2, 2);
    expect(in, ':');
    int64_t s = (int64_t)number(in, 2, 2);
    int64_t us = TYPES_SECONDS(h * 3600 + m * 60 + s) + fraction(in);
    if (m > 59 || s > 59 || us > US_PER_DAY || (us == US_PER_DAY && !allow_24))
        in->failed = true;
    return us;
}

static unsigned month_days(int64_t year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned yoe = (unsigned)(year - era * 400);
    unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static bool parse_infinity(const char *p, size_t len, bool *ret_negative)
{
    *ret_negative = len > 0 && p[0] == '-';
    return (len == 8 && memcmp(p, "infinity", 8) == 0) || (len == 9 && memcmp(p, "-infinity", 9) == 0);
}

bool iso_timestamp_parse(const char *p, size_t len, int64_t *ret_pg_us)
{
    bool negative;
    if (parse_infinity(p, len, &negative)) {
        *ret_pg_us = negative ? INT64_MIN : INT64_MAX;
        return true;
    }
    struct text_in in = {p, p + len, false};
    negative = accept(&in, '-');
    if (!negative)
        (void)accept(&in, '+');
    int64_t year = (int64_t)number(&in, 4, 6);
    expect(&in, '-');
    unsigned month = (unsigned)number(&in, 2, 2);
    expect(&in, '-');
    unsigned day = (unsigned)number(&in, 2, 2);
    expect(&in, 'T');
    int64_t us = clock_time(&in, false);
    expect(&in, 'Z');
    year = negative ? -year : year;
    if (in.failed || in.p != in.end || year > 294276 || year < -4713 || month < 1 || month > 12 || day < 1 ||
        day > month_days(year, month))
        return false;
    int64_t pg_us = (days_from_civil(year, month, day) - PG_EPOCH_DAYS) * US_PER_DAY + us;
    if (pg_us < PG_TS_MIN || pg_us >= PG_TS_END)
        return false;
    *ret_pg_us = pg_us;
    return true;
}

bool iso_timetz_parse(const char *p, size_t len, int64_t *ret_us, int32_t *ret_zone_west_s)
{
    struct text_in in = {p, p + len, false};
    int64_t us = clock_time(&in, true);
    int64_t east = 0;
    if (!accept(&in, 'Z')) {
        bool negative = accept(&in, '-');
        if (!negative)
            expect(&in, '+');
        int64_t h = (int64_t)number(&in, 2, 2), m = 0, s = 0;
        if (accept(&in, ':')) {
            m = (int64_t)number(&in, 2, 2);
            if (accept(&in, ':'))
                s = (int64_t)number(&in, 2, 2);
        }
        east = h * 3600 + m * 60 + s;
        if (m > 59 || s > 59 || east >= PG_ZONE_MAX)
            return false;
        east = negative ? -east : east;
    }
    if (in.failed || in.p != in.end)
        return false;
    *ret_us = us;
    *ret_zone_west_s = (int32_t)-east;
    return true;
}

static int64_t signed_number(struct text_in *in, char unit)
{
    bool negative = accept(in, '-');
    uint64_t v = number(in, 1, 18);
    expect(in, unit);
    return negative ? -(int64_t)v : (int64_t)v;
}

/* Seconds with fraction and their own sign, as µs. */
static int64_t signed_seconds(struct text_in *in)
{
    bool negative = accept(in, '-');
    uint64_t s = number(in, 1, 12);
    int64_t us = TYPES_SECONDS((int64_t)s) + fraction(in);
    expect(in, 'S');
    return negative ? -us : us;
}

bool iso_interval_parse(const char *p, size_t len, int64_t *ret_us, int32_t *ret_days, int32_t *ret_months,
                        bool *ret_infinite)
{
    bool negative;
    if (parse_infinity(p, len, &negative)) {
        *ret_us = negative ? INT64_MIN : INT64_MAX;
        *ret_days = *ret_months = negative ? INT32_MIN : INT32_MAX;
        *ret_infinite = true;
        return true;
    }
    struct text_in in = {p, p + len, false};
    expect(&in, 'P');
    int64_t years = signed_number(&in, 'Y');
    int64_t months = signed_number(&in, 'M');
    int64_t days = signed_number(&in, 'D');
    expect(&in, 'T');
    int64_t hours = signed_number(&in, 'H');
    int64_t minutes = signed_number(&in, 'M');
    int64_t us = signed_seconds(&in), part;
    if (in.failed || in.p != in.end || __builtin_mul_overflow(years, 12, &years) ||
        __builtin_add_overflow(months, years, &months) ||
        __builtin_mul_overflow(minutes, TYPES_SECONDS(60), &part) || __builtin_add_overflow(us, part, &us) ||
        __builtin_mul_overflow(hours, TYPES_SECONDS(3600), &part) || __builtin_add_overflow(us, part, &us) ||
        months != (int32_t)months || days != (int32_t)days)
        return false;
    *ret_us = us;
    *ret_days = (int32_t)days;
    *ret_months = (int32_t)months;
    *ret_infinite = false;
    return true;
}
