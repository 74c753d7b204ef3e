/* Owns the order in which the target is made ready, and what is told of it. */
#include "prepare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

/* Views before ANALYZE, which reads them; caches last: what comes before would push pages out. */
static const struct {
    const char *name;
    prepare_fn *take;
} steps[] = {
    {"materialized views", views_refresh},
    {"statistics", statistics_make},
    {"relations in the cache", prewarm_take},
    {"queries", queries_warm},
};

void prepare_note(struct cutover *co, const char *fmt, ...)
{
    char *to = co->report->prepared;
    size_t used = strlen(to), room = sizeof co->report->prepared;
    va_list ap;
    if (used > 0)
        used += (size_t)snprintf(to + used, room - used, "; ");
    va_start(ap, fmt);
    if (used < room)
        (void)vsnprintf(to + used, room - used, fmt, ap);
    va_end(ap);
}

const char *prepare_maintain(const struct cutover *co)
{
    return pg_server_version(co->target) >= 170000 ? "MAINTAIN" : "";
}

bool prepare_all(struct cutover *co, bool *ret_worked, struct err *err)
{
    co->report->prepared[0] = '\0';
    *ret_worked = false;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        size_t done = 0;
        int64_t began_us = clock_mono_us();
        if (!steps[i].take(co, &done, err))
            return err_wrap(err, "%s", steps[i].name);
        *ret_worked = *ret_worked || done > 0;
        if (done > 0)
            cutover_say(co, "%s: %zu in %.1f s", steps[i].name, done,
                        (double)(clock_mono_us() - began_us) / 1e6);
    }
    return trail_prepared(co, err);
}
