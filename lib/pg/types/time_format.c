/*
 * Owns: dates, times and intervals as text: PostgreSQL's own form (DateStyle ISO, IntervalStyle postgres,
 * UTC) and the ISO 8601 forms of the exact profile. Written by hand for speed: these run once per value.
 */
#include "internal.h"

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static char *put2(char *p, unsigned v)
{
    memcpy(p, digit_pairs + 2 * v, 2);
    return p + 2;
}

/* At least `width` digits. */
static char *put_uint(char *p, uint64_t v, int width)
{
    char tmp[20];
    int n = 0;
    for (; v != 0; v /= 10)
        tmp[n++] = (char)('0' + v % 10);
    while (n < width)
        tmp[n++] = '0';
    while (n > 0)
        *p++ = tmp[--n];
    return p;
}

static char *put_int(char *p, int64_t v)
{
    if (v < 0)
        *p++ = '-';
    return put_uint(p, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 1);
}

static char *put_str(char *p, const char *s)
{
    size_t n = strlen(s);
    memcpy(p, s, n);
    return p + n;
}

/* Eras of 400 years begin on 1 March. */
struct civil civil_from_days(int64_t unix_days)
{
    int64_t z = unix_days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    return (struct civil){era * 400 + yoe + (month <= 2), month, doy - (153 * mp + 2) / 5 + 1};
}

/* ".123456": without trailing zeros when digits < 0, else exactly so many digits (nothing for 0). */
static char *put_fraction(char *p, unsigned us, int digits)
{
    if (digits == 0 || (digits < 0 && us == 0))
        return p;
    *p++ = '.';
    char *end = put2(put2(put2(p, us / 10000), us / 100 % 100), us % 100);
    if (digits > 0)
        return p + digits;
    while (end[-1] == '0')
        end--;
    return end;
}

static char *put_hms(char *p, int64_t us, int digits)
{
    unsigned seconds = (unsigned)(us / 1000000);
    p = put2(p, seconds / 3600 % 100);
    *p++ = ':';
    p = put2(p, seconds / 60 % 60);
    *p++ = ':';
    p = put2(p, seconds % 60);
    return put_fraction(p, (unsigned)(us % 1000000), digits);
}

static char *put_month_day(char *p, const struct civil *c)
{
    *p++ = '-';
    p = put2(p, c->month);
    *p++ = '-';
    return put2(p, c->day);
}

static char *put_pg_year(char *p, int64_t year)
{
    return put_uint(p, (uint64_t)(year > 0 ? year : 1 - year), 4);
}

static size_t finish(const char *out, const char *end)
{
    return (size_t)(end - out);
}

size_t date_text(int32_t pg_days, char *out)
{
    if (pg_days == INT32_MAX || pg_days == INT32_MIN)
        return finish(out, put_str(out, pg_days > 0 ? "infinity" : "-infinity"));
    struct civil c = civil_from_days((int64_t)pg_days + PG_EPOCH_DAYS);
    char *p = put_month_day(put_pg_year(out, c.year), &c);
    if (c.year <= 0)
        p = put_str(p, " BC");
    return finish(out, p);
}

size_t time_text(int64_t us, char *out)
{
    return finish(out, put_hms(out, us, -1));
}

/* Signs turn: the server stores seconds west of Greenwich and prints how far east it is. */
static char *put_zone(char *p, int32_t west_s, bool always_minutes)
{
    unsigned s = (unsigned)(west_s < 0 ? -west_s : west_s);
    *p++ = west_s > 0 ? '-' : '+';
    p = put2(p, s / 3600 % 100);
    if (always_minutes || s % 3600 != 0) {
        *p++ = ':';
        p = put2(p, s / 60 % 60);
    }
    if (s % 60 != 0) {
        *p++ = ':';
        p = put2(p, s % 60);
    }
    return p;
}

size_t timetz_text(int64_t us, int32_t zone_west_s, char *out)
{
    return finish(out, put_zone(put_hms(out, us, -1), zone_west_s, false));
}

/* Splits into days since 1970 and µs of the day. */
static int64_t split_timestamp(int64_t pg_us, int64_t *ret_time)
{
    int64_t day = pg_us / US_PER_DAY, time = pg_us % US_PER_DAY;
    if (time < 0) {
        time += US_PER_DAY;
        day--;
    }
    *ret_time = time;
    return day + PG_EPOCH_DAYS;
}

static bool is_infinite(int64_t pg_us)
{
    return pg_us == INT64_MAX || pg_us == INT64_MIN;
}

