/*
 * Times of the week at which something may be done: "Sun 02:00-04:00 Europe/Berlin", "Mon-Fri, Sun 23:30-01:00 UTC", "01:00-05:00 UTC".
 * One that ends at or before its beginning goes on over midnight, and is named by the day on which it begins.
 * @thread any
 */
#ifndef CONFIG_MAINTENANCE_WINDOW_H
#define CONFIG_MAINTENANCE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define ZONE_NAME_MAX 64

struct maintenance_window {
    unsigned days;      /* bit 0 = Sunday … bit 6 = Saturday: days on which it begins */
    int from_s, till_s; /* of the day, local time; till <= from: of the next day */
    char zone[ZONE_NAME_MAX];
};

bool maintenance_window_parse(const char *text, struct maintenance_window *ret);
/* Whether a text reads (options.c). */
bool maintenance_window_fits(const char *text);
/* Whether this local time is in it. weekday: 0 = Sunday. second_of_day: 0..86399. */
bool maintenance_window_has(const struct maintenance_window *window, int weekday, int second_of_day);

#endif
