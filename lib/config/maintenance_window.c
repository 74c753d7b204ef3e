/* Owns: the reading of maintenance windows. See maintenance_window.h. */
#include "config/maintenance_window.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DAY_S    86400
#define ALL_DAYS 0x7fU

static int day_of(const char *p)
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    for (int i = 0; i < 7; i++) {
        if (strncasecmp(p, names[i], 3) == 0)
            return i;
    }
    return -1;
}

/* "Mon-Fri, Sun " in front of the times; none = all. Moves *text behind it. */
static bool read_days(const char **text, unsigned *ret)
{
    const char *p = *text;
    *ret = 0;
    while (day_of(p) >= 0) {
        int first = day_of(p), last = first;
        p += 3;
        if (*p == '-') {
            last = day_of(p + 1);
            if (last < 0)
                return false;
            p += 4;
        }
        for (int d = first;; d = (d + 1) % 7) {
            *ret |= 1U << d;
            if (d == last)
                break;
        }
        bool more = *p == ',';
        p += more;
        p += strspn(p, " ");
        if (!more)
            break;
        if (day_of(p) < 0)
            return false;
    }
    if (*ret == 0)
        *ret = ALL_DAYS;
    *text = p;
    return true;
}

static bool read_time(const char **text, int *ret_s)
{
    unsigned hour, minute;
    int used = 0;
    if (**text < '0' || **text > '9' || sscanf(*text, "%2u:%2u%n", &hour, &minute, &used) != 2 || used < 4 ||
        minute > 59 || hour * 60 + minute > 24 * 60)
        return false;
    *text += used;
    *ret_s = (int)(hour * 3600 + minute * 60);
    return true;
}

/* A name of the time zone database; it becomes a part of a path. */
static bool zone_fits(const char *zone)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
    size_t len = strlen(zone);
    return len > 0 && len < ZONE_NAME_MAX && zone[0] != '/' && strspn(zone, allowed) == len;
}

bool maintenance_window_parse(const char *text, struct maintenance_window *ret)
{
    struct maintenance_window w = {0};
    const char *p = text;
    if (!read_days(&p, &w.days) || !read_time(&p, &w.from_s) || *p++ != '-' || !read_time(&p, &w.till_s) ||
        *p != ' ' || w.from_s >= DAY_S)
        return false;
    p += strspn(p, " ");
    if (!zone_fits(p))
        return false;
    (void)snprintf(w.zone, sizeof w.zone, "%s", p);
    *ret = w;
    return true;
}

bool maintenance_window_fits(const char *text)
{
    struct maintenance_window ignored;
    return maintenance_window_parse(text, &ignored);
}

bool maintenance_window_has(const struct maintenance_window *w, int weekday, int second)
{
    bool begins_today = (w->days >> weekday & 1U) != 0;
    bool began_yesterday = (w->days >> (weekday + 6) % 7 & 1U) != 0;
    if (w->till_s > w->from_s)
        return begins_today && second >= w->from_s && second < w->till_s;
    return (begins_today && second >= w->from_s) || (began_yesterday && second < w->till_s);
}
