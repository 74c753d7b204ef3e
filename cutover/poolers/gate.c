/* Owns: the gate of poolers. */
#include <inttypes.h>

#include "cutover/gates.h"
#include "cutover/poolers/poolers.h"

bool gate_poolers(struct cutover *co, struct gate_result *gate)
{
    struct pooler_look look = POOLER_LOOK_INIT;
    struct err failed = ERR_INIT;
    int64_t budget_ms = config_int(co->cfg, "cutover.pause_budget_ms");
    if (poolers_count(co) == 0)
        return false;
    gate_limit(gate, "all can be paused and switched");
    bool looked = poolers_look(co, &look, &failed);
    gate_measured(gate, "%.159s", look.measured.data);
    if (!looked)
        (void)gate_unmeasured(gate, &failed);
    else if (look.wrong.len > 0)
        gate_refuse(gate, "%.239s", look.wrong.data);
    else if (look.wait_ms > 0 && look.wait_ms <= budget_ms)
        gate_refuse(gate,
                    "clients are thrown out after query_wait_timeout: raise it above cutover.pause_budget_ms "
                    "(%" PRId64 " ms), or lower that",
                    budget_ms);
    else if (look.untried.len > 0)
        gate_warn(
            gate,
            "an application's login on the target was NOT TRIED (%.300s): add login: to it in "
            "cutover.poolers, a URL with user and password of an application; or see to it that the "
            "target has the roles, passwords and pg_hba.conf lines that auth_file or auth_query rely on",
            look.untried.data);
    pooler_look_release(&look);
    return true;
}
