/*
 * The target: where rows go. Implementations are chosen by URL: postgresql://… (postgres://…), mariadb://…
 * (mysql://…), fault:SLOT:N:ACTION:URL.
 *
 * A writer's life: open, then over and over begin, write…, commit. All rows written between begin and commit,
 * and the position, become visible at once (promises 1 to 3). After a failed call either begin again
 * (err_policy RETRY) or close and open (RECONNECT), then read the position: it says what was committed, also
 * when a commit was lost in transit.
 *
 * open takes a lock per pipeline and shard (ERR_BUSY while another process holds it), and commit moves the
 * position by compare-and-set from what this writer read or wrote last (ERR_FENCED): two appliers can never
 * both write.
 *
 * @thread: a target belongs to one thread; target_cancel from any.
 */
#ifndef TARGET_TARGET_H
#define TARGET_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change/change.h"
#include "change/fence.h"
#include "core/err.h"

/* What becomes of a value that the target's column cannot hold (infinity, the year 290000, a zero byte in text). Columns of a key
 * always halt: another value would be another row. */
enum target_unfit {
    TARGET_UNFIT_HALT = 0, /* ERR_DATA with SQLSTATE 22xxx: apply halts, or holds the row as a dead letter */
    TARGET_UNFIT_NULL,     /* NULL where the column takes it, else as HALT */
    TARGET_UNFIT_NEAREST   /* the nearest date, time or float that the column has, else as HALT */
};

struct target_unfit_rules {
    enum target_unfit all;
    /* "schema.table.column=RULE" and "schema.table=RULE", by the source's names; outlive the target. */
    const char *const *rules;
    size_t rule_count;
};

/* "halt", "null", "nearest"; HALT for another text. */
enum target_unfit target_unfit_named(const char *name);
/* ERR_CONFIG names the rule that is none. */
bool target_unfit_check(const struct target_unfit_rules *rules, struct err *err) MUST_CHECK;
/* The column's own rule, else the table's, else that of all. */
enum target_unfit target_unfit_of(const struct target_unfit_rules *rules, const char *schema,
                                  const char *table, const char *column);
/* Says once a column and process (*told) that a rule has changed a value. */
void target_unfit_tell(const struct table_schema *schema, const char *column, enum target_unfit rule,
                       const char *type, bool *told);

struct target_options {
    const char *url;
    const char *pipeline;
    const char *shard; /* "1/1" */
    /* The number of the shard, of `count`, that has the table of this name (layout.h): needed when n has changed. NULL: never does. */
    unsigned (*table_shard)(unsigned count, const char *schema, const char *table);
    bool truncate_nonempty; /* a table that holds rows before its first copy is emptied; otherwise ERR_SCHEMA
                             */
    struct target_unfit_rules unfit;
    char way_back[64];  /* a pipeline that leads from this target to its source; "" = there cannot be one */
    bool comes_back;    /* from a MariaDB that was filled from here: its columns are those that apply knows */
    size_t writers;     /* connections that write one batch side by side (crew.h); 0 and 1: one */
    size_t writer_rows; /* … if there are so many rows for each of them */
};

/* The row of crossfade.position. */
struct target_position {
    uint64_t fence_id;
    uint64_t fence_offset; /* in the fence stream */
    lsn_t lsn;
    uint64_t source_system_id;
    uint64_t attempt;
    bool complete;
    int64_t commit_time_us;       /* wall; 0 = none */
    enum marker_kind marker_kind; /* of this very fence */
    char marker_nonce[40];
    const char *
        offsets; /* what the reader keeps beside the fence, opaque; NULL = nothing. commit: the caller's, read within the
                            call; position: the target's, valid until its next call */
    bool released;  /* read only: a comparator has released this marker */
    int64_t age_us; /* read only: time since it was written, by the target's clock */
};

/* What the target knows about one version of a table; lives until close. `schema` is the caller's and must
 * outlive it. */
