/* Owns the gate of the poolers. */
#include <stdio.h>

#include "cutover/poolers/poolers.h"
#include "gates.h"

#define TEXT_BYTES_MAX 65536

bool gate_poolers(struct cutover *co, struct gate_result *gate)
{
    struct strbuf found = STRBUF_INIT(TEXT_BYTES_MAX), hint = STRBUF_INIT(TEXT_BYTES_MAX);
    struct err failed = ERR_INIT;
    int64_t wait_ms = 0, timeout_ms = config_int(co->cfg, "cutover.pooler_timeout_ms");
    if (poolers_count(co) == 0)
        return false;
    gate_limit(gate, "all can be paused and switched");
    if (!poolers_look(co, &found, &hint, &wait_ms, &failed))
        gate_refuse(gate, "%.239s", failed.text);
    else if (hint.len > 0)
        gate_refuse(gate, "%.239s", hint.data);
    else if (wait_ms > 0 && wait_ms <= timeout_ms)
        gate_refuse(
            gate,
            "clients are thrown out after query_wait_timeout: raise it, or lower cutover.pooler_timeout_ms");
    gate_measured(gate, "%.159s", found.data);
    strbuf_release(&found);
    strbuf_release(&hint);
    return true;
}
