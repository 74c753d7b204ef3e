/*
 * A source that is MariaDB: the side that a rollback closes when the cutover went there. The states are those of every cutover; what closes
 * the side is this:
 *
 * On every table stand three triggers (BEFORE INSERT, UPDATE, DELETE), for whatever role, but for apply's user. Each reads the decision
 * row with a share lock, which its transaction keeps until it ends, and raises when the decision is switched, or when it is open and the
 * lock of closing (GET_LOCK) is held. So closing is: take that lock, then the decision row alone for a moment. Who wrote before is waited for, who
 * comes later is refused; no lock on a table is needed, neither for closing nor for opening.
 *
 * The lock of closing is held by a session of its own, the keeper, which does nothing else. It has an end: should our process die, or
 * its machine, or should the pause budget be over (wait_timeout of that session), the server lets go of it, and MariaDB serves again. Writers
 * that come then hold their share of the decision row until they end; the decision takes the row alone and then asks for the lock once more.
 * So either a writer comes first, and MariaDB serves, or the decision does, and it stays closed: without any clock.
 *
 * Private to cutover. @thread owner
 */
#ifndef CUTOVER_FROM_MARIA_H
#define CUTOVER_FROM_MARIA_H

#include "cutover/cutover_internal.h"
#include "cutover/gates.h"

struct from_maria {
    struct session *main;   /* markers, the decision, triggers */
    struct session *watch;  /* sees who stands before the first; NULL where only markers are written */
    struct session *keeper; /* holds the lock of closing; NULL = not closed by this process */
    char lock_name[64];
    char keeper_id[24];
    char *body; /* of the triggers; NULL until they are first needed */
};

/* SYSDATE() as INNODB_TRX.trx_started is told: by the zone of the server's machine, whatever the session's. */
#define MARIA_MACHINE_TIME "CONVERT_TZ(SYSDATE(), @@SESSION.time_zone, 'SYSTEM')"

/* sessions.c */
bool from_maria_open(struct cutover *co, struct err *err) MUST_CHECK;
/* Session and decision alone, for who only looks. */
bool from_maria_look(struct cutover *co, struct err *err) MUST_CHECK;
bool from_maria_renew(struct cutover *co, struct err *err) MUST_CHECK;
void from_maria_close(struct cutover *co);
/* Most time of one statement from now on; 0 = no limit. */
bool from_maria_limit(struct cutover *co, int64_t ms, struct err *err) MUST_CHECK;
/* From another thread: whoever waits for an answer there gets an error. fds: room for 3; -1: there is none. */
void from_maria_sockets(const struct cutover *co, int fds[3]);
/* Whether the session's database has that table ("crossfade_marker"). */
bool from_maria_there(struct session *s, const char *table, bool *ret, struct err *err) MUST_CHECK;
bool from_maria_control_tables(struct cutover *co, struct err *err) MUST_CHECK;
/* The database of the URL. */
const char *from_maria_database(const struct cutover *co);
/* Adds "'shop', 'other'": the databases that the pipeline's tables lie in. */
void from_maria_add_databases(const struct cutover *co, struct strbuf *sql);

/* A second session on a target that is MariaDB, which sees who stands before the first; co->maria_watch until the next. */
bool from_maria_watch_target(struct cutover *co, struct session **ret, struct err *err) MUST_CHECK;
void from_maria_unwatch_target(struct cutover *co);

/* Of rows that are sorted by the bytes of the name in their second column, the one of this database (their first); -1: there is none. */
int from_maria_row(const struct rowset *rs, const char *database, const char *name);

/* decision.c: see record.c */
bool from_maria_decision(struct cutover *co, char ret_state[16], char ret_id[64], struct err *err) MUST_CHECK;
bool from_maria_decision_settled(struct cutover *co, struct err *err) MUST_CHECK;
bool from_maria_decision_begin(struct cutover *co, struct err *err) MUST_CHECK;
bool from_maria_decision_abort(struct cutover *co, struct err *err) MUST_CHECK;
bool from_maria_decision_switch(struct cutover *co, struct err *err) MUST_CHECK;

