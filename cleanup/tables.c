/* Owns the list of control tables with a pipeline's rows: those of schemas/sql. In the order in which rows are removed: position last, its shards
 * say which locks of apply there are. A test holds it against schemas/sql. */
#include "cleanup_internal.h"
#include "core/attr.h"

const struct control_table control_tables[] = {
    {.name = "marker", .on_source = true},
    {.name = "audit_anchor", .on_source = true},
    {.name = "decision", .on_source = true},
    {.name = "release", .on_target = true},
    {.name = "direct_letter", .on_target = true},
    {.name = "direct_chunk", .on_target = true},
    {.name = "direct_table", .on_target = true},
    {.name = "direct_load", .on_target = true},
    {.name = "dead_letter", .on_target = true},
    {.name = "conflict", .on_target = true},
    {.name = "applied",
     .mine = "dual_write IN (SELECT id FROM @dual_write WHERE pipeline = $1)",
     .on_target = true},
    {.name = "dual_write", .on_target = true},
    {.name = "compared", .on_target = true},
    {.name = "comparison", .on_target = true},
    {.name = "verdict", .on_target = true},
    {.name = "shard_home", .on_target = true},
    {.name = "schema_step", .on_target = true},
    {.name = "loaded", .on_target = true},
    {.name = "connection_seen", .on_target = true},
    {.name = "tombstone", .on_target = true},
    {.name = "cutover_watch", .on_target = true},
    {.name = "cutover", .on_target = true},
    {.name = "position", .on_target = true},
};
const size_t control_table_count = ARRAY_LEN(control_tables);
