/*
 * The PostgreSQL target's own structs. Files: postgres.c (life, transaction, position), prepare.c (does a
 * table fit?), statements.c (SQL texts), stage.c (COPY into staging or straight in), set.c (set-based
 * writes), rows.c (row by row, pipelined), clean.c (emptying tables), dead_letter.c (dead letters, savepoints),
 * letters_desk.c (the same for people).
 *
 * Invariant: at most one of `copy` (a COPY that goes on) and the connection's pipeline is active.
 */
#ifndef TARGET_POSTGRES_H
#define TARGET_POSTGRES_H

#include "core/strbuf.h"
#include "pg/conn.h"
#include "pg/pipeline.h"
#include "pg/types/write.h"
#include "target/dead_letter.h"
#include "target/target.h"

/* Above this, the rows of a table go through staging (measured: both cost the same at about 120). */
#define ROWWISE_MAX 96
/* Statements in one round trip. */
#define PIPELINE_MAX   1000
#define COPY_CHUNK     (64 * 1024)
#define PG_MAX_COLUMNS 1600 /* of a PostgreSQL table */
#define VALUE_MAX      ((size_t)1200 << 20)

struct pg_column {
    const struct field *field;
    size_t index; /* of the field in the schema, and in rows */
    struct pg_column_writer writer;
    bool key;
    bool identity_always;
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

/* Which columns an UPDATE has values for. Index = column of the table. */
struct column_set {
    bool *present;
    bool may_miss;                  /* its rows need not be there */
    bool moves;                     /* the key's columns are among those to be set */
    bool staged;                    /* its staging table is there */
    bool used;                      /* … and holds rows of this transaction */
    bool prepared;                  /* its row statement is there */
    struct target_row const **rows; /* of the batch at hand */
    size_t row_count, row_cap;
};

struct pg_table {
    struct target_table base;
    unsigned id; /* names staging tables and statements */
    char *name;  /* quoted, with schema */
    /* name behind ONLY where that is possible: rows of inheritance children are those of other tables */
    char *rows_of;
    struct pg_column *columns;
    size_t column_count;
    size_t *key; /* columns of the key, in key order */
    size_t key_count;
    bool partitioned;
    bool identity_always; /* some column is: OVERRIDING SYSTEM VALUE */
    bool all_binary;
    bool arbiter; /* ON CONFLICT can use the key's index (it is not deferrable) */
    /* Upserts are delete and insert: an identity column that cannot be updated is no key. */
    bool delete_first;
    bool
        has_wards; /* rows of other tables go, or change, when one of its rows is deleted (ON DELETE CASCADE …) */
    bool loaded;             /* its row in crossfade.loaded is committed */
    bool loading;            /* … is written in this transaction */
    bool staged[STAGE_MAX_]; /* staging table is there */
    bool used[STAGE_MAX_];   /* … and holds rows of this transaction */
    bool held;               /* REPLACE's table is there */
    bool prepared_insert[ROW_INSERT_MAX_];
    bool prepared_delete;
    struct column_set *sets;
    size_t set_count;
    struct target_row const **rows[STAGE_MAX_]; /* the batch at hand, sorted by what to do */
    size_t row_count[STAGE_MAX_];
    size_t row_cap[STAGE_MAX_];
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
    char *pipeline;
    char *offsets; /* as position() last read them */
    char *shard;
    bool truncate_nonempty;
    bool in_transaction; /* between begin and commit */
    bool begun;          /* … and BEGIN was sent (or queued) */
    bool prepared_position;
    uint64_t attempt;
    bool position_found; /* what this process read or wrote last */
    struct target_position last;
    struct pg_table **tables;
    size_t table_count;
    struct pg_table *copy; /* a COPY into this table goes on */
    struct strbuf out;     /* COPY data, or parameters */
    struct row_params params;
    struct queued_row *queued;
    size_t queued_count, queued_cap;
    bool must_look;  /* a queued statement's row count matters: before COMMIT is sent */
    bool rows_valid; /* queued rows may be read (for messages) */
    bool deferred;   /* SET CONSTRAINTS was sent in this transaction */
    bool saved;      /* … and so was a savepoint */
};

/* prepare.c */
bool pgt_prepare(struct target *tgt, const struct table_schema *schema, struct target_table **ret,
                 struct err *err) MUST_CHECK;
void pgt_table_free(struct pg_table *tab);

/* postgres.c: leaves COPY and pipeline, so that plain statements can be sent; starts the transaction if need
 * be. */
bool pgt_plain(struct pg_target *pt, struct err *err) MUST_CHECK;
bool pgt_exec(struct pg_target *pt, struct strbuf *sql, struct err *err) MUST_CHECK;
/* Put the place in front of a message; always false. */
bool pgt_table_err(const struct pg_table *tab, struct err *err);
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
bool pgt_queue_text(struct pg_target *pt, const char *sql, int count, const char *const *params,
                    struct err *err) MUST_CHECK;
/* Queues what writes this row; the pipeline is entered if need be. */
bool pgt_row_queue(struct pg_target *pt, struct pg_table *tab, const struct target_row *row,
                   struct err *err) MUST_CHECK;

/* clean.c */
bool pgt_ensure_loaded(struct pg_target *pt, struct pg_table *tab, struct err *err) MUST_CHECK;
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
/* The server's hex form of a bytea, in place. NULL for null. */
const void *pgt_unhex(const struct pg_result *res, int row, int column, size_t *ret_len);

/* letters_desk.c: for people, on a connection of their own */
extern const struct target_desk_ops pgt_desk;

#endif