struct target_table {
    const struct table_schema *schema;
    int fk_rank; /* parents have lower ranks than their children; 0 = no foreign keys */
    /* Fields of the key by which several writers may share the rows: rows that the target takes for one key have
     * equal values there. NULL: one writer for the whole table. */
    size_t *split;
    size_t split_count;
    struct crew_table *crew; /* crew.c's */
    /* It is looked at for conflicts (conflicts.h): that look locks its rows for the lead, so that no other writer may have any of them. */
    bool watched;
};

/* Of the comparisons that were recorded for the pipeline. */
struct target_verdict {
    char last[16];            /* "PASS", "FAIL", "INCONCLUSIVE"; "" = there is none */
    int64_t age_us;           /* of it, by the target's clock */
    int64_t full_pass_age_us; /* of the last PASS over all tables; -1 = there is none */
};

enum target_op {
    TARGET_OP_UNKNOWN = 0,
    TARGET_INSERT, /* `row` is complete and new: may be written plainly */
    TARGET_UPSERT, /* `row` is complete; replaces what is there under its key */
    TARGET_UPDATE, /* the row under `old`'s key gets the values of `row` that are available, its key included
                      (a move) */
    TARGET_DELETE  /* the row under `old`'s key goes; it need not be there */
};

/* Tables without key: INSERT, UPDATE and DELETE only; `old` is the whole old row, and exactly one such row is
 * touched. */
struct target_row {
    enum target_op op;
    const struct datum *row; /* fields of the table's schema; NULL for DELETE */
    const struct datum *old; /* UPDATE of a row that keeps its key: NULL */
    lsn_t commit_lsn;        /* for messages */
    uint64_t total_order;
    bool may_miss; /* UPDATE: the row need not be there; otherwise that is an error (ERR_DATA, P0002) */
};

struct target_batch {
    struct target_table *table;
    bool truncate; /* the table is emptied before these rows are written */
    const struct target_row *rows;
    size_t row_count;
};

enum target_mode {
    TARGET_MODE_UNKNOWN = 0,
    TARGET_SET, /* one batch per table, one row per key (plus deletes of keys that a move ends on): any order
                   of work */
    TARGET_ORDERED, /* exactly the order given, row by row, deferrable constraints deferred; batches may
                       repeat tables */
    TARGET_REPLACE, /* as SET, but all rows touched are taken out before any is put back: unique values may
                       rotate */
    TARGET_RESET    /* no batches: empties every table that this pipeline has filled and forgets them */
};

/* Every target struct begins with these. */
struct target {
    const struct target_ops *ops;
    bool triggers_fire; /* the role may not keep triggers and foreign keys of the target from firing */
    /* Why what is written here does not carry apply's replication origin, or not all of it; NULL: it does, or this kind of target has none. */
    const char *no_origin;
    struct crew *crew;                  /* target.c's: other writers beside this one; NULL = none */
    const struct target_layout *layout; /* layout.h: tables that count by another one's name; NULL: none */
};

struct target_letters_ops;
struct target_desk_ops;
struct target_crew_ops;
struct target_direct;
struct target_conflict_ops;

/* A transaction and what goes into it. */
struct target_write_ops {
    /* Starts a transaction; one that is open is rolled back. attempt: of the snapshot that rows belong to. */
    bool (*begin)(struct target *tgt, uint64_t attempt, struct err *err);
    /* Rows may be read again until the call returns; whether they are written then or with commit is the
     * target's. A failure may therefore come out of a later write or of commit. Conflicts (unique, exclusion,
     * foreign key) have their SQLSTATE in err. */
    bool (*write)(struct target *tgt, enum target_mode mode, const struct target_batch *batches, size_t count,
                  struct err *err);
    bool (*commit)(struct target *tgt, const struct target_position *position, struct err *err);
    /* Rolls back what is open, and begins nothing: after a failed call, if the target is to be asked something before the next begin. */
    bool (*abandon)(struct target *tgt, struct err *err);
};