size_t timestamp_text(int64_t pg_us, bool utc, char *out)
{
    if (is_infinite(pg_us))
        return finish(out, put_str(out, pg_us > 0 ? "infinity" : "-infinity"));
    int64_t time;
    struct civil c = civil_from_days(split_timestamp(pg_us, &time));
    char *p = put_month_day(put_pg_year(out, c.year), &c);
    *p++ = ' ';
    p = put_hms(p, time, -1);
    if (utc)
        p = put_str(p, "+00");
    if (c.year <= 0)
        p = put_str(p, " BC");
    return finish(out, p);
}

size_t iso_timestamp(int64_t pg_us, int digits, char *out)
{
    if (is_infinite(pg_us))
        return finish(out, put_str(out, pg_us > 0 ? "infinity" : "-infinity"));
    int64_t time;
    struct civil c = civil_from_days(split_timestamp(pg_us, &time));
    char *p = out;
    if (c.year < 0 || c.year > 9999)
        *p++ = c.year < 0 ? '-' : '+';
    p = put_month_day(put_uint(p, (uint64_t)(c.year < 0 ? -c.year : c.year), 4), &c);
    *p++ = 'T';
    p = put_hms(p, time, digits);
    *p++ = 'Z';
    return finish(out, p);
}

size_t iso_timetz(int64_t us, int32_t zone_west_s, char *out)
{
    char *p = put_hms(out, us, -1);
    if (zone_west_s == 0)
        *p++ = 'Z';
    else
        p = put_zone(p, zone_west_s, true);
    return finish(out, p);
}

bool interval_is_infinite(int64_t us, int32_t days, int32_t months)
{
    return (us == INT64_MAX && days == INT32_MAX && months == INT32_MAX) ||
           (us == INT64_MIN && days == INT32_MIN && months == INT32_MIN);
}

static char *put_interval_part(char *p, const char *start, int64_t value, const char *unit,
                               bool *after_negative)
{
    if (value == 0)
        return p;
    if (p != start)
        *p++ = ' ';
    if (*after_negative && value > 0)
        *p++ = '+';
    p = put_int(p, value);
    *p++ = ' ';
    p = put_str(p, unit);
    if (value != 1)
        *p++ = 's';
    *after_negative = value < 0;
    return p;
}

size_t interval_text(int64_t us, int32_t days, int32_t months, bool marks, char *out)
{
    if (marks && interval_is_infinite(us, days, months))
        return finish(out, put_str(out, us > 0 ? "infinity" : "-infinity"));
    bool after_negative = false;
    char *p = put_interval_part(out, out, months / 12, "year", &after_negative);
    p = put_interval_part(p, out, months % 12, "mon", &after_negative);
    p = put_interval_part(p, out, days, "day", &after_negative);
    if (p != out && us == 0)
        return finish(out, p);
    if (p != out)
        *p++ = ' ';
    if (us < 0 || after_negative)
        *p++ = us < 0 ? '-' : '+';
    uint64_t abs_us = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    p = put_uint(p, abs_us / (uint64_t)TYPES_SECONDS(3600), 2);
    *p++ = ':';
    p = put2(p, (unsigned)(abs_us / (uint64_t)TYPES_SECONDS(60) % 60));
    *p++ = ':';
    p = put2(p, (unsigned)(abs_us / 1000000 % 60));
    return finish(out, put_fraction(p, (unsigned)(abs_us % 1000000), -1));
}

size_t iso_interval(int64_t us, int32_t days, int32_t months, bool marks, char *out)
{
    if (marks && interval_is_infinite(us, days, months))
        return finish(out, put_str(out, us > 0 ? "infinity" : "-infinity"));
    char *p = out;
    *p++ = 'P';
    p = put_int(p, months / 12);
    *p++ = 'Y';
    p = put_int(p, months % 12);
    *p++ = 'M';
    p = put_int(p, days);
    p = put_str(p, "DT");
    p = put_int(p, us / TYPES_SECONDS(3600));
    *p++ = 'H';
    p = put_int(p, us / TYPES_SECONDS(60) % 60);
    *p++ = 'M';
    int64_t rest = us % TYPES_SECONDS(60);
    if (rest < 0)
        *p++ = '-';
    uint64_t abs_rest = (uint64_t)(rest < 0 ? -rest : rest);
    p = put_uint(p, abs_rest / 1000000, 1);
    p = put_fraction(p, (unsigned)(abs_rest % 1000000), -1);
    *p++ = 'S';
    return finish(out, p);
}
