/* Owns: dates and times as MariaDB stores them (formats of MySQL 5.6, big end first). See value.h. */
#include <inttypes.h>
#include <stdio.h>

#include "maria/binlog/value.h"

#define DAY_US    INT64_C(86400000000)
#define SECOND_US INT64_C(1000000)

/* Days since 1970 of a date of the Gregorian calendar, for any year from 0 on. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (unsigned)(month == 2 && is_leap(year)) && year <= 9999;
}

/* "0000-00-00", "2024-02-00", or (sql_mode ALLOW_INVALID_DATES) "2024-02-31". */
static bool no_date(const struct value_plan *plan, struct datum *ret, struct err *err)
{
    if (plan->zero_date_null && plan->col.nullable) {
        *ret = (struct datum){.state = DATUM_NULL};
        return true;
    }
    return err_set(
        err, ERR_DATA,
        "a date that is none (0000-00-00, or with a month or day that does not exist). Hint: correct the row "
        "and set sql_mode to NO_ZERO_DATE,NO_ZERO_IN_DATE on the source, or let such dates become null (in "
        "columns that may be null)");
}

static bool broken(struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "a broken time in the binlog");
}

static bool read_date(const struct value_plan *plan, const uint8_t *p, struct datum *ret, struct err *err)
{
    uint64_t v = bytes_le_at(p, 3);
    unsigned year = (unsigned)(v >> 9), month = (unsigned)(v >> 5 & 15), day = (unsigned)(v & 31);
    if (!is_date(year, month, day))
        return no_date(plan, ret, err);
    *ret = (struct datum){.state = DATUM_VALUE, .i = days_of(year, month, day)};
    return true;
}

/* Microseconds from the fraction's bytes: pairs of digits, each pair a byte. */
static int64_t fraction_us(const uint8_t *p, unsigned digits)
{
    static const int32_t factor[] = {0, 10000, 100, 1};
    unsigned size = (digits + 1) / 2;
    return (int64_t)bytes_be_at(p, size) * factor[size];
}

static bool read_datetime(const struct value_plan *plan, const uint8_t *p, struct datum *ret, struct err *err)
{
    uint64_t v = bytes_be_at(p, 5) - UINT64_C(0x8000000000);
    uint64_t ymd = v >> 17, hms = v & 0x1ffff;
    unsigned year = (unsigned)(ymd >> 5) / 13, month = (unsigned)(ymd >> 5) % 13, day = (unsigned)(ymd & 31);
    uint64_t hour = hms >> 12, minute = hms >> 6 & 63, second = hms & 63;
    int64_t us = fraction_us(p + 5, plan->col.scale);
    if (hour > 23 || minute > 59 || second > 59 || us >= SECOND_US || p[0] < 0x80 ||
        ymd >> 5 > 9999 * 13 + 12)
        return broken(err);
    if (!is_date(year, month, day))
        return no_date(plan, ret, err);
    us += days_of(year, month, day) * DAY_US + (int64_t)(hour * 3600 + minute * 60 + second) * SECOND_US;
    bool ms = plan->form == VALUE_DATETIME_MS; /* three digits at most: exact */
    *ret = (struct datum){.state = DATUM_VALUE, .i = ms ? us / 1000 : us};
    return true;
}

/* As one number with the fraction at its end, from which half of the range is taken: so a negative time counts down in both parts. */
static bool read_time(const struct value_plan *plan, const uint8_t *p, struct datum *ret, struct err *err)
{
    unsigned size = (plan->col.scale + 1u) / 2;
    int64_t v = (int64_t)bytes_be_at(p, 3 + size) - (INT64_C(0x800000) << (8 * size));
    uint64_t abs = (uint64_t)(v < 0 ? -v : v);
    uint64_t hms = abs >> (8 * size), hour = hms >> 12 & 0x3ff, minute = hms >> 6 & 63, second = hms & 63;
    uint8_t part[3];
    for (unsigned i = 0; i < size; i++)
        part[i] = (uint8_t)(abs >> (8 * (size - 1 - i)));
    int64_t us = fraction_us(part, plan->col.scale);
    if (hour > 838 || minute > 59 || second > 59 || us >= SECOND_US || hms >> 22 != 0)
        return broken(err);
    us += (int64_t)(hour * 3600 + minute * 60 + second) * SECOND_US;
    *ret = (struct datum){.state = DATUM_VALUE, .i = v < 0 ? -us : us};
    return true;
}

/* The date of a day since 1970, from 1970 on. */
static void date_of(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    int64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = (unsigned)(y + era * 400 + (*month <= 2));
}

/* Seconds since 1970 in UTC, in four bytes without sign (of newer servers up to 2106); 0 is the zero date. */
static bool read_timestamp(const struct value_plan *plan, const uint8_t *p, const struct value_context *ctx,
                           struct datum *ret, struct err *err)
{
    uint64_t seconds = bytes_be_at(p, 4);
    int64_t us = fraction_us(p + 4, plan->col.scale);
    if (us >= SECOND_US)
        return broken(err);
    if (seconds == 0 && us == 0)
        return no_date(plan, ret, err);
    unsigned year, month, day, of_day = (unsigned)(seconds % 86400), digits = plan->col.scale;
    char text[40], fraction[8];
    date_of((int64_t)(seconds / 86400), &year, &month, &day);
    (void)snprintf(fraction, sizeof fraction, ".%06u", (unsigned)us);
    fraction[digits > 0 ? digits + 1 : 0] = '\0';
    int len = snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02u%sZ", year, month, day, of_day / 3600,
                       of_day / 60 % 60, of_day % 60, fraction);
    return value_keep(ctx, text, (size_t)len, ret, err);
}

bool value_read_time(const struct value_plan *plan, const uint8_t *p, const struct value_context *ctx,
                     struct datum *ret, struct err *err)
{
    switch (plan->form) {
    case VALUE_DATE:
        return read_date(plan, p, ret, err);
    case VALUE_TIME:
        return read_time(plan, p, ret, err);
    case VALUE_DATETIME_MS:
    case VALUE_DATETIME_US:
        return read_datetime(plan, p, ret, err);
    case VALUE_TIMESTAMP:
        return read_timestamp(plan, p, ctx, ret, err);
    default:
        return err_set(err, ERR_BUG, "form %d is no time", (int)plan->form);
    }
}
