/* Alerts of a window: what changed for the worse or the better, logged, and posted to compare.watch.webhook until somebody takes it. Private to
 * this module. @thread owner */
#ifndef COMPARE_WATCH_ALERTS_H
#define COMPARE_WATCH_ALERTS_H

#include "compare/compare.h"

struct alerts;

struct alerts *alerts_new(const struct config *cfg);
void alerts_free(struct alerts *alerts); /* NULL allowed; what was not taken is told in the log */
/* event: "mismatch", "inconclusive", "recovered", "clean". */
void alerts_raise(struct alerts *alerts, const char *event, const char *level, const char *text);
/* Tries to deliver what is due; bounded to one attempt of some seconds. */
void alerts_deliver(struct alerts *alerts);
/* When alerts_deliver has something to do again (us, mono); 0 = nothing waits. */
int64_t alerts_due_us(const struct alerts *alerts);

#endif
