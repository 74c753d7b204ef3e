/*
 * The PostgreSQL target's own structs. Files: postgres.c (life, transaction, position), prepare.c (does a
 * table fit?), statements.c (SQL texts), stage.c (COPY into staging or straight in), set.c (set-based
 * writes), rows.c (row by row, pipelined), clean.c (emptying tables), dead_letter.c (dead letters, savepoints),
 * letters_desk.c (the same for people), session.c (what a session may hold), writers.c (several writers, prepared transactions), arrays.c (their sets), shards.c
 * (another number of them), conflicts.c, conflicts_tables.c, conflicts_sql.c, conflicts_desk.c (tables that are written on both sides).
 *
 * Invariant: at most one of `copy` (a COPY that goes on) and the connection's pipeline is active.
 */
#ifndef TARGET_POSTGRES_H
#define TARGET_POSTGRES_H

#include "core/strbuf.h"
#include "pg/conn.h"
#include "pg/origin.h"
#include "pg/pipeline.h"
#include "pg/types/write.h"
#include "target/conflicts.h"
#include "target/crew.h"
#include "target/dead_letter.h"
#include "target/layout.h"
#include "target/target.h"

/* Above this, the rows of a table go through staging (measured: both cost the same at about 120). */
#define ROWWISE_MAX 96
/* Prepared statements of a session, and its staging tables from one transaction to the next: a server keeps some 10 to 20 KiB for each
 * statement, and touches every staging table at each commit. */
#define STATEMENTS_MAX 1000
#define STAGES_MAX     100 /* at first; grows up to STAGES_LIMIT where more of them are in use all the time */
#define STAGES_LIMIT   1600
#define STAGES_YOUNG   20 /* transactions since they were dropped: less is such a case */
/* Tables that the catalog is asked about at once, and fields that they have in all (one table may have more). */
#define PREPARE_TABLES 200
#define PREPARE_FIELDS 20000
/* Statements in one round trip. */
#define PIPELINE_MAX   1000
#define COPY_CHUNK     (64 * 1024)
#define PG_MAX_COLUMNS 1600 /* of a PostgreSQL table */
#define VALUE_MAX      ((size_t)1200 << 20)
/* Parameters of a statement over arrays: as many as pg_query_binary takes. */
#define PG_ARRAY_PARAMS 512
/* What a position consists of, beside its pipeline and shard. */
#define POSITION_NAMES                                                                                       \
    "fence_id, fence_offset, lsn, source_system_id, attempt, complete, commit_time, marker_kind, "           \
    "marker_nonce, "                                                                                         \
    "offsets, applied_at"

struct pg_column {
    const struct field *field;
    size_t index; /* of the field in the schema, and in rows */
    struct pg_column_writer writer;
    bool key;
    bool identity_always;
    bool nullable;
    enum target_unfit unfit;
    bool told; /* that the rule has changed a value: once a column and process */
};

enum stage_kind {
    STAGE_DIRECT = 0, /* no staging: COPY into the table itself */
    STAGE_DELETE,     /* old key */
    STAGE_UPSERT,     /* all columns */
    STAGE_UPDATE,     /* old key, and the columns of a set */
    STAGE_MAX_
};

/* Row statements: INSERT as it is, with ON CONFLICT, or only where the key is not there. */
enum row_insert { ROW_PLAIN = 0, ROW_UPSERT, ROW_IF_ABSENT, ROW_INSERT_MAX_ };

/* A prepared statement, as long as the slot has its number. Both 0: none. */
struct pgt_prepared {
    unsigned slot;
    uint64_t number;
};

/* Which columns an UPDATE has values for. Index = column of the table. */
struct column_set {
    bool *present;
    bool may_miss;                  /* its rows need not be there */
    bool moves;                     /* the key's columns are among those to be set */
    bool staged;                    /* its staging table is there */
    bool used;                      /* … and holds rows of this transaction */
    struct pgt_prepared prepared;   /* its row statement */
    struct target_row const **rows; /* of the batch at hand */
    size_t row_count, row_cap;
};

