/* The rule at the end of a TZif file ("CET-1CEST,M3.5.0,M10.5.0/3", as POSIX has it for TZ). Private to zone.c. @thread any */
#ifndef CUTOVER_WATCH_ZONE_RULE_H
#define CUTOVER_WATCH_ZONE_RULE_H

#include <stdbool.h>
#include <stdint.h>

struct zone_day {
    enum { ZONE_DAY_NTH_WEEKDAY = 0, ZONE_DAY_JULIAN, ZONE_DAY_OF_YEAR } kind;
    int month, week, weekday; /* NTH_WEEKDAY: week 5 = the last */
    int day;                  /* JULIAN: 1..365, without 29 February; OF_YEAR: 0..365 */
    int64_t second;           /* of the day, of the time that ends then; may lie outside of it */
};

struct zone_rule {
    int64_t standard_s, summer_s; /* east of Greenwich */
    bool has_summer;
    struct zone_day begins, ends;
};

bool zone_rule_parse(const char *text, struct zone_rule *ret);
int64_t zone_rule_offset(const struct zone_rule *rule, int64_t unix_s);

#endif
