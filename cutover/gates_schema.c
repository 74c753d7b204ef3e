/* Owns the gates of definitions: that the target has what the source has, all of it usable, and that nobody has altered anything since it was compared. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "gates.h"
#include "schema/parity.h"

char *gate_schemas(const struct cutover *co)
{
    struct strbuf list = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t n = 0;
    for (size_t i = 0; i < co->table_count; i++) {
        if (i == 0 || strcmp(co->tables[i].schema, co->tables[i - 1].schema) != 0)
            pg_array_text(&list, n++, co->tables[i].schema);
    }
    pg_array_end(&list, n);
    return strbuf_detach(&list);
}

static void tell_differences(const struct schema_parity *parity, struct gate_result *gate)
{
    const struct parity_difference *d = schema_parity_difference(parity, 0);
    size_t more = schema_parity_differences(parity) - 1;
    if (more > 0)
        gate_refuse(
            gate,
            "`crossfade schema compare` lists all, cutover.schema_ignore allows some: %s %.60s: %.80s; …",
            d->kind, d->name, d->why);
    else
        gate_refuse(gate, "mend it on the target, or name it in cutover.schema_ignore: %s %.60s: %.90s",
                    d->kind, d->name, d->why);
}

bool gate_schema(struct cutover *co, struct gate_result *gate)
{
    struct schema_parity *parity = NULL;
    struct err failed = ERR_INIT;
    if (config_is_reversed(co->cfg)) /* the old source served with what it has */
        return false;
    gate_limit(gate, "the target has what the source has");
    if (!schema_parity_read(co->cfg, co->source, co->target, &parity, &failed))
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%zu of %zu objects differ, %zu are allowed to", schema_parity_differences(parity),
                  schema_parity_objects(parity), schema_parity_ignored(parity));
    if (schema_parity_differences(parity) > 0)
        tell_differences(parity, gate);
    schema_parity_free(parity);
    return true;
}

/* What the last PASS of all tables has noted, the one that the final comparison builds on (verify.c): NULL = nothing. */
static bool noted_schema(struct cutover *co, char **ret, struct err *err)
{
    const char *params[] = {co->pipeline};
    return store_text(co, STORE_NOTED_SCHEMA, 1, params, ret, err);
}

/* Rows that an ALTER has rewritten, and what a new definition lets through, no comparison has seen. */
bool gate_no_ddl(struct cutover *co, struct gate_result *gate)
{
    char *noted CLEANUP(free_ptr) = NULL, *now CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    if (config_is_reversed(co->cfg)) /* its first PASS is the switch itself */
        return false;
    gate_limit(gate, "the schema of the last full PASS");
    if (!noted_schema(co, &noted, &failed) || !schema_fingerprint(co->cfg, co->source, &now, &failed))
        return gate_unmeasured(gate, &failed);
    if (noted == NULL) {
        gate_measured(gate, "%.16s, none was noted", now);
        gate_refuse(gate, "compare all tables: `crossfade compare run`");
    } else if (strcmp(noted, now) != 0) {
        gate_measured(gate, "%.16s, at the last PASS %.16s", now, noted);
        gate_refuse(gate,
                    "definitions on the source were altered since: compare again, `crossfade compare run`");
    } else {
        gate_measured(gate, "%.16s, as at the last PASS", now);
    }
    return true;
}

/* Names of what is not proven on the source, which the target may have as it is. */
static bool unproven_on_source(struct cutover *co, const char *schemas, char **ret, struct err *err)
{
    return pg_query_text(
        co->source,
        "SELECT coalesce(array_agg(pg_catalog.format('%I.%I %I', n.nspname, c.relname, k.conname)), "
        "'{}')::text FROM"
        " pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN "
        "pg_catalog.pg_namespace n"
        " ON n.oid = c.relnamespace WHERE NOT k.convalidated AND n.nspname = ANY ($1::text[])",
        1, &schemas, ret, err);
}

/* What was put off until after the copy, and never made good. */
bool gate_constraints(struct cutover *co, struct gate_result *gate)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co), *known CLEANUP(free_ptr) = NULL;
    struct err failed = ERR_INIT;
    PG_RESULT_AUTO res = NULL;
    if (config_is_reversed(co->cfg))
        return false;
    gate_limit(gate, "all proven that are on the source");
    if (!unproven_on_source(co, schemas, &known, &failed))
        return gate_unmeasured(gate, &failed);
    const char *params[] = {schemas, known};
    if (!pg_query(co->target,
                  "SELECT count(*), string_agg(f.name, ', ') FROM (SELECT pg_catalog.format('%I.%I %I', "
                  "cn.nspname, kc.relname, k.conname) AS name"
                  " FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class kc ON kc.oid = k.conrelid JOIN "
                  "pg_catalog.pg_namespace cn"
                  " ON cn.oid = kc.relnamespace WHERE NOT k.convalidated AND k.conrelid IN " GATE_OUR_TABLES
                  ") f WHERE f.name <> ALL ($2::text[])",
                  2, params, &res, &failed))
        return gate_unmeasured(gate, &failed);
    gate_measured(gate, "%s not proven", pg_cell(res, 0, 0));
    if (pg_cell_int64(res, 0, 0) > 0)
        gate_refuse(gate, "on the target: ALTER TABLE … VALIDATE CONSTRAINT …: %.170s", pg_cell(res, 0, 1));
    return true;
}

bool gate_indexes(struct cutover *co, struct gate_result *gate)
{
    char *schemas CLEANUP(free_ptr) = gate_schemas(co);
    if (config_is_reversed(co->cfg))
        return false;
    gate_limit(gate, "all valid");
    return gate_counts(
        co->target,
        "SELECT count(*), string_agg(i.indexrelid::regclass::text, ', ') FROM pg_catalog.pg_index i"
        " WHERE NOT (i.indisvalid AND i.indisready) AND i.indrelid IN " GATE_OUR_TABLES,
        schemas, gate, 0, "not valid", "on the target: REINDEX INDEX …");
}
