/* What the files of a direct load share. */
#ifndef CAPTURE_DIRECT_INTERNAL_H
#define CAPTURE_DIRECT_INTERNAL_H

#include <pthread.h>

#include "capture/direct/direct.h"
#include "core/nonce.h"
#include "target/loader.h"

/* One place where rows lie. */
struct direct_part {
    size_t table, part;        /* of session->tables */
    struct loader_chunk *redo; /* noted by an earlier run, and not done */
    size_t redo_count, redo_at;
    int *redo_lower; /* index in bounds of the chunk before; -1 = from the first row */
    char ***bounds;  /* upper of every chunk noted so far, by number */
    size_t bound_count, bound_cap;
    bool ended; /* the chunk to the end is noted */
};

struct direct_table {
    struct loader_table target;
    char *shape, *key_as;
    struct direct_reader *reader; /* has the table's schema, if the loader takes rows */
    enum loader_form form;
    bool wanted;
    size_t left; /* chunks under way, and parts that are not given out to their ends */
    atomic_bool done;
};

struct direct_plan {
    const struct cap_session *session;
    struct direct_table *tables; /* parallel to the session's */
    struct direct_part *parts;   /* the largest first */
    size_t *
        by_oid; /* indexes of parts, by table and the part's OID: a plan may have as many chunks as there are tables */
    size_t part_count, at; /* before `at` all are given out */
    int64_t chunk_rows;
    pthread_mutex_t lock;
};

/* A chunk that is given out. */
struct direct_chunk {
    struct direct_part *part;
    struct loader_chunk chunk;
    char *const *lower;       /* the plan's; NULL = from the first row */
    const char *after, *upto; /* of its rows only those of these places (ctid); NULL = all */
};

/* What a worker loads in one transaction: a chunk, or several small parts, whole. */
#define DIRECT_JOB_CHUNKS 64
struct direct_job {
    struct direct_chunk chunks[DIRECT_JOB_CHUNKS];
    size_t count; /* 0 = nothing is left */
};

/* Reads the catalog of the source (`conn`) and what the target has; tables that have to be begun anew are. *ret_high_lsn: of chunks that are
 * there. */
bool direct_plan_make(const struct cap_session *s, struct pg_conn *conn, struct loader *ld,
                      lsn_t snapshot_lsn, _Atomic uint64_t *rows, struct direct_plan **ret,
                      lsn_t *ret_high_lsn, struct err *err) MUST_CHECK;
void direct_plan_free(struct direct_plan *plan); /* NULL allowed */
/* What comes next; a chunk that is not a whole part is noted on the target. @thread any */
bool direct_plan_next(struct direct_plan *plan, struct pg_conn *conn, struct loader *ld,
                      struct direct_job *ret, struct err *err) MUST_CHECK;
/* It is committed. *ret_last: the table's last one. @thread any */
void direct_plan_done(struct direct_plan *plan, struct direct_chunk *chunk, bool *ret_last);

/* direct_types.c: names of all types, and primary keys, of the session's tables: there may be thousands. */
struct direct_types;
bool direct_types_read(struct pg_conn *conn, const struct cap_session *s, struct direct_types **ret,
                       struct err *err) MUST_CHECK;
void direct_types_free(struct direct_types *types); /* NULL allowed */
/* Fills the columns, but for their names. */
bool direct_types_name(const struct direct_types *types, const struct source_table *t,
                       struct loader_column *ret, struct err *err) MUST_CHECK;
/* "CONSTRAINT name PRIMARY KEY (…)"; NULL = there is none that is not deferrable. */
const char *direct_types_key(const struct direct_types *types, uint32_t oid);

/* direct_rows.c: from the source's bytes to datums, for targets that are not PostgreSQL. */
struct direct_reader;
/* The table's columns as the stream's records have them. `conn` is idle whenever rows are read. */
bool direct_reader_open(const struct cap_session *s, const struct source_table *t, struct pg_conn *conn,
                        struct direct_reader **ret, struct err *err) MUST_CHECK;
void direct_reader_free(struct direct_reader *r); /* NULL allowed */
const struct table_schema *direct_reader_schema(const struct direct_reader *r);
/* Column `column` must be selected as text. */
bool direct_reader_as_text(const struct direct_reader *r, size_t column);
/* A chunk begins. */
void direct_reader_start(struct direct_reader *r);
/* Passes on what is whole in these bytes of COPY BINARY. len 0: they have ended. */
bool direct_reader_pass(struct direct_reader *r, struct loader *ld, const char *bytes, size_t len, lsn_t lsn,
                        uint64_t *ret_rows, struct err *err) MUST_CHECK;

