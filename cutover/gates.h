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
/* Refused because of an error of ours. Returns true, as a gate does that was asked for. */
bool gate_unmeasured(struct gate_result *gate, const struct err *failed);
/* For a gate whose question is one statement with one parameter and one row: a count, and names for the hint. Refused if the
 * count is above `most`; measured: "<count> <what>"; the names follow the hint. True, as above. */
bool gate_counts(struct pg_conn *conn, const char *sql, const char *param, struct gate_result *gate,
                 int64_t most, const char *what, const char *hint);

/* gates_pipeline.c */
gate_fn gate_capture_alive, gate_apply_alive, gate_slot, gate_complete, gate_publication, gate_lag,
    gate_pause;
/* gates_source.c */
gate_fn gate_subscriptions, gate_prepared, gate_transactions, gate_identity, gate_privileges;
/* gates_target.c */
gate_fn gate_readiness, gate_constraints, gate_indexes, gate_writers, gate_shadow;
/* The schemas of the pipeline's tables as a parameter, text[]: caller frees. */
char *gate_schemas(const struct cutover *co);
/* poolers/gate.c */
gate_fn gate_poolers;
/* prepare/ */
gate_fn gate_sequences, gate_unlogged, gate_large_objects, gate_grants, gate_views, gate_statistics,
    gate_warm;

#endif
