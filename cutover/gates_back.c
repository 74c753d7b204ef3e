/* Owns the gates of the other direction: that there is a way back, and, in a rollback, that one is still allowed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "back.h"
#include "core/alloc.h"
#include "gates.h"

#define NO_WAY "there will be NO WAY BACK"

/* Asked of the side that apply writes to. $1: the pipeline that leads away from it, $2: the one that leads there. Apply has to write to every table, and past the triggers that close them, which only sessions in replica role do. */
static const char apply_may_sql[] =
    "SELECT count(*), coalesce(string_agg(DISTINCT x.lacks, ' '), '') FROM (SELECT a.usename, r.rolsuper FROM"
    " pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid WHERE a.datname = "
    "current_database()"
    " AND a.application_name = 'crossfade apply ' || $2 LIMIT 1) s, LATERAL ("
    " SELECT pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %I TO "
    "%I;',"
    "  p.schemaname, s.usename) AS lacks FROM pg_catalog.pg_publication_tables p"
    "  JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname"
    "  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
    "  WHERE p.pubname = 'crossfade_' || $1 AND p.schemaname <> 'crossfade'"
    "  AND NOT (SELECT bool_and(pg_catalog.has_table_privilege(s.usename, c.oid, v))"
    "   FROM pg_catalog.unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) v)"
    " UNION ALL SELECT ";
static const char replica_15_sql[] =
    "pg_catalog.format('GRANT SET ON PARAMETER session_replication_role TO %I;', s.usename) WHERE NOT "
    "s.rolsuper AND NOT"
    " pg_catalog.has_parameter_privilege(s.usename, 'session_replication_role', 'SET')) x";
static const char replica_14_sql[] = "pg_catalog.format('role %I has to be a superuser there (PostgreSQL 14 "
                                     "cannot grant session_replication_role)',"
                                     " s.usename) WHERE NOT s.rolsuper) x";

static bool apply_may_write(struct cutover *co, struct back *back, struct gate_result *gate, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {co->pipeline, back->view.pipeline};
    strbuf_adds(&sql, apply_may_sql);
    strbuf_adds(&sql, pg_server_version(back->view.target) >= 150000 ? replica_15_sql : replica_14_sql);
    bool ok =
        strbuf_ok(&sql, "statement", err) && pg_query(back->view.target, sql.data, 2, params, &res, err);
    strbuf_release(&sql);
    if (ok && pg_cell_int64(res, 0, 0) > 0)
        gate_refuse(gate, "on the source: %.200s", pg_cell(res, 0, 1));
    return ok;
}

/* A table that only one of the two publishes would not come back. */
static bool all_come_back(struct cutover *co, struct back *back, struct gate_result *gate, struct err *err)
{
    char *missing CLEANUP(free_ptr) = NULL;
    struct strbuf list = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < co->table_count; i++) {
        char *name CLEANUP(free_ptr) = xasprintf("%s.%s", co->tables[i].schema, co->tables[i].table);
        pg_array_text(&list, i, name);
    }
    pg_array_end(&list, co->table_count);
    const char *params[] = {back->view.pipeline, list.data};
    bool ok =
        strbuf_ok(&list, "tables", err) &&
        pg_query_text(
            back->view.source,
            "SELECT string_agg(n, ', ') FROM pg_catalog.unnest($2::text[]) n WHERE n NOT IN"
            " (SELECT schemaname || '.' || tablename FROM pg_catalog.pg_publication_tables WHERE pubname = "
            "'crossfade_' || $1)",
            2, params, &missing, err);
    strbuf_release(&list);
    if (ok && missing != NULL)
        gate_refuse(gate,
                    "it does not capture %.100s: on the target, ALTER PUBLICATION crossfade_%s ADD TABLE …",
                    missing, back->view.pipeline);
    return ok;
}

