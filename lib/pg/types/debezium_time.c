/*
 * Owns: dates, times and intervals under the debezium profile. The stand-ins are the numbers that the
 * connector was seen to write while streaming; most come from its way through Java's calendar classes.
 */
#include <stdio.h>

#include "core/clock.h"
#include "debezium.h"

#define DATE_INFINITY             (-2147472692)
#define DATE_MINUS_INFINITY       (-2147472691)
#define ARRAY_DATE_INFINITY       (-622191234)
#define ARRAY_DATE_MINUS_INFINITY (-625821272)
#define STAMP_INFINITY            INT64_C(9223372036825200000)
#define STAMP_MINUS_INFINITY      (-INT64_C(9223372036832400000))
#define ARRAY_ZONED_MINUS         "+292269055-12-02T23:00:00.000000Z"
#define GREGORIAN_DAYS            (-141427) /* 1582-10-15: arrays of timestamps go by the Julian calendar before */
#define DAYS_PER_MONTH            (365.25 / 12.0)

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* ---- dates ---- */

/* "44 BC" is read as year 44. */
static int64_t without_era(int64_t unix_days)
{
    struct civil c = civil_from_days(unix_days);
    return c.year > 0 ? unix_days : days_from_civil(1 - c.year, c.month, c.day);
}

READER(dbz_date)
{
    bool element = dbz_is_element(r);
    if (len != 4)
        return dbz_bad(r, err);
    int32_t days = (int32_t)load_be32(bytes);
    if (days == INT32_MAX || days == INT32_MIN) {
        dbz_int(ret, days > 0 ? (element ? ARRAY_DATE_INFINITY : DATE_INFINITY)
                              : (element ? ARRAY_DATE_MINUS_INFINITY : DATE_MINUS_INFINITY));
        return dbz_lost(r, "an infinite date", err);
    }
    if (days < PG_DATE_MIN || days >= PG_DATE_END)
        return dbz_bad(r, err);
    int64_t unix_days = (int64_t)days + PG_EPOCH_DAYS;
    if (element && without_era(unix_days) != unix_days) {
        unix_days = without_era(unix_days);
        if (!dbz_lost(r, "a date before Christ in an array", err))
            return false;
    }
    dbz_int(ret, unix_days);
    return true;
}

/* ---- times of day ---- */

static bool load_time(const unsigned char *bytes, uint32_t len, int64_t *ret)
{
    *ret = len >= 8 ? (int64_t)load_be64(bytes) : -1;
    return *ret >= 0 && *ret <= US_PER_DAY;
}

/* Elements lose what is below the millisecond, and midnight's end becomes its beginning. */
static bool element_time(const struct pg_column_reader *r, int64_t *us, struct err *err)
{
    int64_t kept = *us == US_PER_DAY ? 0 : *us - *us % 1000;
    if (kept != *us && !dbz_lost(r, "microseconds or 24:00 in an array of times", err))
        return false;
    *us = kept;
    return true;
}

READER(dbz_time_micros)
{
    int64_t us;
    if (len != 8 || !load_time(bytes, len, &us))
        return dbz_bad(r, err);
    if (dbz_is_element(r) && !element_time(r, &us, err))
        return false;
    dbz_int(ret, us);
    return true;
}

READER(dbz_time_millis)
{
    int64_t us;
    if (len != 8 || !load_time(bytes, len, &us))
        return dbz_bad(r, err);
    if (dbz_is_element(r) && !element_time(r, &us, err))
        return false;
    dbz_int(ret, us / 1000);
    return us % 1000 == 0 || dbz_lost(r, "microseconds in a form of milliseconds", err);
}

READER(dbz_timetz)
{
    char text[TIME_TEXT_MAX];
    int64_t us;
    if (len != 12 || !load_time(bytes, len, &us))
        return dbz_bad(r, err);
    int32_t west = (int32_t)load_be32(bytes + 8);
    if (west <= -PG_ZONE_MAX || west >= PG_ZONE_MAX)
        return dbz_bad(r, err);
    if (west % 60 !=
        0) { /* the connector has no form for it: nothing in the copy, and it ends in the stream */
        ret->state = DATUM_NULL;
        return dbz_lost(r, "an offset with seconds", err);
    }
    int64_t utc = (us + TYPES_SECONDS(west) + 2 * US_PER_DAY) % US_PER_DAY;
    if ((utc != us || west != 0) && !dbz_lost(r, "an offset other than UTC, or 24:00", err))
        return false;
    return dbz_bytes(text, iso_timetz(utc, 0, text), arena, ret, err);
}

/* ---- timestamps ---- */

static bool load_stamp(const unsigned char *bytes, uint32_t len, int64_t *ret)
{
    *ret = len == 8 ? (int64_t)load_be64(bytes) : PG_TS_END;
    return *ret == INT64_MAX || *ret == INT64_MIN || (*ret >= PG_TS_MIN && *ret < PG_TS_END);
}

static int64_t julian_days(struct civil c)
{
    int64_t y = c.month > 2 ? c.year : c.year - 1, m = c.month > 2 ? c.month - 3 : c.month + 9;
    return floor_div(1461 * y, 4) + (153 * m + 2) / 5 + c.day - 719471;
}

