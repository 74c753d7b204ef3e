/* Owns: what PostgreSQL says of a row that differs. See cause/target_look.h. */
#include "cause/target_look.h"

#include "core/attr.h"
#include "pg/conn.h"
#include "pg/origin.h"

#define VERSION_PARAMETER_PRIVILEGES 150000

/* A trigger fires for apply if it is enabled for replicas, or if apply's role (which owns its position) may not become one. */
#define TRIGGERS_SQL(may_be_replica)                                                                         \
    "SELECT DISTINCT g.tgname, (g.tgtype & 4) <> 0, (g.tgtype & 16) <> 0, (g.tgtype & 8) <> 0, "             \
    "(g.tgtype & 2) <> 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL "  \
    "(SELECT c.oid AS relid UNION SELECT t.relid::oid FROM pg_partition_tree(c.oid) t) p JOIN pg_trigger g " \
    "ON g.tgrelid = p.relid WHERE n.nspname = $1 AND c.relname = $2 AND NOT g.tgisinternal AND "             \
    "(g.tgenabled IN ('R', 'A') OR (g.tgenabled = 'O' AND NOT EXISTS (SELECT FROM pg_class o JOIN pg_roles " \
    "r ON r.oid = o.relowner WHERE o.oid = to_regclass('crossfade.position') AND (r.rolsuper" may_be_replica \
    ")))) ORDER BY 1"

static const char *triggers(const struct session *s)
{
    return session_version(s) >= VERSION_PARAMETER_PRIVILEGES
               ? TRIGGERS_SQL(" OR has_parameter_privilege(r.oid, 'session_replication_role', 'SET')")
               : TRIGGERS_SQL("");
}

static void compare_value(const struct plan_table *pt, const char *const *key,
                          const struct target_column *column, const char *value, struct strbuf *out)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX), name = STRBUF_INIT(1024);
    pg_quote_literal(&text, value);
    pg_quote_ident(&name, column->name);
    if (column->is_text)
        strbuf_addf(out, "SELECT t.%s = %s::text::%s, ", name.data, text.data, column->type);
    else
        strbuf_adds(out, "SELECT NULL, ");
    strbuf_addf(out, "t.%s::text = (%s::text::%s)::text FROM %s", name.data, text.data, column->type,
                pt->from[SIDE_TARGET]);
    cause_add_key(pt, SIDE_TARGET, key, pg_quote_literal, out);
    strbuf_addf(out, " LIMIT 1");
    out->failed = out->failed || text.failed || name.failed;
    strbuf_release(&text);
    strbuf_release(&name);
}

/* Times and origins are kept with track_commit_timestamp alone. Transactions below 3 are no real ones. */
#define TRACKED(xid)                                                                                         \
    "CASE WHEN current_setting('track_commit_timestamp') = 'on' AND " xid "::text::bigint > 2 THEN " xid     \
    " END"

/* Do all positions of the pipeline come of apply's origins, and since when have there been any? One whose making is too long ago to be
 * known was there before any row whose writing is known. */
#define APPLY_MARKS                                                                                          \
    " CROSS JOIN LATERAL (SELECT bool_and(starts_with(o.roname, m.own)) AS all_own FROM crossfade.position " \
    "p LEFT JOIN LATERAL pg_xact_commit_timestamp_origin(" TRACKED(                                          \
        "p.xmin") ") c ON true LEFT JOIN pg_replication_origin o ON o.roident = c.roident WHERE p.pipeline " \
                  "= m.pipeline) a CROSS JOIN LATERAL (SELECT CASE WHEN bool_and(c.at IS NOT NULL) THEN "    \
                  "min(c.at) ELSE '-infinity' END AS at FROM (SELECT pg_xact_commit_timestamp(" TRACKED(     \
                      "o.xmin") ") AS at FROM pg_replication_origin o WHERE starts_with(o.roname, m.own)) "  \
                                "c) s"

/* A change of the table's columns may have written all its rows anew. */
#define REWRITTEN                                                                                            \
    "EXISTS (SELECT FROM pg_attribute d WHERE d.attrelid = x.tab AND d.xmin = x.id) OR EXISTS (SELECT FROM " \
    "pg_class d WHERE d.oid = x.tab AND d.xmin = x.id)"

static void writer(const char *pipeline, const struct plan_table *pt, const char *const *key,
                   struct strbuf *out)
{
    strbuf_adds(out,
                "SELECT x.id, w.timestamp::text, o.roname, starts_with(o.roname, m.own), w.roident = 0 AND "
                "a.all_own AND w.timestamp > s.at AND NOT (" REWRITTEN ") FROM (SELECT t.xmin AS id, "
                "t.tableoid AS tab FROM ");
    strbuf_adds(out, pt->from[SIDE_TARGET]);
    cause_add_key(pt, SIDE_TARGET, key, pg_quote_literal, out);
    strbuf_adds(out, " LIMIT 1) x CROSS JOIN LATERAL (SELECT q.pipeline, '" PG_ORIGIN_PREFIX
                     "' || q.pipeline || ':' || d.oid || ':' AS own FROM pg_database d, (SELECT ");
    pg_quote_literal(out, pipeline);
    strbuf_adds(
        out,
        "::text AS pipeline) q WHERE d.datname = current_database()) m LEFT JOIN LATERAL "
        "pg_xact_commit_timestamp_origin(" TRACKED(
            "x.id") ") w ON true LEFT JOIN pg_replication_origin o ON o.roident = w.roident" APPLY_MARKS);
}

const struct cause_ops cause_postgres = {
    .conflicts = "SELECT id, state, kind, decision, commit_lsn, key::text FROM crossfade.conflict WHERE "
                 "pipeline = $1 AND schema_name = $2 AND table_name = $3 ORDER BY id DESC LIMIT 10000",
    .dead_letters = "SELECT id, stream, partition, record_offset, coalesce(sqlstate, '') FROM "
                    "crossfade.dead_letter WHERE pipeline = $1 AND schema_name = $2 AND table_name = $3 AND "
                    "state = 'held' ORDER BY id LIMIT 10000",
    .passed = "SELECT coalesce(fence_id, 0), lsn FROM crossfade.verdict WHERE pipeline = $1 AND verdict = "
              "'PASS' AND scope = 'full' AND lsn IS NOT NULL ORDER BY id DESC LIMIT 1",
    .direct_loads = "SELECT count(*) FROM crossfade.direct_load WHERE pipeline = $1",
    .columns =
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), b.typcategory = 'S' FROM pg_attribute a "
        "JOIN pg_type b ON b.oid = a.atttypid JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON "
        "n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT "
        "a.attisdropped",
    .triggers = triggers,
    .compare_value = compare_value,
    .writer = writer,
};
