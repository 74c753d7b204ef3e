/*
 * Alerts: logged, posted to a webhook until somebody takes them, and given to commands. One code for all who watch: windows of comparisons, the
 * triggers of a cutover. @thread owner
 */
#ifndef CONTROL_ALERTS_H
#define CONTROL_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alerts;

/* Kept by pointer. */
struct alert_ways {
    const char *pipeline;
    const char *url, *secret;    /* of the webhook; NULL = none, not signed */
    const char *const *commands; /* for /bin/sh -c; NULL-terminated, or NULL */
    int64_t command_timeout_ms;
};

struct alerts *alerts_new(const struct alert_ways *ways);
void alerts_free(struct alerts *alerts); /* NULL allowed; what was not taken is told in the log */
/* event: "mismatch", "trigger", …; good: it is no trouble. Commands run at once. */
void alerts_raise(struct alerts *alerts, const char *event, const char *level, const char *text, bool good);
/* Tries to deliver what is due; bounded to one attempt of some seconds. */
void alerts_deliver(struct alerts *alerts);
/* When alerts_deliver has something to do again (us, mono); 0 = nothing waits. */
int64_t alerts_due_us(const struct alerts *alerts);

#endif