/* A table that the application writes on both sides: conflicts.c. */
struct pg_watch {
    int64_t id;                  /* its row in crossfade.dual_write; 0 = not known yet */
    bool known;                  /* … and that is committed */
    bool made;                   /* its temporary tables are there */
    bool used;                   /* … and hold rows of this transaction */
    bool late_keys;              /* some unique or exclusion constraint is deferrable */
    size_t *columns, *key;       /* of the table, by name */
    size_t newer;                /* column of NEWER_WINS */
    enum conflict_policy policy; /* that `newer` was looked up for */
};

struct pg_table {
    struct target_table base;
    unsigned id; /* names staging tables */
    uint32_t relid;
    char *name; /* quoted, with schema */
    /* name behind ONLY where that is possible: rows of inheritance children are those of other tables */
    char *rows_of;
    struct pg_column *columns;
    size_t column_count;
    size_t *key; /* columns of the key, in key order */
    size_t key_count;
    bool partitioned;
    bool identity_always; /* some column is: OVERRIDING SYSTEM VALUE */
    bool all_binary;
    bool arrays;    /* staged as arrays: of a writer beside the lead, and all of its columns can be */
    bool lead_only; /* triggers fire even in replica role: what they touch may be the other writers' */
    bool arbiter;   /* ON CONFLICT can use the key's index (it is not deferrable) */
    /* Upserts are delete and insert: an identity column that cannot be updated is no key. */
    bool delete_first;
    bool
        has_wards; /* rows of other tables go, or change, when one of its rows is deleted (ON DELETE CASCADE …) */
    bool loaded;             /* its row in crossfade.loaded is committed */
    bool loading;            /* … is written in this transaction */
    bool emptied;            /* in this transaction */
    bool staged[STAGE_MAX_]; /* staging table is there */
    bool used[STAGE_MAX_];   /* … and holds rows of this transaction */
    bool held;               /* REPLACE's table is there */
    struct pgt_prepared insert[ROW_INSERT_MAX_], remove;
    bool touched; /* in pg_target.touched */
    struct column_set *sets;
    size_t set_count;
    struct target_row const **rows[STAGE_MAX_]; /* the batch at hand, sorted by what to do */
    size_t row_count[STAGE_MAX_];
    size_t row_cap[STAGE_MAX_];
    struct pg_watch *watch; /* NULL: has not been looked at */
};

/* A statement in the pipeline: what to say when it fails. */
struct queued_row {
    const struct pg_table *tab;
    const struct target_row *row; /* NULL: not a row */
    bool must_hit;                /* exactly one row has to be touched */
};

/* Values of one statement: offsets first, since the buffer that holds them may move while it grows. */
struct row_params {
    const char *values[2 * PG_MAX_COLUMNS];
    size_t offsets[2 * PG_MAX_COLUMNS]; /* SIZE_MAX = null */
    int lengths[2 * PG_MAX_COLUMNS];
    int formats[2 * PG_MAX_COLUMNS];
    int count;
};