/* Else what comes back goes there again, and an older row over a newer one. */
static bool goes_in_circles(const struct cutover *co, const struct back *back, struct gate_result *gate)
{
    const struct config *forward = config_is_reversed(co->cfg) ? back->cfg : co->cfg;
    if (strcmp(config_text(forward, "capture.origin"), "any") != 0)
        return false;
    gate_refuse(gate, "capture.origin: any would send what comes back there again: set capture.origin: "
                      "not_crossfade, and start capture anew");
    return true;
}

static const char *roles_of(const struct back *back)
{
    return config_is_reversed(back->cfg) ? "`crossfade --reverse capture` and `crossfade --reverse apply`"
                                         : "the cutover's own capture and apply";
}

static void measure_path(struct cutover *co, struct back *back, struct gate_result *gate)
{
    struct err failed = ERR_INIT;
    int64_t took_us = 0;
    if (goes_in_circles(co, back, gate))
        return;
    if (!back_trip(back, config_int(co->cfg, "cutover.max_lag_ms"), &took_us, &failed)) {
        gate_measured(gate, "a marker from the target did not come to the source");
        gate_refuse(gate, "%.130s. Do %s run?", failed.text, roles_of(back));
        return;
    }
    gate_measured(gate, "a marker from the target came to the source in %.1f ms", (double)took_us / 1000.0);
    if (co->maria != NULL)
        from_maria_ask_metadata(co->maria, gate);
    if (co->maria != NULL || co->from_maria != NULL)
        return;
    if (!all_come_back(co, back, gate, &failed) ||
        (gate->verdict == GATE_OK && !apply_may_write(co, back, gate, &failed)))
        (void)gate_unmeasured(gate, &failed);
}

static void no_way(const struct cutover *co, struct gate_result *gate, const char *hint)
{
    gate_measured(gate, "%s", config_is_reversed(co->cfg) ? "no way there again without a new copy" : NO_WAY);
    if (strcmp(config_text(co->cfg, "cutover.reverse"), "required") == 0 && !config_is_reversed(co->cfg))
        gate_refuse(gate, "%.200s", hint);
    else
        gate_warn(gate, "%.230s", hint);
}

void commands_turn(const struct cutover *co, const char *from, char *ret, size_t size)
{
    static const char said[] = "`crossfade ", cutover[] = "cutover";
    size_t used = 0;
    if (!config_is_reversed(co->cfg)) {
        (void)snprintf(ret, size, "%s", from);
        return;
    }
    for (const char *rest = from; *rest != '\0' && used + 1 < size;) {
        const char *next = strstr(rest, said);
        size_t plain = next != NULL ? (size_t)(next - rest) : strlen(rest);
        const char *word = next != NULL ? next + sizeof said - 1 : "";
        bool ours = strncmp(word, cutover, sizeof cutover - 1) == 0;
        bool turned = strncmp(word, "--reverse", 9) == 0 || strncmp(word, "rollback", 8) == 0;
        int n = snprintf(ret + used, size - used, "%.*s%s%s", (int)plain, rest, next != NULL ? said : "",
                         next == NULL || turned ? ""
                         : ours                 ? "rollback"
                                                : "--reverse ");
        used = MIN_OF(used + (size_t)n, size - 1);
        rest = next != NULL ? word + (ours ? sizeof cutover - 1 : 0) : rest + plain;
    }
    ret[used] = '\0';
}

void gate_turn_hint(const struct cutover *co, struct gate_result *gate)
{
    char from[sizeof gate->hint];
    memcpy(from, gate->hint, sizeof from);
    commands_turn(co, from, gate->hint, sizeof gate->hint);
}

