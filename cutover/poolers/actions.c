/* Owns: the order of poolers and hooks within a step. Clients wait from the pause to the switch: hooks that fit elsewhere stand outside. */
#include "cutover/poolers/actions.h"

#include "cutover/poolers/hooks.h"
#include "cutover/poolers/poolers.h"
#include "cutover/reads.h"

bool act_pause(struct cutover *co, struct err *err)
{
    return hooks_run(co, "on_freeze", err) && poolers_pause(co, err);
}

bool act_hold(struct cutover *co, struct err *err)
{
    return hooks_run(co, "on_verified", err) && poolers_pause(co, err);
}

/* What a cutover has put into the files is taken out again by its rollback. */
static bool lead_poolers(struct cutover *co, struct err *err)
{
    return config_is_reversed(co->cfg) ? poolers_switch_back(co, err) : poolers_switch(co, err);
}

bool act_switch(struct cutover *co, struct err *err)
{
    if (!back_open_target(co, err) || !lead_poolers(co, err) || !reads_all(co, err) ||
        !hooks_run(co, "on_switch", err))
        return false;
    back_clean_target(co);
    hooks_report(co, "on_done");
    return true;
}

bool act_unpause(struct cutover *co, struct err *err)
{
    struct err reads = ERR_INIT;
    bool ok = poolers_resume(co, err);
    if (!reads_back(co, &reads) && ok) {
        *err = reads;
        ok = false;
    }
    hooks_report(co, "on_abort");
    return ok;
}
