/* See alert_state.h. */
#include "control/alert_state.h"

bool alert_state_step(struct alert_state *state, bool holds, int64_t now_us, int64_t raise_after_us,
                      int64_t clear_after_us, unsigned *ret_turns)
{
    if (holds != state->holds) {
        state->holds = holds;
        state->since_us = now_us;
        state->turns += holds;
    }
    if (holds == state->told || now_us - state->since_us < (holds ? raise_after_us : clear_after_us))
        return false;
    state->told = holds;
    *ret_turns = state->turns;
    state->turns = 0;
    return true;
}
