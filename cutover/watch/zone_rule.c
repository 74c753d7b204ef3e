/* Owns: POSIX rules of summer time. See zone_rule.h. */
#include "zone_rule.h"

#include <ctype.h>
#include <string.h>

#define DAY_S  INT64_C(86400)
#define HOUR_S INT64_C(3600)

/* --- reading --- */

static bool read_name(const char **p)
{
    const char *begin = *p;
    if (**p == '<') {
        const char *end = strchr(*p, '>');
        if (end == NULL)
            return false;
        *p = end + 1;
        return true;
    }
    while (isalpha((unsigned char)**p))
        (*p)++;
    return *p - begin >= 3;
}

static bool read_int(const char **p, int least, int most, int *ret)
{
    int n = 0, digits = 0;
    for (; isdigit((unsigned char)**p) && digits < 4; (*p)++, digits++)
        n = n * 10 + (**p - '0');
    *ret = n;
    return digits > 0 && n >= least && n <= most;
}

/* [+-]hh[:mm[:ss]] */
static bool read_seconds(const char **p, int64_t *ret)
{
    int64_t sign = **p == '-' ? -1 : 1, unit = HOUR_S;
    int n = 0;
    *p += **p == '-' || **p == '+';
    if (!read_int(p, 0, 167, &n))
        return false;
    *ret = n * unit;
    while (**p == ':' && unit > 1) {
        (*p)++;
        unit /= 60;
        if (!read_int(p, 0, 59, &n))
            return false;
        *ret += n * unit;
    }
    *ret *= sign;
    return true;
}

static bool read_date(const char **p, struct zone_day *ret)
{
    if (**p == 'M') {
        (*p)++;
        ret->kind = ZONE_DAY_NTH_WEEKDAY;
        return read_int(p, 1, 12, &ret->month) && *(*p)++ == '.' && read_int(p, 1, 5, &ret->week) &&
               *(*p)++ == '.' && read_int(p, 0, 6, &ret->weekday);
    }
    bool julian = **p == 'J';
    *p += julian;
    ret->kind = julian ? ZONE_DAY_JULIAN : ZONE_DAY_OF_YEAR;
    return read_int(p, julian, 365, &ret->day);
}

static bool read_day(const char **p, struct zone_day *ret)
{
    ret->second = 2 * HOUR_S;
    if (*(*p)++ != ',' || !read_date(p, ret))
        return false;
    if (**p != '/')
        return true;
    (*p)++;
    return read_seconds(p, &ret->second);
}

bool zone_rule_parse(const char *text, struct zone_rule *ret)
{
    struct zone_rule rule = {.has_summer = false};
    const char *p = text;
    int64_t west_s;
    if (!read_name(&p) || !read_seconds(&p, &west_s))
        return false;
    rule.standard_s = -west_s;
    if (*p != '\0') {
        rule.has_summer = true;
        rule.summer_s = rule.standard_s + HOUR_S;
        if (!read_name(&p))
            return false;
        if (*p != ',') {
            if (!read_seconds(&p, &west_s))
                return false;
            rule.summer_s = -west_s;
        }
        if (!read_day(&p, &rule.begins) || !read_day(&p, &rule.ends) || *p != '\0')
            return false;
    }
    *ret = rule;
    return true;
}

/* --- asking --- */

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to the first of January. */
static int64_t year_begins(int64_t year)
{
    int64_t y = year - 1;
    return (year - 1970) * 365 + (y / 4 - y / 100 + y / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t year_of(int64_t unix_s)
{
    int64_t year = 1970 + unix_s / (365 * DAY_S + DAY_S / 4);
    while (year_begins(year + 1) * DAY_S <= unix_s)
        year++;
    while (year_begins(year) * DAY_S > unix_s)
        year--;
    return year;
}

static int64_t month_begins(int64_t year, int month)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    return before[month - 1] + (month > 2 && is_leap(year));
}

static int64_t nth_weekday(const struct zone_day *day, int64_t year)
{
    int64_t first = year_begins(year) + month_begins(year, day->month);
    int64_t next =
        day->month == 12 ? year_begins(year + 1) : year_begins(year) + month_begins(year, day->month + 1);
    int64_t found = first + (day->weekday - (first + 4) % 7 + 7) % 7 + 7 * (day->week - 1);
    while (found >= next)
        found -= 7;
    return found;
}

/* When it is, told in the local time of that moment. */
static int64_t local_instant(const struct zone_day *day, int64_t year)
{
    int64_t days = 0;
    switch (day->kind) {
    case ZONE_DAY_NTH_WEEKDAY:
        days = nth_weekday(day, year);
        break;
    case ZONE_DAY_JULIAN:
        days = year_begins(year) + day->day - 1 + (is_leap(year) && day->day > 59);
        break;
    case ZONE_DAY_OF_YEAR:
        days = year_begins(year) + day->day;
        break;
    }
    return days * DAY_S + day->second;
}

int64_t zone_rule_offset(const struct zone_rule *rule, int64_t unix_s)
{
    if (!rule->has_summer)
        return rule->standard_s;
    int64_t year = year_of(unix_s + rule->standard_s);
    int64_t begins = local_instant(&rule->begins, year) - rule->standard_s,
            ends = local_instant(&rule->ends, year) - rule->summer_s;
    bool summer = begins < ends ? unix_s >= begins && unix_s < ends : unix_s >= begins || unix_s < ends;
    return summer ? rule->summer_s : rule->standard_s;
}