/* Java's calendar takes dates before 1582 as Julian ones. */
static bool element_stamp(const struct pg_column_reader *r, int64_t *pg_us, struct err *err)
{
    int64_t unix_days = floor_div(*pg_us, US_PER_DAY) + PG_EPOCH_DAYS;
    if (unix_days >= GREGORIAN_DAYS)
        return true;
    *pg_us += (julian_days(civil_from_days(unix_days)) - unix_days) * US_PER_DAY;
    return dbz_lost(r, "a timestamp before 1582-10-15 in an array", err);
}

/* Seconds and microseconds are added apart in Java: the seconds stop at the type's end, then the sum wraps. */
static bool to_micros(const struct pg_column_reader *r, int64_t pg_us, int64_t *ret, struct err *err)
{
    if (!__builtin_add_overflow(pg_us, PG_EPOCH_US, ret))
        return true;
    int64_t part = pg_us % 1000000;
    bool whole_fits = pg_us - part <= INT64_MAX - PG_EPOCH_US;
    int64_t whole = whole_fits ? pg_us - part + PG_EPOCH_US : INT64_MAX;
    *ret = (int64_t)((uint64_t)whole + (uint64_t)part);
    return dbz_lost(r, "a timestamp beyond 294247-01-10", err);
}

READER(dbz_timestamp_micros)
{
    int64_t us, v = 0;
    if (!load_stamp(bytes, len, &us))
        return dbz_bad(r, err);
    if (us == INT64_MAX || us == INT64_MIN) {
        dbz_int(ret, us > 0 ? STAMP_INFINITY : STAMP_MINUS_INFINITY);
        return dbz_lost(r, "an infinite timestamp", err);
    }
    if ((dbz_is_element(r) && !element_stamp(r, &us, err)) || !to_micros(r, us, &v, err))
        return false;
    dbz_int(ret, v);
    return true;
}

READER(dbz_timestamp_millis)
{
    int64_t us;
    if (!load_stamp(bytes, len, &us))
        return dbz_bad(r, err);
    if (us == INT64_MAX || us == INT64_MIN) {
        dbz_int(ret, (us > 0 ? STAMP_INFINITY : STAMP_MINUS_INFINITY) / 1000);
        return dbz_lost(r, "an infinite timestamp", err);
    }
    if (dbz_is_element(r) && !element_stamp(r, &us, err))
        return false;
    dbz_int(ret, floor_div(us, 1000) + PG_EPOCH_US / 1000);
    return us % 1000 == 0 || dbz_lost(r, "microseconds in a form of milliseconds", err);
}

READER(dbz_timestamptz)
{
    char text[TIME_TEXT_MAX];
    int64_t us;
    bool element = dbz_is_element(r);
    if (!load_stamp(bytes, len, &us))
        return dbz_bad(r, err);
    if (element && us == INT64_MIN)
        return dbz_lost(r, "-infinity in an array of timestamps", err) &&
               dbz_bytes(ARRAY_ZONED_MINUS, strlen(ARRAY_ZONED_MINUS), arena, ret, err);
    if (element && us != INT64_MAX) {
        int64_t days = floor_div(us, US_PER_DAY) + PG_EPOCH_DAYS, moved = without_era(days);
        us += (moved - days) * US_PER_DAY;
        if (moved != days && !dbz_lost(r, "a timestamp before Christ in an array", err))
            return false;
    }
    return dbz_bytes(text, iso_timestamp(us, element ? 6 : r->digits, text), arena, ret, err);
}

/* ---- intervals ---- */

static int64_t saturate(double v)
{
    return v >= 9223372036854775808.0 ? INT64_MAX : v <= -9223372036854775808.0 ? INT64_MIN : (int64_t)v;
}

/* A month is a twelfth of 365.25 days; in doubles, as the connector computes it. */
static double approximate(int64_t us, int32_t days, int32_t months)
{
    int64_t hours = us / TYPES_SECONDS(3600), minutes = us / TYPES_SECONDS(60) % 60;
    int64_t rest = us % TYPES_SECONDS(60);
    double seconds = (double)(rest / 1000000) + (double)(rest % 1000000) / 1e6;
    double all_days = (double)months * DAYS_PER_MONTH + (double)days;
    return (((all_days * 24 + (double)hours) * 60 + (double)minutes) * 60 + seconds) * 1e6;
}

READER(dbz_interval)
{
    if (len != 16)
        return dbz_bad(r, err);
    int64_t us = (int64_t)load_be64(bytes);
    int32_t days = (int32_t)load_be32(bytes + 8), months = (int32_t)load_be32(bytes + 12);
    if (r->interval_marks && interval_is_infinite(us, days, months)) {
        ret->state = DATUM_NULL;
        return dbz_lost(r, "an infinite interval", err);
    }
    if (days == 0 && months == 0) {
        dbz_int(ret, us);
        return true;
    }
    dbz_int(ret, saturate(approximate(us, days, months)));
    return dbz_lost(r, "months or days in an interval", err);
}