struct pg_target {
    struct target base;
    struct pg_conn *conn;
    struct pg_type_catalog *types;
    struct pg_origin origin; /* what the session's commits are marked with */
    char *pipeline;
    char *offsets;     /* as position() last read them */
    char way_back[64]; /* as in target_options */
    bool comes_back;   /* likewise */
    char *shard;
    struct target_layout layout;
    unsigned writer;           /* beside the lead, from 1; 0 = the lead */
    bool crewed;               /* there are several */
    bool transaction_prepared; /* the writer's */
    char token[48];            /* of its transaction */
    bool truncate_nonempty;
    struct target_unfit_rules unfit;
    bool in_transaction; /* between begin and commit */
    bool begun;          /* … and BEGIN was sent (or queued) */
    bool prepared_position, prepared_decide;
    uint64_t attempt;
    bool position_found; /* what this process read or wrote last */
    struct target_position last;
    struct pg_table **tables;
    size_t table_count;
    struct pg_table **touched; /* since the transaction began: what has to be looked at when it ends */
    size_t touched_count, touched_cap;
    struct pgt_slot *slots; /* session.c's */
    size_t slot_hand;
    uint64_t last_statement;
    bool statements_open;          /* some are prepared or given up by what is queued */
    bool statements_doubtful;      /* … and that failed */
    size_t stage_count;            /* made since they were dropped last */
    size_t stages_max, stages_age; /* as many are kept; transactions since then */
    struct pg_table *copy;         /* a COPY into this table goes on */
    struct strbuf out;             /* COPY data, or parameters */
    struct row_params params;
    struct queued_row *queued;
    size_t queued_count, queued_cap;
    bool must_look;           /* a queued statement's row count matters: before COMMIT is sent */
    bool rows_valid;          /* queued rows may be read (for messages) */
    bool deferred;            /* SET CONSTRAINTS was sent in this transaction */
    bool saved;               /* … and so was a savepoint */
    struct pg_result *halted; /* conflicts that need a person, not kept yet */
    const struct table_schema *halted_schema;
    const struct conflict_rule *halted_policy;
};

/* prepare.c */
bool pgt_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                 struct target_table **ret, struct err *err) MUST_CHECK;
/* (VALUES (0, 'schema', 'table'), …) */
void pgt_values(struct strbuf *sb, struct pg_table *const *tabs, size_t count);
void pgt_table_free(struct pg_table *tab);

/* postgres.c: leaves COPY and pipeline, so that plain statements can be sent; starts the transaction if need
 * be. */
bool pgt_plain(struct pg_target *pt, struct err *err) MUST_CHECK;
bool pgt_exec(struct pg_target *pt, struct strbuf *sql, struct err *err) MUST_CHECK;
/* Connects, and takes the lock of this writer (0: the lead's). */
bool pgt_connect(const struct target_options *options, unsigned writer, struct pg_target **ret,
                 struct err *err) MUST_CHECK;
bool pgt_take_lock(struct pg_target *pt, struct err *err) MUST_CHECK;
/* The transaction is rolled back, or (committed) has ended. */
void pgt_forget_transaction(struct pg_target *pt, bool committed);
bool pgt_decide(struct target *lead, const struct target_position *position, const char *token,
                struct err *err) MUST_CHECK;
/* Put the place in front of a message; always false. */
bool pgt_table_err(const struct pg_table *tab, struct err *err);
/* What a writer has refused (why) becomes null, by the column's rule. */
bool pgt_becomes_null(const struct pg_table *tab, const struct pg_column *col, const struct err *why);
bool pgt_value_err(const struct pg_table *tab, const struct pg_column *col, const struct target_row *row,
                   struct err *err);

/* statements.c: SQL texts appended to sb. */
void sql_stage_name(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                    const struct column_set *set);
void sql_create_stage(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                      const struct column_set *set);
void sql_copy(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
              const struct column_set *set);
void sql_merge_delete(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                      const struct column_set *set);
void sql_merge_upsert(struct strbuf *sb, const struct pg_table *tab, bool plain);
void sql_merge_update_existing(struct strbuf *sb, const struct pg_table *tab);
void sql_merge_update(struct strbuf *sb, const struct pg_table *tab, const struct column_set *set);
void sql_create_hold(struct strbuf *sb, const struct pg_table *tab);
void sql_hold(struct strbuf *sb, const struct pg_table *tab, const struct column_set *set);
void sql_unhold(struct strbuf *sb, const struct pg_table *tab);
void sql_row_insert(struct strbuf *sb, const struct pg_table *tab, enum row_insert how);
void sql_row_update(struct strbuf *sb, const struct pg_table *tab, const struct column_set *set);
void sql_row_delete(struct strbuf *sb, const struct pg_table *tab);
/* "::type" of a staged value, where it is staged as text. */
void sql_cast(struct strbuf *sb, const struct pg_column_writer *w);
/* INSERT INTO t (all columns) */
void sql_insert_head(struct strbuf *sb, const struct pg_table *tab);
bool stage_has_column(const struct pg_table *tab, enum stage_kind kind, const struct column_set *set,
                      size_t i);
