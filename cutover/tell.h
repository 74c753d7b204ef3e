/* What a cutover tells by alerts.* (lib/control/alerts.h) while it runs: gates that refuse, each step, the decision, how it ends. Nobody waits for it. */
#ifndef CUTOVER_TELL_H
#define CUTOVER_TELL_H

#include "core/err.h"

struct cutover;

/* From here on it is told of, if anybody is to be told. */
void tell_open(struct cutover *co);
/* The gates were asked, and one refused. */
void tell_gates(struct cutover *co);
/* A state was recorded; @state: enum cutover_state. */
void tell_step(struct cutover *co, int state);
/* It ends in the middle. */
void tell_failed(struct cutover *co, const struct err *err);
/* What waits gets some seconds. Twice is allowed. */
void tell_close(struct cutover *co);

#endif
