/*
 * Alerts: logged, posted to a webhook until somebody takes them, and given to commands. One code and one table of events (alert_events.h) for all
 * who tell: roles, windows of comparisons, cutovers, the triggers of a cutover. docs/ALERTS.md
 * @thread any
 */
#ifndef CONTROL_ALERTS_H
#define CONTROL_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "control/webhook.h"

struct alerts;

/* Kept by pointer. */
struct alert_ways {
    const char *pipeline;
    struct webhook webhook;      /* url NULL = none */
    const char *const *commands; /* for /bin/sh -c; NULL-terminated, or NULL */
    int64_t command_timeout_ms;
    const char *const *events; /* groups and names that are told; NULL-terminated, NULL or empty = all */
    bool background;           /* a thread of their own delivers and runs commands: raising never waits */
};

/* What alerts.* says, in the background. */
struct alert_ways alert_ways_of(const struct config *cfg);
bool alert_ways_any(const struct alert_ways *ways);

struct alerts *alerts_new(const struct alert_ways *ways);
/* NULL allowed. In the background: what waits gets some seconds to be taken, then a command that still runs gets SIGTERM. What was not taken is
 * told in the log. */
void alerts_free(struct alerts *alerts);
/* event: of the table; good: it is no trouble. Not in the background: commands run at once. */
void alerts_raise(struct alerts *alerts, const char *event, const char *level, const char *text, bool good);
/* Tries to deliver what is due; bounded to one attempt of some seconds. In the background: nothing. */
void alerts_deliver(struct alerts *alerts);
/* When alerts_deliver has something to do again (us, mono); 0 = nothing waits. */
int64_t alerts_due_us(struct alerts *alerts);

#endif