struct cap_direct {
    const struct cap_session *session;
    struct cap_direct_snapshot snap;
    _Atomic uint64_t *rows;
    uint64_t attempt;
    lsn_t begin_lsn; /* of the copy; 0 = not known */
    atomic_bool *table_done;
    int event_fd;
    pthread_t thread;
    atomic_bool abort; /* the whole load */
    atomic_bool paused, slow;
    struct direct_plan *plan; /* of the run at hand */
    int64_t run_since_us;
    _Atomic uint64_t run_rows; /* read in this run, for the limit */
    char owner[NONCE_MAX];

    int workers, place_count;
    pthread_mutex_t
        cancel_lock; /* conns, loaders: to be cancelled; NULL = none. Held for as long as that takes */
    struct pg_conn **conns;
    struct loader **loaders;

    pthread_mutex_t lock; /* all below; never held while anything is waited for */
    bool run_failed;      /* the run at hand: workers end */
    struct err run_err;
    bool ended, ok;
    struct err err;
    lsn_t high_lsn;
    char notice[600];
};

/* Places in conns and loaders: the workers', the coordinator's own, a slot's, and the workers' second connections. */
#define DIRECT_PLACES(workers)             (2 * (workers) + 2)
#define DIRECT_SIDE_PLACE(workers, worker) ((workers) + 2 + (worker))

#define DIRECT_LOCK_TIMEOUT "30000" /* of statements on the source that wait for a table, in milliseconds */

/* The source's answer tells of a table that was renamed, dropped or altered meanwhile: the next session reads the catalog again. */
void direct_gone_err(struct err *err);
/* What importing a snapshot said: one that is lost is like a connection, another is found. */
void direct_snapshot_err(struct err *err);
bool direct_open_loader(struct cap_direct *d, int place, struct loader **ret, struct err *err) MUST_CHECK;
bool direct_open_source(struct cap_direct *d, int place, struct pg_conn **ret, struct err *err) MUST_CHECK;
/* A worker's second connection: for the plan, and for the catalog of now. */
bool direct_open_side(struct cap_direct *d, int place, struct pg_conn **ret, struct err *err) MUST_CHECK;
void direct_close_place(struct cap_direct *d, int place, struct pg_conn *conn, struct loader *ld);
/* The run at hand ends. @thread any */
void direct_fail(struct cap_direct *d, const struct err *err);
bool direct_is_over(struct cap_direct *d);

struct direct_worker {
    struct cap_direct *direct;
    int index;
    pthread_t thread;
};
/* Thread: loads chunks until none is left. arg: struct direct_worker */
void *direct_worker_main(void *arg);

/* What a worker has in hand. */
struct direct_hand {
    struct cap_direct *d;
    struct pg_conn *conn, *side;
    struct loader *ld;
    struct direct_reader *reader; /* of reader_of; NULL = none yet */
    size_t reader_of;
    size_t at;      /* the table whose rows are passed */
    char *own_path; /* the session's search_path */
    bool
        path_is_set; /* to another one, by DIRECT_QUALIFIED_NAMES, for the rest of the source's transaction */
    bool target_failed; /* the error at hand is the loader's */
};
const struct source_part *direct_part_of(const struct direct_hand *w, const struct direct_chunk *chunk);
/* A transaction of the source under the kept snapshot, with the job's tables locked. */
bool direct_begin_snapshot(struct direct_hand *w, const struct direct_job *job, struct err *err) MUST_CHECK;
/* ERR_TRANSIENT: the tables are not as the session knows them. */
bool direct_columns_hold(struct direct_hand *w, const struct source_table *const *tables, size_t count,
                         struct err *err) MUST_CHECK;
/* The chunk's rows go into the loader's transaction. *shown: of them, in the status. */
bool direct_copy_rows(struct direct_hand *w, struct direct_chunk *chunk, uint64_t *shown,
                      struct err *err) MUST_CHECK;
/* Values that are names (regclass …) are written whole, as in the journal; the target has a search_path of its own. The statement itself is
 * read by the path of the role: operators of the key's types, and what source.filters names, are found by it. Computed once, before the first
 * row, and for the rest of the transaction: a statement behind it asks for direct_own_path first. */
#define DIRECT_QUALIFIED_NAMES "(SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)) IS NOT NULL"
/* The session's own search_path holds again: before each statement that has bounds or a filter. */
bool direct_own_path(struct direct_hand *w, struct err *err) MUST_CHECK;
/* Which rows of the part (AS p) they are; more: behind another condition. */
void direct_put_bounds(const struct source_table *t, const struct direct_chunk *chunk, bool more,
                       struct strbuf *sql);
/* Ends the source's transaction, in the middle of rows, too. */
bool direct_give_up(struct direct_hand *w, struct err *err) MUST_CHECK;

/* direct_narrow.c: loads the chunk without the rows that the target refuses (why: the first refusal), which are kept for apply, or end the
 * load (apply.on_row_error). */
bool direct_narrow(struct direct_hand *w, struct direct_chunk *chunk, const struct err *why,
                   struct err *err) MUST_CHECK;

#endif
