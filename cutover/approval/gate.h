/* The gates "confirmed" and "approvals" of a cutover. Each fills what was measured, the limit, and why it refuses. @thread owner */
#ifndef CUTOVER_APPROVAL_GATE_H
#define CUTOVER_APPROVAL_GATE_H

#include "cutover/cutover.h"

struct cutover;

/* Keeps in co->trail what the cutover will rest on. report->plan_hash must be there. */
void approvals_gate(struct cutover *co, struct gate_result *gate);
/* Asks whoever runs it (talk->confirm, which must not be NULL). */
void confirm_gate(struct cutover *co, struct gate_result *gate);

#endif
