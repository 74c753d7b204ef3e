/* Owns the gates of what no stream of changes has in it, and nobody takes over: large objects, unlogged tables. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/gates.h"
#include "prepare.h"

static bool ignored(const struct cutover *co, const char *key)
{
    return strcmp(config_text(co->cfg, key), "ignore") == 0;
}

bool gate_large_objects(struct cutover *co, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    int64_t count;
    if (!pg_query_int64(co->source, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata", 0, NULL,
                        &count, &failed))
        return gate_unmeasured(gate, &failed);
    bool ignore = ignored(co, "cutover.large_objects");
    gate_limit(gate, ignore ? "left behind (cutover.large_objects: ignore)" : "none");
    gate_measured(gate, "%" PRId64 " on the source", count);
    if (count > 0 && !ignore)
        gate_refuse(
            gate,
            "logical decoding has no large objects: none of them, and no later change to one, is on the "
            "target. "
            "Move their contents into bytea columns, or take them over yourself while nothing writes them "
            "(pg_dump --large-objects; the same OIDs), or remove those that nothing refers to (vacuumlo); "
            "then set cutover.large_objects: ignore");
    return true;
}

bool gate_unlogged(struct cutover *co, struct gate_result *gate)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    bool ignore = ignored(co, "cutover.unlogged_tables");
    gate_limit(gate, ignore ? "left behind (cutover.unlogged_tables: ignore)" : "none with rows");
    return gate_counts(
        co->source,
        "SELECT count(*), string_agg(pg_catalog.format('%I.%I (%s)', n.nspname, c.relname, CASE WHEN "
        "c.reltuples < 0"
        " THEN pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size(c.oid)) ELSE 'about ' || "
        "c.reltuples::bigint || ' rows' END), ', ' ORDER BY c.reltuples DESC)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE"
        " c.relkind = 'r' AND c.relpersistence = 'u' AND n.nspname = ANY ($1::text[])"
        " AND pg_catalog.pg_relation_size(c.oid) > 0",
        schemas, gate, ignore ? INT64_MAX : 0, "unlogged tables with rows on the source",
        "no change of theirs is in the stream, and they stay empty on the target: ALTER TABLE … SET LOGGED "
        "and copy them "
        "(crossfade capture add-table), empty them, or set cutover.unlogged_tables: ignore");
}