bool set_changes_anything(const struct pg_table *tab, const struct column_set *set);

/* stage.c */
bool pgt_stage(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind, struct column_set *set,
               const struct target_row *const *rows, size_t count, struct err *err) MUST_CHECK;
bool pgt_copy_end(struct pg_target *pt, struct err *err) MUST_CHECK;

/* False when rows may not be taken out to be put back: foreign keys fire, and would take others with them. */
bool pgt_may_take_out(const struct pg_target *pt, const struct pg_table *tab, struct err *err) MUST_CHECK;

/* set.c */
bool pgt_write_set(struct pg_target *pt, enum target_mode mode, const struct target_batch *batches,
                   size_t count, struct err *err) MUST_CHECK;
struct column_set *pgt_column_set(struct pg_table *tab, const struct target_row *row);

/* rows.c */
bool pgt_pipeline(struct pg_target *pt, struct err *err) MUST_CHECK;
bool pgt_sync(struct pg_target *pt, struct err *err) MUST_CHECK;
bool pgt_queue_prepare(struct pg_target *pt, const struct pg_table *tab, const char *name, const char *sql,
                       struct err *err) MUST_CHECK;
bool pgt_queue_text(struct pg_target *pt, const char *sql, int count, const char *const *params,
                    struct err *err) MUST_CHECK;
/* Queues what writes this row; the pipeline is entered if need be. */
bool pgt_row_queue(struct pg_target *pt, struct pg_table *tab, const struct target_row *row,
                   struct err *err) MUST_CHECK;

/* session.c: prepared statements are few and take turns; staging tables are dropped when they are many. */
bool pgt_statement_there(struct pg_target *pt, const struct pgt_prepared *stmt);
/* Queues the preparation of sql (released here). */
bool pgt_statement_make(struct pg_target *pt, const struct pg_table *tab, struct pgt_prepared *stmt,
                        struct strbuf *sql, struct err *err) MUST_CHECK;
void pgt_statement_name(const struct pgt_prepared *stmt, char out[64]);
/* What was queued has been carried out, or not. */
void pgt_statements_settled(struct pg_target *pt, bool ok);
/* Outside of a pipeline; statements also in a transaction that has not failed, stages between two. */
bool pgt_statements_tidy(struct pg_target *pt, struct err *err) MUST_CHECK;
bool pgt_stages_tidy(struct pg_target *pt, struct err *err) MUST_CHECK;
/* Whether a staging table is there is not known any more. */
void pgt_stages_forgotten(struct pg_table *tab);
/* The table is about to be written, or looked at, in this transaction. */
void pgt_touch(struct pg_target *pt, struct pg_table *tab);

/* clean.c: notes the tables as filled by this pipeline; before its first copy a table is empty, or is emptied. Tables may repeat. */
bool pgt_ensure_loaded(struct pg_target *pt, struct pg_table *const *tabs, size_t count,
                       struct err *err) MUST_CHECK;
bool pgt_truncate(struct pg_target *pt, struct pg_table *const *tabs, size_t count,
                  struct err *err) MUST_CHECK;
bool pgt_reset(struct pg_target *pt, struct err *err) MUST_CHECK;

/* dead_letter.c */
extern const struct target_letters_ops pgt_letters;
/* Out of a COPY or pipeline that may have failed. */
bool pgt_recover(struct pg_target *pt, struct err *err) MUST_CHECK;
bool pgt_save(struct target *tgt, struct err *err) MUST_CHECK;
bool pgt_restore(struct target *tgt, struct err *err) MUST_CHECK;
bool pgt_settle(struct target *tgt, bool constraints, struct err *err) MUST_CHECK;
/* bytea as text; NULL stays NULL. malloc'd into *sb. */
const char *pgt_hex(struct strbuf *sb, const void *bytes, size_t len);
/* The server's hex form of a bytea, in place. NULL for null. */
const void *pgt_unhex(const struct pg_result *res, int row, int column, size_t *ret_len);