/* Inside of a transaction, for narrowing a batch down to the row at fault. */
struct target_narrow_ops {
    /* From here on restore() takes back; one point at a time, the next save forgets the one before. */
    bool (*save)(struct target *tgt, struct err *err);
    bool (*restore)(struct target *tgt, struct err *err);
    /* Everything written since is carried out now, so that what the target refuses shows; constraints:
     * deferred ones, too. */
    bool (*settle)(struct target *tgt, bool constraints, struct err *err);
};

/* An implementation: its life, and the tables of what it can do. */
struct target_ops {
    const char *name;
    bool (*open)(const struct target_options *options, struct target **ret, struct err *err);
    /* ret[i]: of schemas[i]; no schema is given twice. ERR_SCHEMA names a table and what is missing or does not fit: then none
     * counts. Asks about all of them in a few statements. May be called inside a transaction. */
    bool (*prepare)(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                    struct target_table **ret, struct err *err);
    /* *ret_found false: this pipeline has not written here yet. Not inside a transaction. */
    bool (*position)(struct target *tgt, struct target_position *ret, bool *ret_found, struct err *err);
    /* How far the target's own log is written, and how far the slowest of its connected standbys has replayed it (no standby:
     * as far). Two numbers that can be compared. NULL: not to be known here. */
    bool (*standbys)(struct target *tgt, uint64_t *ret_written, uint64_t *ret_replayed, struct err *err);
    /* Not inside a transaction. NULL: this target keeps no verdicts. */
    bool (*verdict)(struct target *tgt, struct target_verdict *ret, struct err *err);
    /* Ends a running call with an error soon. */
    void (*cancel)(struct target *tgt);
    void (*close)(struct target *tgt);
    const struct target_write_ops *writing;
    const struct target_crew_ops *crew; /* crew.h; NULL: one writer only */
    /* These three go together; NULL: the target keeps no dead letters. */
    const struct target_narrow_ops *narrow;
    const struct target_letters_ops *letters; /* dead_letter.h */
    const struct target_desk_ops *desk;       /* dead_letter.h */
    /* loader.h; NULL: rows come through apply alone. */
    bool (*direct_look)(struct target *tgt, uint64_t attempt, struct target_direct *ret, struct err *err);
    const struct target_conflict_ops *conflicts; /* conflicts.h; NULL: cannot tell */
};

bool target_open(const struct target_options *options, struct target **ret, struct err *err) MUST_CHECK;
bool target_prepare(struct target *tgt, const struct table_schema *schema, struct target_table **ret,
                    struct err *err) MUST_CHECK;
bool target_prepare_all(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                        struct target_table **ret, struct err *err) MUST_CHECK;
bool target_begin(struct target *tgt, uint64_t attempt, struct err *err) MUST_CHECK;
bool target_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches, size_t count,
                  struct err *err) MUST_CHECK;
bool target_commit(struct target *tgt, const struct target_position *position, struct err *err) MUST_CHECK;
bool target_abandon(struct target *tgt, struct err *err) MUST_CHECK;
bool target_position(struct target *tgt, struct target_position *ret, bool *ret_found,
                     struct err *err) MUST_CHECK;
/* These only where target_letters() gives something. */
bool target_save(struct target *tgt, struct err *err) MUST_CHECK;
bool target_restore(struct target *tgt, struct err *err) MUST_CHECK;
bool target_settle(struct target *tgt, bool constraints, struct err *err) MUST_CHECK;
/* ERR_UNSUPPORTED: this kind of target cannot tell. */
bool target_standbys(struct target *tgt, uint64_t *ret_written, uint64_t *ret_replayed,
                     struct err *err) MUST_CHECK;
/* ERR_UNSUPPORTED: this kind of target keeps no verdicts. */
bool target_verdict(struct target *tgt, struct target_verdict *ret, struct err *err) MUST_CHECK;
/* NULL: the target keeps no dead letters. */
const struct target_letters_ops *target_letters(const struct target *tgt);
void target_cancel(struct target *tgt);
void target_close(struct target *tgt); /* NULL allowed; never commits */

#endif
