/*
 * What a replicated PostgreSQL says of itself: tables in the form in which pgoutput publishes them, slots,
 * publications. Plain queries on an ordinary connection; the catalog as it is now, not as it was at a
 * position of the WAL.
 * @thread: the connection's owner.
 */
#ifndef PG_SOURCE_H
#define PG_SOURCE_H

#include "core/lsn.h"
#include "pg/conn.h"

/* SQL: up to where a snapshot taken before can see. On a standby what was received (rows become visible a moment before the replayed
 * position moves), elsewhere the insert position. */
#define SOURCE_VISIBLE_LSN                                                                                   \
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), "          \
    "pg_catalog.pg_last_wal_replay_lsn()) ELSE pg_catalog.pg_current_wal_insert_lsn() END"

/* A column that pgoutput publishes, in order of attnum: live, and not generated, or generated and stored on PostgreSQL 18 and
 * later, whose publications can have them (publish_generated_columns). */
struct source_column {
    char *name;
    uint32_t type_oid;
    int32_t typmod;
    bool not_null;
    bool identity; /* part of the replica identity (FULL: all) */
};

/* Where rows are stored: the table itself, or a leaf partition of it. */
struct source_part {
    uint32_t oid;
    char *schema, *name;
    uint32_t file_node; /* changes when the storage is rewritten or truncated */
    int64_t blocks;
    int64_t rows_estimate; /* -1 = never analysed */
};

struct source_table {
    uint32_t oid;
    char *schema, *name;
    bool partitioned;
    char replica_identity; /* 'd' 'n' 'f' 'i' */
    struct source_column *columns;
    size_t column_count;
    size_t live_columns; /* column_count as it was loaded */
    /* The key, in its own order: indexes into columns. With replica identity 'i' the index's columns (old
     * images carry no others), else the primary key; a deferrable one is none (it is no identity to
     * PostgreSQL, and two rows may hold one key for a while). */
    size_t *key;
    size_t key_count;
    bool key_chosen;           /* by a rule of source.filters: another one than the above */
    bool narrowed;             /* columns are left out by one */
    bool from_start;           /* the pipeline had it from its first copy on: capture says so */
    struct source_part *parts; /* source_tables_parts(); several only when partitioned */
    size_t part_count;
    char *
        generated; /* generated columns that are left out (the target computes them; virtual ones always are): text of a
                        name[]; NULL = none */
};

void source_table_release(struct source_table *t);

/* Calls each() for all ordinary and partitioned tables that logical replication can publish (no system
 * schemas, not temporary or unlogged), by name; of a partition root_oid is its topmost parent, else 0. False
 * from each() ends it. */
typedef bool source_each_table(void *ctx, uint32_t oid, const char *schema, const char *table,
                               uint32_t root_oid, struct err *err);
bool source_tables(struct pg_conn *conn, source_each_table *each, void *ctx, struct err *err) MUST_CHECK;
/* Columns and key of several tables, in this order, into ret (room for count); those that are not there are left out. */
bool source_tables_load(struct pg_conn *conn, const uint32_t *oids, size_t count, struct source_table *ret,
                        size_t *ret_count, struct err *err) MUST_CHECK;
/* Of one. *ret_found = false: there is no such table. */
bool source_table_load(struct pg_conn *conn, uint32_t oid, struct source_table *ret, bool *ret_found,
                       struct err *err) MUST_CHECK;
/* Whether the catalog, as this connection sees it, still has t's columns under their names and types, and none more. */
bool source_columns_hold(struct pg_conn *conn, const struct source_table *t, bool *ret_hold,
                         struct err *err) MUST_CHECK;
/* The same of several tables at once, no one of them twice. */
bool source_tables_hold(struct pg_conn *conn, const struct source_table *const *tables, size_t count,
                        bool *ret_hold, struct err *err) MUST_CHECK;
/* Fills their parts: current sizes and estimates. */
bool source_tables_parts(struct pg_conn *conn, struct source_table *tables, size_t count,
                         struct err *err) MUST_CHECK;

/* Leaf partitions of t whose own replica identity does not do: PostgreSQL would refuse their updates and
 * deletes once they are published, or send old images without t's key. *ret_names: comma-separated, malloc'd;
 * NULL = all are fit. */
bool source_parts_unfit(struct pg_conn *conn, const struct source_table *t, char **ret_names,
                        struct err *err) MUST_CHECK;

/* As source_tables(), of those only that the publication does not publish: by name, by their schema, by FOR ALL TABLES, or as a
 * partition of one that it does. Takes no locks on them. */
bool source_unpublished(struct pg_conn *conn, const char *publication, source_each_table *each, void *ctx,
                        struct err *err) MUST_CHECK;
/* It publishes FOR ALL TABLES, or tables of a schema: tables that are made later come by themselves. */
bool source_publication_is_wide(struct pg_conn *conn, const char *publication, bool *ret_all,
                                bool *ret_schemas, struct err *err) MUST_CHECK;

/* What a publication leaves out although it was not made so (kinds of changes, rows, columns, roots of partitioned
 * tables; its comment says with which row filters and column lists it was made): somebody altered it. *ret_faults: for a message, malloc'd; NULL = nothing. */
bool source_publication_faults(struct pg_conn *conn, const char *publication, char **ret_faults,
                               struct err *err) MUST_CHECK;

struct source_slot {
    bool exists;
    bool logical_pgoutput; /* of this database and this plugin */
    int64_t active_pid;    /* 0 = nobody uses it */
    lsn_t confirmed_lsn, restart_lsn;
    bool lost; /* the server has removed WAL that it needs */
    int64_t retained_bytes;
};
bool source_slot_look(struct pg_conn *conn, const char *slot, struct source_slot *ret,
                      struct err *err) MUST_CHECK;
bool source_slot_drop(struct pg_conn *conn, const char *slot, struct err *err) MUST_CHECK;

#endif