/* shards.c: what another layout of shards has left becomes ours, or ERR_CONFIG. Reads `layout`. */
bool pgt_change_shards(struct pg_target *pt, const struct target_options *options,
                       struct err *err) MUST_CHECK;

/* writers.c */
extern const struct target_crew_ops pgt_crew;

/* arrays.c: can all columns be elements of arrays? */
bool pgt_arrays_fit(const struct pg_table *tab);
/* Runs the statements (released here; empty ones are none) over arrays of the rows. *ret_touched: rows, of all statements. */
bool pgt_write_arrays(struct pg_target *pt, struct pg_table *tab, enum stage_kind kind,
                      struct column_set *set, const struct target_row *const *rows, size_t count,
                      struct strbuf *sql, size_t sql_count, int64_t *ret_touched, struct err *err) MUST_CHECK;
/* loader_look.c */
bool pgt_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret,
                     struct err *err) MUST_CHECK;

/* clean.c: the same URL on both sides: to empty or load such a "target" would be to empty the source. Capture's slot tells.
 * ERR_CONFIG. */
bool pgt_refuse_source(struct pg_conn *conn, const char *pipeline, struct err *err) MUST_CHECK;

/* desk.c: for people, a connection of their own, times in UTC. *ret_there false: the control table is not. */
bool pgt_desk_open(const char *url, const char *application, const char *table, struct pg_conn **ret,
                   bool *ret_there, struct err *err) MUST_CHECK;
/* {1,2,3} */
void pgt_desk_ids(struct strbuf *sb, const int64_t *ids, size_t count);

/* letters_desk.c */
extern const struct target_desk_ops pgt_desk;

/* conflicts.c */
extern const struct target_conflict_ops pgt_conflicts;

/* conflicts_tables.c */
typedef const struct conflict_rule *pgt_rule_fn(void *ctx, const char *schema_name, const char *table_name);
struct pg_watch *pgt_watch_new(const struct pg_table *tab);
void pgt_watch_free(struct pg_watch *watch); /* NULL allowed; as for the next two */
void pgt_watch_ended(struct pg_watch *watch, bool committed);
/* The transaction is back at its savepoint. */
void pgt_watch_restored(struct pg_watch *watch);
/* target_conflict_ops.start */
bool pgt_watch_start(struct target *tgt, pgt_rule_fn *rule_of, void *ctx, size_t count, bool complete,
                     bool *ret_begun, uint64_t *ret_open, struct err *err) MUST_CHECK;
/* Its row in crossfade.dual_write; made here for a table that was not there at the start, made over where it has got another shape. */
bool pgt_watch_find(struct pg_target *pt, const struct pg_table *tab, struct err *err) MUST_CHECK;
/* In the transaction that empties all tables: they are taken up again when their new copy is complete. */
bool pgt_watch_reset(struct pg_target *pt, struct err *err) MUST_CHECK;

/* conflicts_sql.c: SQL texts appended to sb. The temporary tables of a look: xs (states, staged), xn (the target's rows, locked),
 * xv (states with their values, in the columns' types), xd (decisions), xi (keys of rows that were made at once). */
/* Hashes of key and row, of lists such as t."a", t."b". */
void sql_watch_hashes(struct strbuf *sb, const char *keys, const char *columns);
void sql_watch_create(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_clear(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_copy(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_lock(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_values(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_decide(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_log(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_halted(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_settle(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_withdraw(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_move(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_make(struct strbuf *sb, const struct pg_table *tab);
void sql_watch_made(struct strbuf *sb, const struct pg_table *tab);
/* conflicts_desk.c: for people, on a connection of their own */
bool pgt_conflicts_look(const struct conflicts_query *query,
                        bool (*each)(void *ctx, const struct conflict_view *view, struct err *err), void *ctx,
                        struct err *err) MUST_CHECK;
bool pgt_conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                          const char *side, int64_t *ret_count, struct err *err) MUST_CHECK;

#endif
