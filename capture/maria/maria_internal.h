/* What the files of capture/maria share: the session, the transaction at hand, the tables that were met. */
#ifndef CAPTURE_MARIA_INTERNAL_H
#define CAPTURE_MARIA_INTERNAL_H

#include "capture/maria/maria.h"
#include "capture/publish/table_writer.h"
#include "maria/binlog/catalog.h"
#include "maria/binlog/gtid.h"
#include "maria/binlog/reader.h"
#include "maria/conn.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define MARIA_TEXT_MAX ((size_t)1 << 20) /* a position of GTID_DOMAINS_MAX domains */

enum maria_role {
    MARIA_DATA = 0,
    MARIA_MARKER, /* crossfade_marker in the URL's database: rows speak to capture */
    MARIA_CONTROL /* apply's own: who changes a row of it is apply */
};

struct maria_table {
    char *name; /* "database.table" */
    enum maria_role role;
    const struct table_schema
        *shape; /* the reader's, of which the writer was made; NULL = to be compared again */
    struct cap_table_writer *writer; /* NULL = no row was met */
    uint64_t txn_serial, txn_changes;
    UT_hash_handle hh;
};

/* An XA transaction that was prepared, and is not decided. */
struct maria_prepared {
    struct binlog_xid xid;
    struct gtid gtid; /* of its PREPARE */
    char *before;     /* the position in front of that */
};

struct maria_txn {
    bool open;
    bool skip;     /* it is in the journal */
    bool left_out; /* an apply wrote it, and it is not wanted for that */
    struct gtid gtid;
    uint64_t serial, total_order;
    struct cap_marker marker;
};

struct cap_maria {
    struct cap_session *session;
    struct maria_conn *sql;
    struct binlog *binlog;
    struct charsets *sets; /* NULL = not needed yet */
    const char *database;  /* of the URL */
    struct maria_table *tables, *last;
    struct cap_batch *batch;
    struct cap_spill *held; /* batches of the transaction at hand, when it is larger than one */
    struct gtid_list done;  /* recovery: transactions at or before it are in the journal */
    struct maria_txn txn;
    struct maria_prepared *prepared; /* oldest first */
    size_t prepared_count;
    lsn_t lsn;              /* the next transaction's number; all before have ended */
    bool passed;            /* transactions that left nothing have ended behind the last boundary */
    bool loop_told;         /* that changes of an apply come by */
    int64_t commit_time_us; /* of the last transaction */
    int64_t batch_since_us; /* mono; when the batch's first transaction ended, 0 = none did */
    int64_t last_fence_us;  /* mono; … when a boundary was last given */
    int64_t last_show_us;   /* mono */
    struct cap_progress progress;
    struct strbuf position; /* scratch */
};

/* --- loop.c --- */
/* Follows the binlog from where m->binlog was opened until a stop is asked for. */
bool maria_loop(struct cap_maria *m, struct err *err) MUST_CHECK;
/* After each record. */
bool maria_make_room(struct cap_maria *m, struct err *err) MUST_CHECK;
/* Hands a batch to the publisher, waits for room. The batch is gone in any case. */
bool maria_submit(struct cap_maria *m, struct cap_batch *batch, struct err *err) MUST_CHECK;

/* --- rows.c --- */
/* binlog_options.wanted; ctx: struct cap_maria. */
bool maria_wanted(void *ctx, const char *database, const char *table);
/* The transaction at hand was written by an apply: it is left out or told of, as capture.origin has it. */
void maria_is_of_apply(struct cap_maria *m);
bool maria_take_row(struct cap_maria *m, const struct binlog_item *item, struct err *err) MUST_CHECK;
/* Schemas of a reader are gone. */
void maria_forget_shapes(struct cap_maria *m);
void maria_tables_free(struct cap_maria *m);
/* The table's, made if there is none. */
struct maria_table *maria_table_named(struct cap_maria *m, const char *database, const char *table);
/* Makes the table's writer, or makes it anew, if its shape is another one; then the batch is parted in front of the transaction. */
bool maria_use_shape(struct cap_maria *m, struct maria_table *t, const struct table_schema *shape,
                     struct err *err) MUST_CHECK;

/* The event of an emptied table. */
bool maria_put_truncate(struct cap_maria *m, struct maria_table *t, const struct binlog_item *item,
                        const char *database, struct err *err) MUST_CHECK;

/* --- catalog.c --- */
/* The table's writer, made of the definition that it has now. Its shape is compared again with the first row. */
bool maria_shape_by_catalog(struct cap_maria *m, struct maria_table *t, const char *database,
                            const char *table, struct err *err) MUST_CHECK;

/* --- copy.c --- */
struct maria_copy;
/* Takes the snapshot; *ret_gtid: the place at which it stands, malloc'd. */
bool maria_copy_open(struct cap_maria *m, struct maria_copy **ret, char **ret_gtid,
                     struct err *err) MUST_CHECK;
/* All rows are given to the publisher, without the fence that completes the copy. */
bool maria_copy_run(struct maria_copy *c, struct err *err) MUST_CHECK;
void maria_copy_close(struct maria_copy *c); /* NULL allowed */

/* --- way_back.c --- */
/* What patterns and topics call a database. */
const char *maria_called(const struct cap_maria *m, const char *database);
/* Before anything is written: a way back that has begun goes on where its journal ends, or not at all. */
bool maria_way_back_look(struct cap_maria *m, struct err *err) MUST_CHECK;
/* Its journal has the place that it begins at: notes on the source that it is there. */
bool maria_way_back_note(struct cap_maria *m, struct err *err) MUST_CHECK;

/* --- markers.c --- */
/* The table, if it is not there and may be made. */
void maria_make_marker_table(struct cap_maria *m);
void maria_take_marker(struct cap_maria *m, const struct binlog_item *item);

/* --- statements.c --- */
bool maria_take_statement(struct cap_maria *m, const struct binlog_item *item, struct err *err) MUST_CHECK;

/* --- prepared.c --- */
/* ERR_TRANSIENT: a transaction is prepared that would be missing in what is read from here on, when it is committed. */
bool maria_prepared_none(struct cap_maria *m, struct err *err) MUST_CHECK;
/* An XA transaction was prepared; `before`: the position in front of it. */
void maria_prepared_add(struct cap_maria *m, const struct binlog_item *item, const char *before);
/* It was decided otherwise, or is in the journal. */
void maria_prepared_forget(struct cap_maria *m, const struct binlog_xid *xid);
/* It is committed: its rows are read again, as those of the transaction at hand. */
bool maria_prepared_commit(struct cap_maria *m, const struct binlog_xid *xid, struct err *err) MUST_CHECK;
/* Where reading would have to begin for all that are not decided; "" = at the position. */
const char *maria_prepared_from(const struct cap_maria *m);
void maria_prepared_free(struct cap_maria *m);

#endif
