/* Owns: the rule of firing and clearing. See hysteresis.h. */
#include "hysteresis.h"

#include <string.h>

#define GAP_US INT64_C(60000000)

static const char *const phases[] = {"quiet", "rising", "firing"};

const char *trigger_phase_name(enum trigger_phase phase)
{
    return phases[phase];
}

enum trigger_phase trigger_phase_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (strcmp(phases[i], name) == 0)
            return (enum trigger_phase)i;
    }
    return TRIGGER_QUIET;
}

static void enter(struct trigger_state *state, enum trigger_phase phase, int64_t now_us)
{
    state->phase = phase;
    state->since_us = now_us;
    state->readings = 0;
}

static enum trigger_event rise(const struct trigger_rule *rule, struct trigger_state *state, bool gap,
                               int64_t now_us)
{
    if (state->phase == TRIGGER_QUIET || gap || now_us < state->since_us) /* … or the clock was set back */
        enter(state, TRIGGER_RISING, now_us);
    state->readings++;
    if (state->readings < rule->readings || now_us - state->since_us < rule->for_us)
        return TRIGGER_NOTHING;
    enter(state, TRIGGER_FIRING, now_us);
    return TRIGGER_FIRED;
}

enum trigger_event trigger_step(const struct trigger_rule *rule, struct trigger_state *state, double value,
                                int64_t now_us)
{
    bool gap = now_us - state->known_us > MAX_OF(rule->for_us, GAP_US);
    state->known_us = now_us;
    if (state->phase == TRIGGER_FIRING) {
        if (value > rule->clear_below)
            return TRIGGER_NOTHING;
        enter(state, TRIGGER_QUIET, now_us);
        return TRIGGER_CLEARED;
    }
    if (value > rule->above)
        return rise(rule, state, gap, now_us);
    if (state->phase == TRIGGER_RISING)
        enter(state, TRIGGER_QUIET, now_us);
    return TRIGGER_NOTHING;
}
