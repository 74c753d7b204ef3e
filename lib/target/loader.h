/*
 * Rows from a source straight into the target, beside apply and before it goes on (capture.snapshot_path: direct). A table is
 * loaded in chunks; each is one transaction of the target, with its row in crossfade.direct_chunk, so each is there once or not at all.
 *
 * Whose turn it is. Apply has emptied the target for the attempt (loader_ready), then loaders write until loader_finish, then
 * apply goes on (target_direct_look). Of several loaders only the one that has claimed last may write: each chunk's transaction holds a
 * lock on the claim, so that a new claim comes behind the chunks of an earlier one.
 *
 * Rows come as the source's COPY sends them, or, where the target is not PostgreSQL, as datums, as apply gets them from the journal.
 * @thread: a loader belongs to one thread; loader_cancel from any.
 */
#ifndef TARGET_LOADER_H
#define TARGET_LOADER_H

#include "core/err.h"
#include "core/lsn.h"
#include "target/target.h"

#define LOADER_OWNER_MAX 40

/* How rows come: bytes of COPY in one of its formats, or datums. */
enum loader_form { LOADER_TEXT = 0, LOADER_BINARY, LOADER_ROWS };

struct loader_options {
    const char *url, *pipeline;
    const char *owner; /* names the run that has claimed, or is about to */
    uint64_t attempt;
    uint64_t
        source_system_id; /* a target that was filled from another one is not to be touched; 0 = not known */
    lsn_t
        begin_lsn; /* the attempt begins here or later: a target that stands before it was filled from another journal; 0 = not known */
    const char *
        way_back; /* a pipeline that leads from the target to the source: while it captures, nothing is loaded; "" = there cannot be one */
    bool truncate_nonempty; /* as in target_options */
    struct target_unfit_rules unfit;
    int64_t index_memory_bytes; /* for keys that are made behind the rows; 0 = the server's own */
};

/* Type texts as the source's format_type() gives them. */
struct loader_column {
    char *name;   /* on the target */
    char *type;   /* with its modifier: numeric(10,2) */
    char *bare;   /* without */
    char *inside; /* LOADER_TYPE_INSIDE; NULL = nothing */
    bool builtin; /* of PostgreSQL itself: the same on every server */
    bool binary;  /* … and its binary form means the same there */
};

/* $1: a type's OID. What domains, composites and ranges of its name are made of, down to the last one, as a text; NULL = it is none of
 * these. Names as with search_path ''. */
#define LOADER_TYPE_INSIDE                                                                                   \
    "WITH RECURSIVE t (oid) AS (SELECT $1::oid UNION SELECT s.oid FROM t CROSS JOIN LATERAL ("               \
    "SELECT typbasetype FROM pg_catalog.pg_type WHERE oid = t.oid UNION ALL "                                \
    "SELECT typelem FROM pg_catalog.pg_type WHERE oid = t.oid AND typcategory = 'A' UNION ALL "              \
    "SELECT rngsubtype FROM pg_catalog.pg_range WHERE rngtypid = t.oid UNION ALL "                           \
    "SELECT atttypid FROM pg_catalog.pg_type JOIN pg_catalog.pg_attribute ON attrelid = typrelid "           \
    "WHERE pg_type.oid = t.oid AND typtype = 'c' AND attnum > 0 AND NOT attisdropped) AS s (oid) "           \
    "WHERE s.oid <> 0) "                                                                                     \
    "SELECT string_agg(name || ': ' || content, '; ' ORDER BY name COLLATE \"C\") FROM ("                    \
    "SELECT pg_catalog.format_type(t.oid, NULL) AS name, CASE typtype "                                      \
    "WHEN 'd' THEN pg_catalog.format_type(typbasetype, typtypmod) "                                          \
    "WHEN 'r' THEN (SELECT pg_catalog.format_type(rngsubtype, NULL) FROM pg_catalog.pg_range "               \
    "WHERE rngtypid = t.oid) "                                                                               \
    "WHEN 'c' THEN (SELECT string_agg(pg_catalog.format('%I %s', attname, "                                  \
    "pg_catalog.format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) FROM pg_catalog.pg_attribute "      \
    "WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped) END AS content "                         \
    "FROM t JOIN pg_catalog.pg_type y ON y.oid = t.oid WHERE y.oid >= 10000) AS x"

struct loader_table {
    uint32_t oid; /* on the source */
    const char *schema, *name;
    const struct table_schema *rows; /* what datums are of, if the loader takes them (loader_takes_rows) */
    struct loader_column *columns;
    size_t column_count;
    const char **key; /* names on the target of what tells its rows apart; none: nothing does */
    size_t key_count;
    const char *shape;  /* hash of what is read: rows of another one do not mix with it */
    const char *key_as; /* its primary key: CONSTRAINT name PRIMARY KEY (…); NULL = it has none */
};

/* (upper of number - 1, upper]; which rows that is, is the caller's. */
struct loader_chunk {
    uint32_t table_oid, part_oid;
    int number;   /* 0, 1, … in a part */
    char **upper; /* NULL = to the end */
    size_t upper_count;
    bool noted; /* loader_plan has been called for it; else loader_end notes it, with its rows */
    bool done;
    int64_t rows; /* of a done one */
    lsn_t lsn;    /* … and what it is a state of */
};
void loader_chunk_release(struct loader_chunk *chunk);

