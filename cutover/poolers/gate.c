/* Owns: the gate of poolers. */
#include <inttypes.h>

#include "cutover/gates.h"
#include "cutover/poolers/poolers.h"

bool gate_poolers(struct cutover *co, struct gate_result *gate)
{
    struct strbuf found = STRBUF_INIT(65536), hint = STRBUF_INIT(65536);
    struct err failed = ERR_INIT;
    int64_t wait_ms = 0, budget_ms = config_int(co->cfg, "cutover.pause_budget_ms");
    if (poolers_count(co) == 0)
        return false;
    gate_limit(gate, "all can be paused and switched");
    bool looked = poolers_look(co, &found, &hint, &wait_ms, &failed);
    gate_measured(gate, "%.159s", found.data);
    if (!looked)
        (void)gate_unmeasured(gate, &failed);
    else if (hint.len > 0)
        gate_refuse(gate, "%.239s", hint.data);
    else if (wait_ms > 0 && wait_ms <= budget_ms)
        gate_refuse(gate,
                    "clients are thrown out after query_wait_timeout: raise it above cutover.pause_budget_ms "
                    "(%" PRId64 " ms), or lower that",
                    budget_ms);
    strbuf_release(&found);
    strbuf_release(&hint);
    return true;
}
