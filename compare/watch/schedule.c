/* Owns: the choice of the level that runs next. See schedule.h. */
#include "schedule.h"

#define RETRY_BASE_US INT64_C(1000000)
#define RETRY_MAX_US  INT64_C(60000000)

static int64_t due_us(const struct watch_level *level, int64_t now_us)
{
    int64_t at = level->last_us == 0 ? 0 : level->at_once ? now_us : level->last_us + level->every_us;
    if (at > now_us + level->every_us) /* the clock was set back */
        at = now_us + level->every_us;
    return at > level->not_before_us ? at : level->not_before_us;
}

struct watch_level *schedule_next(struct watch_schedule *schedule, bool beside, int64_t now_us,
                                  int64_t *ret_at_us)
{
    struct watch_level *best = NULL;
    int64_t best_at = 0;
    for (size_t i = 0; i < schedule->count; i++) {
        struct watch_level *level = &schedule->levels[i];
        if (level->beside != beside)
            continue;
        int64_t at = due_us(level, now_us);
        bool first = best == NULL || (level->at_once != best->at_once ? level->at_once : at < best_at);
        if (best != NULL && (at <= now_us) != (best_at <= now_us))
            first = at <= now_us;
        if (first) {
            best = level;
            best_at = at;
        }
    }
    *ret_at_us = best_at;
    return best;
}

void schedule_began(struct watch_level *level, int64_t now_us)
{
    level->last_us = now_us;
    level->at_once = false;
}

void schedule_failed(struct watch_level *level, int64_t now_us)
{
    int64_t pause = RETRY_BASE_US;
    for (unsigned i = 0; i < level->failed_tries && pause < RETRY_MAX_US; i++)
        pause *= 2;
    if (pause > RETRY_MAX_US)
        pause = RETRY_MAX_US;
    if (pause > level->every_us)
        pause = level->every_us;
    level->failed_tries++;
    level->at_once = true;
    level->not_before_us = now_us + pause;
}

void schedule_done(struct watch_level *level)
{
    level->failed_tries = 0;
    level->not_before_us = 0;
}
