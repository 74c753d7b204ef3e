/* Whether a condition is to be told of: once when it has held long enough, once when it has not for long enough. Pure. */
#ifndef CONTROL_ALERT_STATE_H
#define CONTROL_ALERT_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: it does not hold, and nobody was told that it does. */
struct alert_state {
    bool holds, told;
    int64_t since_us; /* holds is so since then; mono */
    unsigned turns;   /* how often it began to hold since it was told last */
};

/* What is so now. True: tell it (state->told: that it holds, or that it is over); *ret_turns: how often it began since the last time. */
bool alert_state_step(struct alert_state *state, bool holds, int64_t now_us, int64_t raise_after_us,
                      int64_t clear_after_us, unsigned *ret_turns);

#endif
