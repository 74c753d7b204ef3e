/* Owns: what conflicts of all targets have in common (conflicts.h). */
#include "target/conflicts.h"

void conflict_add_decision(struct strbuf *sb, enum conflict_policy policy)
{
    switch (policy) {
    case CONFLICT_SOURCE_WINS:
        strbuf_adds(sb, "'source'");
        break;
    case CONFLICT_TARGET_WINS:
        strbuf_adds(sb, "'target'");
        break;
    case CONFLICT_NEWER_WINS:
        strbuf_adds(sb, "CASE WHEN q.tv IS NULL THEN 'source' WHEN q.sv IS NULL THEN 'target' WHEN q.tv > "
                        "q.sv THEN 'target' ELSE 'source' END");
        break;
    case CONFLICT_HALT:
    case CONFLICT_UNKNOWN:
        strbuf_adds(sb, "'halt'");
        break;
    }
}
