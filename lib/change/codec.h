/*
 * Codecs turn changes into record bytes and back. One ops table per format (avro, json); `codec_by_name`
 * selects.
 *
 * An encoder or decoder belongs to one thread. Encoders are made per (thread, table version) and keep
 * whatever makes encoding fast (no allocation per value); decoders serve all tables of one reader and cache
 * per schema id.
 *
 * What Debezium's envelope cannot say rides in an optional field `crossfade` at its end: which columns are
 * unavailable (so that a real text equal to the placeholder stays a text) and whether `before` is a key image
 * (NOT NULL columns outside of the key are ""/0 on the wire, as Debezium fills them, and DATUM_NULL again
 * after decoding). In records that Debezium wrote itself the placeholder's text decides, and before_key_only
 * is false: of a delete's `before` only key columns are to be trusted then. Snapshot rows (op READ) have no
 * transaction: they come back with commit_lsn = lsn and total_order = table_order = 0. Exact names of schema,
 * table and columns come back; key columns from the value schema.
 *
 * Encoding refuses what decoding would refuse: NULL in a column that is not optional and text that is not
 * UTF-8 (ERR_DATA), numbers out of their type and unavailable values of other types than STRING and BYTES
 * (ERR_BUG). A failed call leaves the buffer as it was.
 *
 * transaction.id on the wire is "<xid>:<commit_lsn as decimal>", the same for all events of a transaction;
 * source.lsn is the change's own LSN; both come back in struct change.
 */
#ifndef CHANGE_CODEC_H
#define CHANGE_CODEC_H

#include "change/change.h"
#include "core/arena.h"
#include "core/strbuf.h"

struct encoder;
struct decoder;

/* Where a decoder finds a schema by id. */
struct schema_source {
    void *ctx;
    /* JSON text of the schema with this id, valid as long as the source; false with an err (ERR_PROTOCOL) if
     * unknown. */
    bool (*lookup)(void *ctx, uint32_t id, const char **ret_json, struct err *err);
    /* Others give ids there, too: a schema of ours that was made for another topic is refused (ERR_PROTOCOL). */
    bool shared;
};

struct codec_ops {
    const char *name; /* "avro", "json" */
    /* Texts to be registered in the schema store: Avro schema JSON, or for json the Connect schema JSON; both
     * carry connect.* names and __debezium.source.column.* parameters, so that a table_schema can be made
     * from them again. malloc'd; *ret_key_json is NULL for a table without key. */
    bool (*schema_texts)(const struct table_schema *schema, char **ret_key_json, char **ret_value_json,
                         struct err *err) MUST_CHECK;
    bool (*encoder_open)(const struct table_schema *schema, struct encoder **ret, struct err *err) MUST_CHECK;
    /* Appends the record key for this row (key fields of `row`). */
    bool (*encode_key)(struct encoder *enc, const struct datum *row, struct strbuf *out,
                       struct err *err) MUST_CHECK;
    bool (*encode_value)(struct encoder *enc, const struct change *chg, struct strbuf *out,
                         struct err *err) MUST_CHECK;
    void (*encoder_close)(struct encoder *enc);
    bool (*decoder_open)(const struct schema_source *schemas, struct decoder **ret,
                         struct err *err) MUST_CHECK;
    /* Decodes one record value. `schema_id` is from the record's header for json (0 = not given), ignored by
     * avro (framed). *ret is filled, its datums live in `arena` or point into `value`; its schema is owned by
     * the decoder and stays valid until decoder_close. Input is untrusted: bounds and types are checked
     * (ERR_PROTOCOL). */
    bool (*decode_value)(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                         size_t len, struct arena *arena, struct change *ret, struct err *err) MUST_CHECK;
    void (*decoder_close)(struct decoder *dec);
};

/* NULL if there is no such format. */
const struct codec_ops *codec_by_name(const char *name);

/* Record header of json records: 4 bytes big-endian id of the value schema. */
#define HEADER_SCHEMA_ID "crossfade.schema.id"
/* Debezium's headers on the delete and the create of a key change: the other record's key, encoded like a
 * key. */
#define HEADER_NEW_KEY "__debezium.newkey"
#define HEADER_OLD_KEY "__debezium.oldkey"
/* Without value: the change lacks values, and its row may not have been copied yet, or is gone; then it means nothing. */
#define HEADER_COPYING "__crossfade.copying"

#endif
