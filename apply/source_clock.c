/* See source_clock.h. */
#include "apply/source_clock.h"

#include "core/attr.h"

#define SPAN_US INT64_C(600000000)

void source_clock_saw(struct source_clock *clock, int64_t commit_us, int64_t now_us)
{
    int64_t age_us = now_us - clock->since_us;
    if (commit_us == 0)
        return;
    if (clock->since_us == 0 || age_us >= SPAN_US || age_us < 0) { /* (ours was set back: begun anew) */
        clock->before_us =
            clock->since_us != 0 && age_us >= 0 && age_us < 2 * SPAN_US ? clock->in_span_us : 0;
        clock->in_span_us = 0;
        clock->since_us = now_us;
    }
    clock->in_span_us = MAX_OF(clock->in_span_us, commit_us - now_us);
}

int64_t source_clock_ahead_us(const struct source_clock *clock)
{
    return MAX_OF(clock->in_span_us, clock->before_us);
}
