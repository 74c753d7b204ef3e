/*
 * The gates: what must hold before a cutover changes anything. Each is a row of a table (gates.c): a name and a function that
 * measures. To add one: write the function, add the row. Private to this module. @thread owner
 */
#ifndef CUTOVER_GATES_H
#define CUTOVER_GATES_H

#include "compare/readiness.h"
#include "cutover_internal.h"

/* Fills measured, limit, and, through gate_refuse(), what to do. False: it was not asked for, and is left out. What cannot be
 * measured is refused. */
typedef bool gate_fn(struct cutover *co, struct gate_result *gate);

void gate_measured(struct gate_result *gate, const char *fmt, ...) PRINTF_LIKE(2, 3);
void gate_limit(struct gate_result *gate, const char *fmt, ...) PRINTF_LIKE(2, 3);
void gate_refuse(struct gate_result *gate, const char *hint, ...) PRINTF_LIKE(2, 3);
/* Refused, with the SQL that mends it, a statement a line, taken over from the buffer: as much as there is room for in the hint, all in
 * gate->statements. where: "on the target". */
void gate_refuse_with(struct gate_result *gate, const char *where, struct strbuf *statements);
/* What is no more than said: a gate that holds and has a hint is a warning, and is shown as one. */
void gate_warn(struct gate_result *gate, const char *hint, ...) PRINTF_LIKE(2, 3);
/* Refused because of an error of ours. Returns true, as a gate does that was asked for. */
bool gate_unmeasured(struct gate_result *gate, const struct err *failed);
/* For a gate whose question is one statement with one parameter and one row: a count, and names for the hint. Refused if the
 * count is above `most`; measured: "<count> <what>"; the names follow the hint. True, as above. */
bool gate_counts(struct pg_conn *conn, const char *sql, const char *param, struct gate_result *gate,
                 int64_t most, const char *what, const char *hint);

/* The schemas of the pipeline's tables as a parameter: caller frees. */
char *gate_schemas(const struct cutover *co);
/* Of the target: an expression of the oids of all tables in the schemas $1. */
#define GATE_OUR_TABLES                                                                                      \
    "(SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"      \
    " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'crossfade' AND n.nspname = ANY ($1::text[]))"

/* gates_pipeline.c */
gate_fn gate_capture_alive, gate_apply_alive, gate_slot, gate_complete, gate_publication, gate_lag,
    gate_pause;
/* gates_source.c */
gate_fn gate_subscriptions, gate_prepared, gate_transactions, gate_identity, gate_privileges;
/* gates_schema.c */
gate_fn gate_schema, gate_no_ddl, gate_constraints, gate_indexes;
/* gates_target.c */
gate_fn gate_readiness, gate_writers, gate_shadow, gate_shadow_latency;
/* Looks once who writes to the target, for gate_writers(). */
bool writers_look(struct cutover *co, struct err *err) MUST_CHECK;
/* gates_maria.c: what is another question there. gate_target: not asked of PostgreSQL. */
gate_fn gate_target, maria_gate_schema, maria_gate_poolers;
/* gates_maria_writers.c: writers_look() on MariaDB: who has changed rows in a transaction that is open or prepared. */
bool maria_writers_look(struct cutover *co, struct err *err) MUST_CHECK;
/* Tries a record of a step, and takes it back. NULL: it can be written. */
bool maria_denies(struct cutover *co, char **ret, struct err *err) MUST_CHECK;
/* gates_back.c */
/* Commands in its hint as they are for a rollback. */
void gate_turn_hint(const struct cutover *co, struct gate_result *gate);
gate_fn gate_reverse_path, gate_rollback_window, gate_other_direction;
/* poolers/gate.c */
gate_fn gate_poolers;
/* prepare/ */
gate_fn gate_sequences, gate_unlogged, gate_large_objects, gate_grants, gate_views, gate_statistics,
    gate_warm, maria_gate_counters, maria_gate_statistics;

#endif
