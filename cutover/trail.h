/*
 * What a cutover leaves in the audit chain: the gates with their values, each step in the transaction that records it, the decision, and the error that
 * ends it. The last hash goes to the source as well (crossfade.audit_anchor), where nobody waits for it.
 */
#ifndef CUTOVER_TRAIL_H
#define CUTOVER_TRAIL_H

#include <jansson.h>

#include "audit/audit.h"

struct cutover;

struct trail {
    struct audit *audit; /* on the target's session; NULL = not opened */
    json_t *nonces;      /* of the approvals that it rests on; NULL = none */
    struct audit_mark mark;
};

/* The chain on the target's session as it is now; NULL with err. */
struct audit *trail_audit(struct cutover *co, struct err *err);
/* The target's session has gone, or another one has taken its place. */
void trail_forget(struct cutover *co);
/* A transaction of the target's session has ended: others may append. */
void trail_settled(struct cutover *co);
bool trail_gates(struct cutover *co, bool all_ok, struct err *err) MUST_CHECK;
/* Around the statement that records a state: begins a transaction of the target; appends the row of the step and commits both. After a failure the
 * session may be in a transaction that has failed. */
bool trail_begin(struct cutover *co, struct err *err) MUST_CHECK;
bool trail_step(struct cutover *co, int state, struct err *err) MUST_CHECK;
/* Behind trail_begin: whatever was under way in the chain is settled, and nobody else appends until the transaction ends. */
bool trail_hold(struct cutover *co, struct err *err) MUST_CHECK;
/* In place of trail_step, within the same: an earlier try has recorded it. */
bool trail_step_there(struct cutover *co, int state, struct err *err) MUST_CHECK;
/* As trail_step, for a cutover that is taken up again. */
bool trail_resumed(struct cutover *co, struct err *err) MUST_CHECK;
/* "user@host", as the rows of the chain say; malloc'd. */
char *trail_who(struct cutover *co);
/* What was made ready before the pause (report->prepared); nothing for "". */
bool trail_prepared(struct cutover *co, struct err *err) MUST_CHECK;
/* Why it ended before its time (err; NULL = it did not); what cannot be written any more is said. Then it is closed. */
void trail_close(struct cutover *co, const struct err *err);

#endif
