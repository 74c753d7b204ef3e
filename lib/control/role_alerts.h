/* Looks at a role's status board, and tells of what a person should know: lag, the slot, dead letters, servers that are away, a halt. */
#ifndef CONTROL_ROLE_ALERTS_H
#define CONTROL_ROLE_ALERTS_H

#include "control/alerts.h"
#include "control/status.h"

struct role_alerts;

/* NULL: nobody is to be told. cfg and board outlive it. @thread: one of its own */
struct role_alerts *role_alerts_start(const struct config *cfg, struct status_board *board);
/* Looks a last time, and gives what waits some seconds. NULL allowed. */
void role_alerts_stop(struct role_alerts *ra);

#endif
