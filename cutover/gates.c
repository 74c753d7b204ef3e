/*
 * Owns the table of the gates and the course of asking them: everything that must hold before a cutover changes anything. Each has a
 * measured value, a limit and advice. All are asked, so that a person sees the whole list at once; but those that take time only if
 * the rest holds.
 */
#include "gates.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover/approval/approval.h"
#include "cutover/approval/gate.h"
#include "estimate.h"
#include "from_maria/from_maria.h"
#include "reads.h"

/* A person is asked, and approvals are spent, once in a cutover: gates that are asked again after a wait leave them out. */
static bool gate_confirmed(struct cutover *co, struct gate_result *gate)
{
    if (co->state != CUT_UNKNOWN || co->talk->confirm == NULL ||
        !approval_is_wanted(co->cfg, APPROVAL_CONFIRM))
        return false;
    confirm_gate(co, gate);
    return true;
}

static bool gate_approvals(struct cutover *co, struct gate_result *gate)
{
    if (co->state != CUT_UNKNOWN || !approval_is_on(co->cfg))
        return false;
    approvals_gate(co, gate);
    return true;
}

static const struct gate {
    const char *name; /* stable */
    gate_fn *measure;
    bool if_rest_holds;
    gate_fn *on_maria;         /* where the target is MariaDB; NULL = the same */
    const char *none_on_maria; /* why it is not asked there, which is told */
} table[] = {
    {"confirmed", gate_confirmed, false, NULL, NULL},
    {"rollback_window", gate_rollback_window, false, NULL, NULL},
    {"other_direction", gate_other_direction, false, NULL, NULL},
    {"target", gate_target, false, NULL, NULL},
    {"capture_alive", gate_capture_alive, false, NULL, NULL},
    {"apply_alive", gate_apply_alive, false, NULL, NULL},
    {"slot", gate_slot, false, NULL, NULL},
    {"complete", gate_complete, false, NULL, NULL},
    {"dead_letters", gate_readiness, false, NULL, NULL},
    {"conflicts", gate_readiness, false, NULL, NULL},
    {"publication", gate_publication, false, NULL, NULL},
    {"replica_identity", gate_identity, false, NULL, NULL},
    {"subscriptions", gate_subscriptions, false, NULL, NULL},
    {"schema", gate_schema, false, maria_gate_schema, NULL},
    {"sequences", gate_sequences, false, maria_gate_counters, NULL},
    {"large_objects", gate_large_objects, false, NULL, NULL},
    {"unlogged_tables", gate_unlogged, false, NULL, NULL},
    {"grants", gate_grants, false, NULL, "roles and their rights are the servers' own: GRANT is yours"},
    {"materialized_views", gate_views, false, NULL, "MariaDB has none: what reads them is yours"},
    {"statistics", gate_statistics, false, maria_gate_statistics, NULL},
    {"caches", gate_warm, false, NULL, NULL},
    {"indexes", gate_indexes, false, NULL, "MariaDB has none that are not valid; gate schema looks for them"},
    {"constraints", gate_constraints, false, NULL, "MariaDB has none that are not proven"},
    {"prepared_transactions", gate_prepared, false, NULL, NULL},
    {"old_transactions", gate_transactions, false, NULL, NULL},
    {"privileges", gate_privileges, false, NULL, NULL},
    {"poolers", gate_poolers, false, maria_gate_poolers, NULL},
    {"read_steps", gate_reads, false, NULL, NULL},
    {"verdict", gate_readiness, false, NULL, NULL},
    {"clean_window", gate_readiness, false, NULL, NULL},
    {"no_ddl", gate_no_ddl, false, NULL, NULL},
    {"shadow_queries", gate_shadow, false, NULL, NULL},
    {"shadow_latency", gate_shadow_latency, false, NULL, NULL},
    {"reverse_path", gate_reverse_path, false, NULL, NULL},
    {"approvals", gate_approvals, false, NULL, NULL},
    {"lag", gate_lag, true, NULL, NULL},               /* waits, and a dead role would cost its whole limit */
    {"rogue_writers", gate_writers, true, NULL, NULL}, /* has looked while lag was measured */
    {"estimated_pause", gate_pause, true, NULL, NULL},
};

_Static_assert(ARRAY_LEN(table) <= CUTOVER_GATES_MAX, "room for every gate");

void gate_measured(struct gate_result *gate, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(gate->measured, sizeof gate->measured, fmt, ap);
    va_end(ap);
}

void gate_limit(struct gate_result *gate, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(gate->limit, sizeof gate->limit, fmt, ap);
    va_end(ap);
}

void gate_refuse(struct gate_result *gate, const char *hint, ...)
{
    va_list ap;
    va_start(ap, hint);
    (void)vsnprintf(gate->hint, sizeof gate->hint, hint, ap);
    va_end(ap);
    gate->verdict = GATE_REFUSED;
}

void gate_warn(struct gate_result *gate, const char *hint, ...)
{
    va_list ap;
    va_start(ap, hint);
    (void)vsnprintf(gate->hint, sizeof gate->hint, hint, ap);
    va_end(ap);
    gate->verdict = GATE_OK;
}