bool gate_reverse_path(struct cutover *co, struct gate_result *gate)
{
    struct back back;
    struct err failed = ERR_INIT;
    bool set_up = false;
    if (strcmp(config_text(co->cfg, "cutover.reverse"), "off") == 0)
        return false;
    gate_limit(gate, "%s", config_text(co->cfg, "cutover.reverse"));
    if (!back_of(co, &back, &failed)) {
        no_way(co, gate, failed.text);
        return true;
    }
    if (!back_is_set_up(&back, &set_up, &failed))
        (void)gate_unmeasured(gate, &failed);
    else if (set_up)
        measure_path(co, &back, gate);
    else
        no_way(
            co, gate,
            config_is_reversed(co->cfg)
                ? "the cutover's own capture has lost its slot"
                : "start `crossfade --reverse capture` and `crossfade --reverse apply`, or say that none is "
                  "wanted (cutover.reverse: off)");
    /* A rollback is for when things are broken. */
    if (gate->verdict != GATE_OK && config_is_reversed(co->cfg)) {
        char hint[sizeof gate->hint];
        memcpy(hint, gate->hint, sizeof hint);
        gate_warn(gate, "%.230s", hint);
    }
    back_release(&back);
    return true;
}

/* In a rollback: the switch that is to be taken back. */
static const char window_sql[] = "SELECT state, coalesce(extract(epoch FROM clock_timestamp() - "
                                 "changed_at)::bigint, 0) FROM crossfade.decision WHERE "
                                 "pipeline = $1";

bool gate_rollback_window(struct cutover *co, struct gate_result *gate)
{
    struct back back;
    struct err failed = ERR_INIT;
    PG_RESULT_AUTO res = NULL;
    int64_t window_s = config_int(co->cfg, "cutover.rollback_window");
    if (!config_is_reversed(co->cfg))
        return false;
    gate_limit(gate, "switched, at most %" PRId64 " h ago", window_s / 3600);
    if (!back_of(co, &back, &failed))
        return gate_unmeasured(gate, &failed);
    const char *params[] = {back.view.pipeline};
    bool there = false;
    bool ok = pg_query_bool(co->target, "SELECT pg_catalog.to_regclass('crossfade.decision') IS NOT NULL", 0,
                            NULL, &there, &failed) &&
              (!there || pg_query(co->target, window_sql, 1, params, &res, &failed));
    back_release(&back);
    if (!ok)
        return gate_unmeasured(gate, &failed);
    bool switched = there && pg_rows(res) > 0 && strcmp(pg_cell(res, 0, 0), "switched") == 0;
    int64_t age_s = switched ? pg_cell_int64(res, 0, 1) : 0;
    if (switched)
        gate_measured(gate, "switched %" PRId64 " min ago", age_s / 60);
    else
        gate_measured(gate, "the cutover's decision is '%.16s'",
                      there && pg_rows(res) > 0 ? pg_cell(res, 0, 0) : "none");
    if (!switched)
        gate_refuse(gate, "there is no cutover to be taken back");
    else if (age_s > window_s)
        gate_refuse(gate, "the window has closed (cutover.rollback_window)");
    return true;
}

/* One that stands between its decision and its end has poolers and hooks before it. */
bool gate_other_direction(struct cutover *co, struct gate_result *gate)
{
    struct back back;
    struct err failed = ERR_INIT;
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    if (!back_of(co, &back, &failed))
        return false;
    const char *params[] = {back.view.pipeline};
    gate_limit(gate, "ended");
    bool ok = pg_query_bool(co->source, "SELECT pg_catalog.to_regclass('crossfade.cutover') IS NOT NULL", 0,
                            NULL, &there, &failed) &&
              (!there || pg_query(co->source,
                                  "SELECT cutover_id, state FROM crossfade.cutover WHERE pipeline = $1"
                                  " ORDER BY at DESC, seq DESC LIMIT 1",
                                  1, params, &res, &failed));
    back_release(&back);
    if (!ok)
        return gate_unmeasured(gate, &failed);
    if (!there || pg_rows(res) == 0)
        return false;
    const char *state = pg_cell(res, 0, 1);
    gate_measured(gate, "%s %s", pg_cell(res, 0, 0), state);
    if (strcmp(state, "done") != 0 && strcmp(state, "aborted") != 0)
        gate_refuse(gate, "bring it to its end first: crossfade %s resume",
                    config_is_reversed(co->cfg) ? "cutover" : "rollback");
    return true;
}
