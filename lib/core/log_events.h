/* The one table of the log's events: names that stay, and what they mean. docs/EVENTS.md is written from it, tests/system/test_metrics.py sees
 * that all that the code logs is in it, and log.c limits how often each of them is written. */
#ifndef CORE_LOG_EVENTS_H
#define CORE_LOG_EVENTS_H

#include <stddef.h>

#include "core/strbuf.h"

struct log_event_def {
    const char *name;
    const char *levels; /* "info", or several: "info, warn" */
    const char *who;    /* "capture", "apply", "compare", "cutover", "all" */
    const char *meaning;
};

/* Sorted by name. */
const struct log_event_def *log_events(size_t *ret_count);
#define LOG_EVENTS_MAX 256 /* more than the table has */
/* Index into the table; -1 = not there. */
int log_event_index(const char *name);
/* docs/EVENTS.md */
void log_events_markdown(struct strbuf *out);

#endif
