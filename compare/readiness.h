/*
 * What a cutover's gates know from the target alone: the last verdict, the window of compare watch, dead letters, conflicts. Read-only:
 * the cutover refuses by it, reports show it.
 */
#ifndef COMPARE_READINESS_H
#define COMPARE_READINESS_H

#include "compare/compare.h"

#define READINESS_GATES 4

struct readiness_gate {
    const char *name; /* "dead_letters" */
    bool met;
    char measured[160], limit[80];
    char hint[240]; /* what to do; "" when it is met */
};

struct readiness {
    struct readiness_gate gates[READINESS_GATES];
    size_t count;
    bool ready; /* all are met: as far as these go, a cutover may begin */
};

struct session;
/* now: a comparison whose verdict is not recorded yet counts as the newest one; NULL = none. What cannot be read is not met, and the hint
 * says why. @thread the session's owner */
void readiness_read(const struct config *cfg, struct session *target, const struct compare_result *now,
                    struct readiness *ret);
/* On a session of its own. False: no connection. */
bool readiness_of(const struct config *cfg, struct readiness *ret, struct err *err) MUST_CHECK;
const struct readiness_gate *readiness_find(const struct readiness *readiness,
                                            const char *name); /* NULL: not asked for */

#endif
