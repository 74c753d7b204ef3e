/*
 * What logical replication leaves behind, and what makes the target's first minute a good one. Each subject has a file with its gate
 * (cutover/gates.h), and, where something can be done about it beforehand, a step of the state `preparing`: before anything is closed, while
 * the source serves. Steps look at what is there and do what is left to do, so they may be taken again after a kill. Private to cutover.
 * @thread owner
 */
#ifndef CUTOVER_PREPARE_PREPARE_H
#define CUTOVER_PREPARE_PREPARE_H

#include "cutover/cutover_internal.h"

#define PREPARE_STATEMENTS_MAX ((size_t)16 << 20)

/* All steps, in their order. *ret_worked: something took time, gates that held before say nothing of now. */
bool prepare_all(struct cutover *co, bool *ret_worked, struct err *err) MUST_CHECK;
/* What is left to do, in words, and how long it may take; -1 = unknown. */
int64_t prepare_estimate_ms(struct cutover *co, char *ret_basis, size_t size);

/* sequences.c: of the state `sequencing`. Sets the target's to where the source stands, and reads them back. */
bool sequences_copy(struct cutover *co, struct err *err) MUST_CHECK;

/* counters_maria.c: the same where the target is MariaDB: AUTO_INCREMENT, and sequences of its own. */
bool maria_counters_copy(struct cutover *co, struct err *err) MUST_CHECK;
/* alter_maria.c: a statement "ALTER TABLE … WAIT 1 …" (MARIA_ALTER_WAIT_S), again and again until the step's deadline as long as others have the table open.
 * ERR_TIMEOUT tells who. */
#define MARIA_ALTER_WAIT_S 1
bool maria_alter(struct cutover *co, const char *sql, struct err *err) MUST_CHECK;

/* counters_back.c: the same from MariaDB: sequences of the target to where AUTO_INCREMENT and sequences of the source stand. */
bool counters_back_copy(struct cutover *co, struct err *err) MUST_CHECK;
/* The gate before it: which of them have no twin on the source, and stay where they are. */
bool counters_back_gate(struct cutover *co, struct gate_result *gate);

/* views.c: of the state `finishing`, if cutover.refresh_after says so: those that can be refreshed CONCURRENTLY, for clients read them. Says what
 * fails. */
void views_refresh_after(struct cutover *co);

/* A step; *ret_done: how many things it has done. What it has to say of them goes to prepare_note(). */
typedef bool prepare_fn(struct cutover *co, size_t *ret_done, struct err *err);
prepare_fn views_refresh, statistics_make, prewarm_take, queries_warm;
prepare_fn maria_statistics_make; /* of statistics_make() */

/* For the report and the audit chain: "12 tables analyzed". */
void prepare_note(struct cutover *co, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* MAINTAIN where the target has that privilege, else "". */
/* The statements in a column of grants, each once, into out. */
void prepare_add_grants(const struct pg_result *res, int column, struct strbuf *out);
const char *prepare_maintain(const struct cutover *co);

#endif
