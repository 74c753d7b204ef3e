/*
 * A change: one event as the journal carries it (Debezium's envelope). Datum arrays have schema->field_count
 * entries and belong to the message's arena: valid until the next message.
 *
 * Order of changes of streamed transactions: (commit_lsn, total_order). LSNs alone are not unique. Rows of a
 * copy (op READ; op DELETE with source.snapshot: asked for by key, and gone) have total_order 0 and as commit_lsn the place in the
 * stream at which their window was opened.
 */
#ifndef CHANGE_CHANGE_H
#define CHANGE_CHANGE_H

#include "change/table.h"
#include "core/lsn.h"

enum change_op {
    CHANGE_UNKNOWN = 0,
    CHANGE_READ = 'r', /* row of a copy */
    CHANGE_INSERT = 'c',
    CHANGE_UPDATE = 'u',
    CHANGE_DELETE = 'd',
    CHANGE_TRUNCATE = 't',
};

enum snapshot_mark { SNAPSHOT_FALSE = 0, SNAPSHOT_TRUE, SNAPSHOT_LAST };

struct change_source {
    const char *server;        /* topic prefix: source.name */
    const char *database;      /* source.db */
    lsn_t lsn;                 /* of the change itself */
    lsn_t commit_lsn;          /* start of the transaction's commit record (BEGIN's final_lsn) */
    lsn_t previous_commit_lsn; /* source.sequence[0] */
    uint32_t xid;
    int64_t commit_time_us; /* wall, since 1970 */
    enum snapshot_mark snapshot;
    /* Of MariaDB alone (table_schema.mariadb); only encoders look at them. */
    const char *gtid; /* NULL = none */
    const char *file; /* of the binlog */
    uint32_t server_id;
    uint64_t pos;
    uint32_t row; /* in its event */
};

struct change {
    enum change_op op;
    const struct table_schema *schema;
    const struct datum *before; /* NULL = null; a key-only image has DATUM_NULL elsewhere (before_key_only) */
    const struct datum *after;
    bool before_key_only; /* replica identity gave only the key columns */
    struct change_source source;
    uint64_t total_order; /* ordinal in the transaction, from 1; 0 for snapshot rows */
    uint64_t table_order; /* data_collection_order */
    int64_t captured_us;  /* ts_us of the envelope: when capture saw it */
};

/* It has no transaction: a row of a copy, or that a copy met no row under a key that it was asked for. */
static inline bool change_is_copied(const struct change *chg)
{
    return chg->op == CHANGE_READ || (chg->op == CHANGE_DELETE && chg->source.snapshot != SNAPSHOT_FALSE);
}

#endif
