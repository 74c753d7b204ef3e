/* Owns: when maintenance windows are. See maintenance.h. */
#include "maintenance.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "zone.h"

#define MINUTE_S     INT64_C(60)
#define LOOK_MINUTES (8 * 24 * 60)
#define US           INT64_C(1000000)

struct maintenance_one {
    struct maintenance_window window;
    struct zone *zone;
};

struct maintenance {
    struct maintenance_one *all;
    size_t count;
};

static bool open_one(const char *text, struct maintenance_one *ret, struct err *err)
{
    if (!maintenance_window_parse(text, &ret->window))
        return err_set(err, ERR_CONFIG, "maintenance window \"%s\": expected days, times and a time zone",
                       text);
    return zone_open(ret->window.zone, &ret->zone, err);
}

bool maintenance_open(const char *const *texts, size_t count, struct maintenance **ret, struct err *err)
{
    struct maintenance *m = xcalloc(1, sizeof *m);
    m->all = xcalloc(count + 1, sizeof *m->all);
    for (m->count = 0; m->count < count; m->count++) {
        if (!open_one(texts[m->count], &m->all[m->count], err)) {
            maintenance_free(m);
            return false;
        }
    }
    *ret = m;
    return true;
}

void maintenance_free(struct maintenance *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++)
        zone_free(m->all[i].zone);
    free(m->all);
    free(m);
}

static bool has(const struct maintenance *m, int64_t unix_s)
{
    for (size_t i = 0; i < m->count; i++) {
        struct local_time at = zone_local(m->all[i].zone, unix_s);
        if (maintenance_window_has(&m->all[i].window, at.weekday, at.second_of_day))
            return true;
    }
    return false;
}

bool maintenance_now(const struct maintenance *m, int64_t now_us, int64_t *ret_since_us,
                     int64_t *ret_until_us)
{
    int64_t now_s = now_us / US, minute_s = now_s - now_s % MINUTE_S, since_s = minute_s, until_s = minute_s;
    if (!has(m, now_s))
        return false;
    int minutes = 0;
    for (; minutes < LOOK_MINUTES && has(m, since_s - MINUTE_S); minutes++)
        since_s -= MINUTE_S;
    if (minutes ==
        LOOK_MINUTES) /* it is always: a beginning that moves with the clock would be a new window each minute */
        since_s = 0;
    for (int i = 0; i < LOOK_MINUTES && has(m, until_s); i++)
        until_s += MINUTE_S;
    *ret_since_us = since_s * US;
    *ret_until_us = until_s * US;
    return true;
}

int64_t maintenance_next(const struct maintenance *m, int64_t now_us)
{
    int64_t at_s = now_us / US - now_us / US % MINUTE_S;
    for (int i = 0; i < LOOK_MINUTES; i++) {
        at_s += MINUTE_S;
        if (has(m, at_s) && !has(m, at_s - MINUTE_S))
            return at_s * US;
    }
    return 0;
}
