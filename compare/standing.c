/* See standing.h. */
#include "standing.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "watch/history.h"

struct standing *standing_read(const struct config *cfg, struct session *target,
                               const struct compare_result *now, size_t runs)
{
    struct standing *s = xcalloc(1, sizeof *s);
    struct err err = ERR_INIT;
    s->at_us = clock_wall_us();
    if (!history_read(target, config_text(cfg, "pipeline"), runs, &s->history, &err))
        s->unread = xstrdup(err.text);
    readiness_read(cfg, target, now, &s->readiness);
    return s;
}

void standing_free(struct standing *standing)
{
    if (standing == NULL)
        return;
    watch_history_release(&standing->history);
    free(standing->unread);
    free(standing);
}