/* triggers.c: see freeze.c */
/* What apply of the way there comes as, whom the triggers let pass: who holds its lock (lib/target/mariadb/lock.c). ERR_BUSY: none runs.
 * *ret: malloc'd */
bool from_maria_apply_user(struct cutover *co, char **ret, struct err *err) MUST_CHECK;
bool from_maria_arm(struct cutover *co, struct err *err) MUST_CHECK;
bool from_maria_verify(struct cutover *co, struct err *err) MUST_CHECK;
/* Drops the triggers of a pipeline that leads away from a MariaDB side that serves, as far as that takes no waiting and until shortly before the
 * step's deadline. Those that are left let everything pass, so that it is only told. s: on that side, which is named by `side` */
void from_maria_clean(struct cutover *co, struct session *s, const char *pipeline, const char *side);
/* XA transactions that are prepared and not apply's, as a list; malloc'd, NULL = none. */
bool from_maria_prepared(struct cutover *co, char **ret, struct err *err) MUST_CHECK;

/* close.c */
bool from_maria_close_side(struct cutover *co, bool again, struct err *err) MUST_CHECK;
#define FROM_MARIA_ENDS_NOBODY (-1)
/* Begins a transaction that has the decision row alone, and tells what it says ("none"). Whoever has a share of it is waited for, and ended after the
 * grace time: behind the barrier such a one was refused, and has nothing to lose.
 * grace_ms FROM_MARIA_ENDS_NOBODY: with pauses, for others who write wait behind us as long as we wait. On failure the transaction may be open. */
bool from_maria_hold(struct cutover *co, int64_t grace_ms, bool heeds_stop, char ret_state[16],
                     char ret_id[64], struct err *err) MUST_CHECK;
/* switched → returned, for the pipeline that leads away from co's target, a MariaDB: its triggers let everything pass. Who has tried to write there
 * has a share of the row until its transaction ends, and was refused: it is ended. ERR_TIMEOUT: one cannot be, until the step's deadline. */
bool from_maria_pass_and_return(struct cutover *co, const char *pipeline, struct err *err) MUST_CHECK;
/* Lets go of the lock of closing. */
void from_maria_let_go(struct cutover *co);
/* Whether this process holds it still. */
bool from_maria_is_held(struct cutover *co, bool *ret, struct err *err) MUST_CHECK;
/* The lock's name. s: on MariaDB */
bool from_maria_lock_name(struct session *s, const char *pipeline, char ret[64], struct err *err) MUST_CHECK;
/* Ends the sessions of the rows (id, user, host); why one could not be ended is left in co->straggler_why. */
void from_maria_end(struct cutover *co, const struct rowset *rows);

/* marker.c */
/* Writes a marker row and waits until capture has brought it into the journal; *ret_lsn: of its fence. */
bool from_maria_marker(struct cutover *co, const char *kind, const char *nonce, lsn_t *ret_lsn,
                       struct err *err) MUST_CHECK;

/* shapes.c */
/* {"public.orders": "digest", …} of the pipeline's tables: another one where definition or rows were changed by other means than rows. */
bool from_maria_shapes(struct cutover *co, char **ret_json, struct err *err) MUST_CHECK;

/* Marks the tables whose rows a foreign key changes by itself (CASCADE, SET NULL): the binlog does not tell of that, so no fence names them. */
bool from_maria_mark_cascades(struct cutover *co, struct err *err) MUST_CHECK;

/* gates.c */
/* Refuses unless the binlog itself tells what rows are made of: switches alter tables (AUTO_INCREMENT), and a capture that has to ask the
 * catalog halts at that. s: on MariaDB */
void from_maria_ask_metadata(struct session *s, struct gate_result *gate);
/* What a gate asks of such a source. NULL with *ret_none: why it is not asked; NULL, NULL: as ever. */
gate_fn *from_maria_gate(const char *name, const char **ret_none);

#endif
