/*
 * When a level of a trigger fires, and when it is over: a state machine without clock, I/O or memory of its own. Times are wall clock, in
 * microseconds, so that a restarted watch goes on. Private to this module. @thread any
 */
#ifndef CUTOVER_WATCH_HYSTERESIS_H
#define CUTOVER_WATCH_HYSTERESIS_H

#include "config/trigger_rules.h"

enum trigger_phase { TRIGGER_QUIET = 0, TRIGGER_RISING, TRIGGER_FIRING };
enum trigger_event { TRIGGER_NOTHING = 0, TRIGGER_FIRED, TRIGGER_CLEARED };

struct trigger_state {
    enum trigger_phase phase;
    int64_t since_us; /* when the phase began; RISING: the first reading above */
    int64_t readings; /* RISING: in a row */
    int64_t known_us; /* when something was last measured; 0 = never */
};

/* A reading of `value` at now_us. A trigger that could not be measured takes no step: neither does it fire, nor is it over. Readings in a
 * row with a gap between them that is longer than `for` (and than a minute) begin anew: what was not seen did not hold. */
enum trigger_event trigger_step(const struct trigger_rule *rule, struct trigger_state *state, double value,
                                int64_t now_us);
const char *trigger_phase_name(enum trigger_phase phase); /* "firing" */
/* QUIET for a name that is none. */
enum trigger_phase trigger_phase_parse(const char *name);

#endif
