/* Owns: the form of --since and --until. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "scope.h"

/* Exactly two digits, up to `most`. */
static bool two(const char **p, int most, int *ret)
{
    const char *s = *p;
    if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
        return false;
    *ret = (s[0] - '0') * 10 + s[1] - '0';
    *p += 2;
    return *ret <= most;
}

static bool skip(const char **p, const char *any)
{
    if (**p == '\0' || strchr(any, **p) == NULL)
        return false;
    ++*p;
    return true;
}

/* ".5": microseconds. */
static bool fraction(const char **p, int *ret)
{
    int digits = 0;
    for (*ret = 0; digits < 6 && **p >= '0' && **p <= '9'; digits++)
        *ret = *ret * 10 + *(*p)++ - '0';
    for (int i = digits; i < 6; i++)
        *ret *= 10;
    return digits > 0;
}

/* Seconds east of UTC. */
static bool zone(const char **p, int *ret)
{
    int hours = 0, minutes = 0;
    bool west = **p == '-';
    *ret = 0;
    if (**p == '\0' || skip(p, "Zz"))
        return true;
    if (!skip(p, "+-") || !two(p, 15, &hours))
        return false;
    if (**p != '\0' && (skip(p, ":"), !two(p, 59, &minutes)))
        return false;
    *ret = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static bool date(const char **p, struct tm *tm)
{
    int century = 0, year = 0, month = 0;
    if (!two(p, 99, &century) || !two(p, 99, &year) || !skip(p, "-") || !two(p, 12, &month) ||
        !skip(p, "-") || !two(p, 31, &tm->tm_mday) || month < 1 || tm->tm_mday < 1)
        return false;
    tm->tm_year = century * 100 + year - 1900;
    tm->tm_mon = month - 1;
    return true;
}

static bool clock_time(const char **p, struct tm *tm, int *ret_us)
{
    if (**p == '\0')
        return true;
    if (!skip(p, " Tt") || !two(p, 23, &tm->tm_hour) || !skip(p, ":") || !two(p, 59, &tm->tm_min))
        return false;
    if (skip(p, ":") && (!two(p, 59, &tm->tm_sec) || (skip(p, ".") && !fraction(p, ret_us))))
        return false;
    (void)skip(p, " ");
    return true;
}

char *scope_time(const char *text)
{
    const char *p = text;
    struct tm tm = {0}, back;
    int us = 0, east_s = 0;
    if (!date(&p, &tm) || !clock_time(&p, &tm, &us) || !zone(&p, &east_s) || *p != '\0')
        return NULL;
    int day = tm.tm_mday;
    time_t at = timegm(&tm);
    if (tm.tm_mday != day) /* the 31st of February */
        return NULL;
    at -= east_s;
    if (gmtime_r(&at, &back) == NULL)
        return NULL;
    return xasprintf("%04d-%02d-%02d %02d:%02d:%02d.%06d", back.tm_year + 1900, back.tm_mon + 1, back.tm_mday,
                     back.tm_hour, back.tm_min, back.tm_sec, us);
}