/* How a table's rows go in, and what an earlier run has left of it. */
struct loader_seen {
    enum loader_form form;
    bool same; /* it was read in this shape */
    bool
        mixable; /* rows of several positions cannot be in each other's way (no unique index, and no primary key, but the key's) */
    struct loader_chunk *chunks; /* ordered by part and number */
    size_t chunk_count;
};
void loader_seen_release(struct loader_seen *seen);

struct loader;

/* ERR_UNSUPPORTED: rows cannot be loaded directly there. */
bool loader_open(const struct loader_options *options, struct loader **ret, struct err *err) MUST_CHECK;
void loader_close(struct loader *ld); /* NULL allowed; never commits */
void loader_cancel(struct loader *ld);

/* Its tables are described by `rows`; otherwise by the other members. */
bool loader_takes_rows(const struct loader *ld);

/* Apply, all of its shards, has come to the attempt's beginning, and no further. ERR_FENCED: to a later one. ERR_IDENTITY: it goes by the
 * journal of another source. */
bool loader_ready(struct loader *ld, bool *ret_ready, struct err *err) MUST_CHECK;
/* From here on only loaders of this owner write. Waits for chunks of earlier ones. *ret_done: all is loaded already. */
bool loader_claim(struct loader *ld, bool *ret_done, struct err *err) MUST_CHECK;

/* Tables are asked about LOADER_TABLES at a time: there may be thousands, and each question is a round trip. */
#define LOADER_TABLES 200

/* Of up to LOADER_TABLES tables: may the rows go in, how, and what is there already? ERR_SCHEMA names the column that does not fit. On
 * failure nothing is left in ret. */
bool loader_look(struct loader *ld, const struct loader_table *const *tables, size_t count,
                 struct loader_seen *ret, struct err *err) MUST_CHECK;
/* Begins up to LOADER_TABLES tables anew, in one transaction: empties those that are this pipeline's, or may be; ERR_SCHEMA if one holds rows
 * that are not. */
bool loader_begin_tables(struct loader *ld, const struct loader_table *const *tables, size_t count,
                         struct err *err) MUST_CHECK;
/* Notes a chunk that is about to be loaded. */
bool loader_plan(struct loader *ld, const struct loader_chunk *chunk, struct err *err) MUST_CHECK;

/* One transaction, for chunks of up to LOADER_TABLES tables: begin, for each table start, put… (or put_row…), stop, then end. Any other call
 * gives it up. */
bool loader_begin(struct loader *ld, const struct loader_table *const *tables, size_t count,
                  struct err *err) MUST_CHECK;
bool loader_start(struct loader *ld, const struct loader_table *t, enum loader_form form,
                  struct err *err) MUST_CHECK;
bool loader_put(struct loader *ld, const void *bytes, size_t len, struct err *err) MUST_CHECK;
/* lsn: what it is a state of, for messages. A value that the column cannot hold goes by target.unfit, or is ERR_DATA. */
bool loader_put_row(struct loader *ld, const struct datum *row, lsn_t lsn, struct err *err) MUST_CHECK;
/* All of the table's rows are there, and the target has taken them. */
bool loader_stop(struct loader *ld, int64_t *ret_rows, struct err *err) MUST_CHECK;
/* Between two tables' rows, inside of the transaction: what came since save is taken back by restore, whatever has failed. */
bool loader_save(struct loader *ld, struct err *err) MUST_CHECK;
bool loader_restore(struct loader *ld, struct err *err) MUST_CHECK;
/* A row that the target refused, as the record that the journal would have of it: kept in the transaction at hand, for apply
 * (target_letters_ops.refused). ERR_SQL: there are `max` of the pipeline already. */
struct loader_letter {
    const struct loader_table *of;
    const char *stream;
    int64_t timestamp_ms;
    const void *key; /* NULL = none */
    size_t key_len;
    const void *value;
    size_t value_len;
    const void *headers; /* packed as in struct dead_letter */
    size_t headers_len;
    lsn_t lsn;
    const struct err *why;
    uint64_t max;
};
bool loader_hold(struct loader *ld, const struct loader_letter *letter, struct err *err) MUST_CHECK;
/* The chunks are done (their `rows` are noted), and all is committed. Either one that was planned, or such that were not. */
bool loader_end(struct loader *ld, const struct loader_chunk *chunks, size_t count, lsn_t lsn,
                struct err *err) MUST_CHECK;

/* Behind the last chunk of up to LOADER_TABLES tables: makes the primary keys that the target's tables lack. */
bool loader_end_tables(struct loader *ld, const struct loader_table *const *tables, size_t count,
                       struct err *err) MUST_CHECK;
/* All tables are loaded: apply may go on. */
bool loader_finish(struct loader *ld, struct err *err) MUST_CHECK;

/* --- the other side: apply --- */

struct target_direct {
    bool there; /* a loader has begun this attempt */
    bool done;
    struct target_direct_table {
        char *schema, *name;
        lsn_t from_lsn; /* what committed before is in the rows already */
    } * tables;         /* if done; sorted by schema and name */
    size_t table_count;
};
void target_direct_release(struct target_direct *d);
/* Position of a table's rows, 0 = not loaded directly. */
lsn_t target_direct_from(const struct target_direct *d, const char *schema, const char *name);
/* Not inside a transaction. ERR_UNSUPPORTED: nothing can be loaded directly there. */
bool target_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret,
                        struct err *err) MUST_CHECK;

#endif
