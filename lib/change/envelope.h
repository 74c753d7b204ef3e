/*
 * Private to lib/change: Debezium's envelope as both codecs see it, once: its rules, its texts, and what has
 * no place in it. Facts were read off recorded output of Debezium 3.1 (PostgreSQL connector).
 *
 * What Debezium's envelope cannot say rides in one optional field of ours at its end, `crossfade` (null in
 * most records; consumers pass over it):
 *   before_key_only     `before` holds the key alone: NOT NULL columns outside the key carry ""/0 as Debezium
 *                       sends them, nullable ones null; decoding gives DATUM_NULL for all of them again
 *   before_unavailable  indexes of columns whose value is the placeholder because the source did not send it
 *   after_unavailable   the same for `after`
 * So a real text that equals the placeholder stays a text. In records whose schema lacks that field (made by
 * Debezium itself) the placeholder's text alone decides, and before_key_only is not known: false, though only
 * key columns of a delete's `before` can be trusted then.
 */
#ifndef CHANGE_ENVELOPE_H
#define CHANGE_ENVELOPE_H

#include "change/change.h"
#include "change/nested.h"
#include "change/shape.h"
#include "core/arena.h"

#define CONNECTOR_NAME    "postgresql"
#define CONNECTOR_PACKAGE "io.debezium.connector.postgresql"
#define MARIADB_NAME      "mariadb"
#define MARIADB_PACKAGE   "io.debezium.connector.mariadb"
#define SNAPSHOT_VALUES   "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"
#define HINTS_FIELD       "crossfade"
#define HINTS_RECORD      "crossfade.Hints"
#define UNAVAILABLE_LEN   (sizeof UNAVAILABLE_TEXT - 1)
/* Longest "<xid>:<lsn>" (MariaDB: "<gtid>:<number of the commit>") and "["<lsn>","<lsn>"]", with NUL. */
#define TRANSACTION_ID_MAX 72
#define SEQUENCE_MAX       56

/* A piece of the input: not NUL-terminated. */
struct span {
    const char *p; /* NULL = null */
    size_t len;
};

/* Indexes of unavailable columns of one image. */
struct unavailable {
    uint32_t *fields;
    size_t count;
};

/* The envelope as read, before it is judged. */
struct raw_envelope {
    struct datum *before;
    struct datum *after;
    struct span op;
    struct span server, database, snapshot, sequence, transaction_id;
    struct span connector, schema, table, file, gtid; /* of records that Debezium wrote */
    int64_t pos, row;                                 /* MariaDB and MySQL: place in the binlog file */
    int64_t server_id;                                /* of the server that committed it first */
    int64_t source_ms, source_us;
    int64_t envelope_ms, envelope_us;
    int64_t lsn, xid;
    int64_t total_order, table_order;
    bool has_source, has_source_us, has_envelope_us, has_transaction;
    bool before_key_only;
    struct unavailable before_unavailable, after_unavailable;
};

/* Images fit the operation, the schema is the encoder's. */
bool envelope_check(const struct encoder *enc, const struct change *chg, struct err *err) MUST_CHECK;
/* One value may be written for this field; places table and column in the error. */
bool envelope_check_datum(const struct table_schema *schema, size_t index, const struct datum *d,
                          struct err *err) MUST_CHECK;
/* As above for a column of the record key, which can never be unavailable. */
bool envelope_check_key(const struct table_schema *schema, size_t index, const struct datum *d,
                        struct err *err) MUST_CHECK;
/* Room for a value that stands for another one. */
struct stand_in {
    struct datum datum;
    char bytes[NESTED_STAND_IN_MAX];
};
/* What is written for a field of an image: itself, for a key image what Debezium fills in outside the key, or
 * the stand-in of an unavailable value. Never DATUM_UNAVAILABLE. */
const struct datum *envelope_other_datum(const struct field *f, const struct datum *d, bool key_only,
                                         struct stand_in *room);
static inline const struct datum *envelope_datum(const struct field *f, const struct datum *d, bool key_only,
                                                 struct stand_in *room)
{
    return !key_only && d->state != DATUM_UNAVAILABLE ? d : envelope_other_datum(f, d, key_only, room);
}
/* True if anything must be said in HINTS_FIELD. */
bool envelope_needs_hints(const struct change *chg);
size_t envelope_unavailable_count(const struct table_schema *schema, const struct datum *image);
const char *envelope_snapshot_text(const struct change *chg);
/* The two texts; return the length. previous_lsn 0 is null, as in snapshot rows. */
size_t envelope_transaction_id(const struct change *chg, char out[TRANSACTION_ID_MAX]);
size_t envelope_sequence(const struct change *chg, char out[SEQUENCE_MAX]);

/* Parts of that judgement, for records of others (foreign.c). */
bool envelope_images_fit(enum change_op op, bool has_before, bool has_after);
bool envelope_parse_snapshot(struct span s, enum snapshot_mark *ret);
bool envelope_parse_sequence(struct span s, lsn_t *ret_previous);

/* Judges what was read and fills *ret. Texts are copied to the arena or kept in the shape. */
bool envelope_finish(struct shape *shape, struct raw_envelope *raw, struct arena *arena, struct change *ret,
                     struct err *err) MUST_CHECK;

#endif
