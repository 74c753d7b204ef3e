/* All events that alerts tell of, one row each: what raises them, how grave they are, what to do. docs/ALERTS.md is made of this table. */
#ifndef CORE_ALERT_EVENTS_H
#define CORE_ALERT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/strbuf.h"

struct alert_event {
    const char *name;
    const char *group;    /* what alerts.events chooses by */
    const char *severity; /* critical, warning or info */
    const char *by;       /* who raises it */
    const char *level;    /* what field "level" says */
    const char *help;
};

extern const struct alert_event alert_event_table[];
extern const size_t alert_event_count;

/* NULL: there is none of this name. */
const struct alert_event *alert_event_find(const char *name);
/* docs/ALERTS.md */
void alert_events_markdown(struct strbuf *out);

#endif