/* How many statements fit, and where the last of them ends. */
static size_t fitting(const char *text, size_t room, size_t *ret_len)
{
    size_t n = 0;
    *ret_len = 0;
    for (const char *end = strchr(text, '\n'); end != NULL && (size_t)(end - text) <= room;
         end = strchr(end + 1, '\n')) {
        *ret_len = (size_t)(end - text);
        n++;
    }
    return n;
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

void gate_refuse_with(struct gate_result *gate, const char *where, struct strbuf *statements)
{
    char first[sizeof gate->hint];
    size_t len, all = lines(statements->data), shown = fitting(statements->data, 600, &len);
    if (shown == 0) { /* one that is longer than the room */
        shown = 1;
        len = MIN_OF(600, strcspn(statements->data, "\n"));
    }
    (void)snprintf(first, sizeof first, "%.*s", (int)len, statements->data);
    for (char *p = first; *p != '\0'; p++)
        *p = *p == '\n' ? ' ' : *p;
    if (all > shown)
        gate_refuse(gate,
                    "%s: %s … and %zu more statements: all of them are in `crossfade cutover plan --json`",
                    where, first, all - shown);
    else
        gate_refuse(gate, "%s: %s", where, first);
    free(gate->statements);
    gate->statements = strbuf_detach(statements);
}

void cutover_report_release(struct cutover_report *report)
{
    for (size_t i = 0; i < report->gate_count; i++)
        free_ptr(&report->gates[i].statements);
    report->gate_count = 0;
}

bool gate_unmeasured(struct gate_result *gate, const struct err *failed)
{
    gate_measured(gate, "unknown");
    gate_refuse(gate, "%.200s", failed->text);
    return true;
}

bool gate_counts(struct pg_conn *conn, const char *sql, const char *param, struct gate_result *gate,
                 int64_t most, const char *what, const char *hint)
{
    PG_RESULT_AUTO res = NULL;
    struct err failed = ERR_INIT;
    if (!pg_query(conn, sql, 1, &param, &res, &failed))
        return gate_unmeasured(gate, &failed);
    int64_t count = pg_cell_int64(res, 0, 0);
    gate_measured(gate, "%" PRId64 " %s", count, what);
    if (count > most)
        gate_refuse(gate, "%s: %.*s", hint, (int)(sizeof gate->hint - strlen(hint) - 3), pg_cell(res, 0, 1));
    return true;
}

static bool all_ok(const struct cutover_report *report)
{
    for (size_t i = 0; i < report->gate_count; i++) {
        if (report->gates[i].verdict != GATE_OK)
            return false;
    }
    return true;
}

/* In a rollback from MariaDB: another question, or none. */
static bool measure_back(struct cutover *co, const struct gate *row, struct gate_result *gate)
{
    const char *none = NULL;
    gate_fn *other = from_maria_gate(row->name, &none);
    if (none == NULL)
        return (other != NULL ? other : row->measure)(co, gate);
    gate_measured(gate, "does not apply: %s", none);
    gate_limit(gate, "MariaDB source");
    return true;
}

static bool measure(struct cutover *co, const struct gate *row, struct gate_result *gate)
{
    if (co->from_maria != NULL)
        return measure_back(co, row, gate);
    if (co->maria == NULL)
        return row->measure(co, gate);
    if (row->none_on_maria == NULL)
        return (row->on_maria != NULL ? row->on_maria : row->measure)(co, gate);
    gate_measured(gate, "does not apply: %s", row->none_on_maria);
    gate_limit(gate, "MariaDB target");
    return true;
}

static void ask(struct cutover *co, const struct gate *row)
{
    struct gate_result *gate = &co->report->gates[co->report->gate_count];
    *gate = (struct gate_result){.name = row->name, .verdict = GATE_OK};
    co->report->gate_count += measure(co, row, gate);
    gate_turn_hint(co, gate);
}

bool gates_run(struct cutover *co, bool *ret_all_ok, struct err *err)
{
    struct readiness readiness;
    if (!approval_plan_hash(co, co->report->plan_hash, err))
        return false;
    if (!readiness_of(co->cfg, &readiness, err))
        return false;
    co->readiness = &readiness;
    cutover_report_release(co->report);
    co->report->estimate_count = 0;
    co->writers.looks = 0;
    co->writers.most = 0;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!table[i].if_rest_holds)
            ask(co, &table[i]);
    }
    bool rest_holds = all_ok(co->report);
    /* The journal is walked for what changed since the last PASS, so that the pause pays only for the last fences. */
    if (rest_holds && !verify_prepare(co, err))
        return false;
    for (size_t i = 0; rest_holds && i < ARRAY_LEN(table); i++) {
        if (table[i].if_rest_holds)
            ask(co, &table[i]);
    }
    co->readiness = NULL;
    *ret_all_ok = all_ok(co->report);
    /* gate_pause has made them; else they are told all the same. */
    return co->report->estimate_count > 0 || estimate_make(co, err);
}
