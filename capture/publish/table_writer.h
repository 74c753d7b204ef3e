/*
 * One version of one table, ready to encode: column readers (server bytes → datums), the table's schema with
 * its ids in the schema store, and an encoder. Made per (thread, table version); the copy's workers and the
 * stream use the same.
 * @thread: the one that made it.
 */
#ifndef CAPTURE_TABLE_WRITER_H
#define CAPTURE_TABLE_WRITER_H

#include "capture/capture_internal.h"
#include "capture/filters/mask.h"
#include "core/arena.h"
#include "pg/pgoutput.h"
#include "pg/types/read.h"

/* One value may take this much in all of its forms. */
#define CAP_MESSAGE_BYTES_MAX ((size_t)3 << 30)

struct cap_table_writer {
    struct table_schema *schema;
    struct pg_column_reader *readers; /* one per field */
    struct cap_mask *masks;           /* one per field */
    struct encoder *encoder;
    const struct codec_ops *codec;
    uint32_t stream;
    uint32_t table;            /* tally_table() */
    uint32_t header_schema_id; /* for records of formats without framing; 0 = none */
    struct datum *before, *after;
    struct strbuf scratch;
};

/* The column's field comes from the table's present columns; key and order from `t`. Types are looked up on
 * `side`, which must be idle now and whenever rows are read. pub NULL: it reads rows, and encodes none. */
bool cap_table_writer_open(const struct cap_session *s, const struct source_table *t,
                           struct pg_type_catalog *types, struct pg_conn *side, struct cap_publisher *pub,
                           struct cap_table_writer **ret, struct err *err) MUST_CHECK;
/* Of a table whose rows come as datums already: its schema (taken over, also on failure) is registered and encoded, nothing is read. */
bool cap_table_writer_of(const struct cap_settings *settings, struct table_schema *schema,
                         struct cap_publisher *pub, struct cap_table_writer **ret,
                         struct err *err) MUST_CHECK;
void cap_table_writer_free(struct cap_table_writer *tw); /* NULL allowed */

/* Server values → datums. */
bool cap_table_writer_read(struct cap_table_writer *tw, const struct pgoutput_value *values, size_t count,
                           struct arena *arena, struct datum *out, struct err *err) MUST_CHECK;
/* Index of a field that must not be NULL and is, in a whole row; -1 = none. (The catalog is read later than
 * the change was made: what is NOT NULL now may have been NULL then.) */
int cap_table_writer_null_field(const struct cap_table_writer *tw, const struct datum *row);

/* Appends one record to the batch. key_row NULL = null key. */
bool cap_table_writer_put(struct cap_table_writer *tw, struct cap_batch *batch, const struct change *chg,
                          const struct datum *key_row, enum cap_header header, const struct datum *header_row,
                          struct err *err) MUST_CHECK;
/* A tombstone for the key. */
bool cap_table_writer_tombstone(struct cap_table_writer *tw, struct cap_batch *batch,
                                const struct datum *key_row, enum cap_header header,
                                const struct datum *header_row, struct err *err) MUST_CHECK;
/* True if both rows have the same key. */
bool cap_table_writer_same_key(struct cap_table_writer *tw, const struct datum *a, const struct datum *b,
                               bool *ret_same, struct err *err) MUST_CHECK;

#endif
