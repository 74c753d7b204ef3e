/*
 * The Avro codec: Debezium envelopes as binary Avro in Confluent framing.
 *
 * Schema texts are checked with avro-c when an encoder opens, so that nothing is written that a standard
 * reader refuses. Bodies are written straight from datums: avro-c's generic values copy each value twice and
 * cost about two thirds of the time (bench/micro/codec_bench shows both), and its reader allocates each
 * string and trusts lengths.
 */
#include "change/codec_avro.h"

#include <avro.h>
#include <stdlib.h>
#include <string.h>

#include "change/avro_schema.h"
#include "change/avro_wire.h"
#include "change/envelope.h"
#include "core/alloc.h"

/* All of an envelope except rows, hints and texts of variable length. */
#define FIXED_BYTES_MAX 512

struct avro_encoder {
    struct encoder base;
    uint8_t *source_head; /* source.version and .connector, encoded */
    size_t source_head_len;
    uint8_t *source_names; /* source.schema and .table, encoded */
    size_t source_names_len;
};

static bool check_with_avro_c(const char *json, const char *what, struct err *err)
{
    if (json == NULL)
        return true;
    avro_schema_t parsed = NULL;
    if (avro_schema_from_json_length(json, strlen(json), &parsed) != 0)
        return err_set(err, ERR_BUG, "%s schema is no valid Avro: %.300s", what, avro_strerror());
    avro_schema_decref(parsed);
    return true;
}

/* Two texts as they stand one after the other in the source block. */
static uint8_t *encode_pair(const char *a, const char *b, size_t *ret_len)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    uint8_t *bytes = xmalloc(a_len + b_len + (size_t)2 * AVRO_LONG_MAX);
    *ret_len = (size_t)(put_bytes(put_bytes(bytes, a, a_len), b, b_len) - bytes);
    return bytes;
}

static bool avro_encoder_open(const struct table_schema *schema, struct encoder **ret, struct err *err)
{
    char *key_json = NULL, *value_json = NULL;
    if (!avro_schema_texts(schema, &key_json, &value_json, err))
        return false;
    bool ok = check_with_avro_c(key_json, "key", err) && check_with_avro_c(value_json, "value", err);
    free(key_json);
    free(value_json);
    if (!ok)
        return err_wrap(err, "table=%s.%s", schema->schema, schema->table);
    struct avro_encoder *enc = xcalloc(1, sizeof *enc);
    enc->base.schema = schema;
    enc->source_head =
        encode_pair(CF_VERSION, schema->mariadb ? MARIADB_NAME : CONNECTOR_NAME, &enc->source_head_len);
    enc->source_names = encode_pair(schema->schema, schema->table, &enc->source_names_len);
    *ret = &enc->base;
    return true;
}

static void avro_encoder_close(struct encoder *base)
{
    struct avro_encoder *enc = (struct avro_encoder *)base;
    if (enc == NULL)
        return;
    free(enc->source_head);
    free(enc->source_names);
    free(enc);
}

static size_t datum_bound(enum phys phys, const struct datum *d)
{
    size_t size = 1 + AVRO_LONG_MAX;
    if (d->state == DATUM_VALUE && phys >= PHYS_STRING) /* and nested values */
        size += d->s.len;
    return size;
}

static uint8_t *put_value(uint8_t *to, enum phys phys, const struct datum *d)
{
    switch (phys) {
    case PHYS_BOOL:
        *to = d->i != 0;
        return to + 1;
    case PHYS_INT16:
    case PHYS_INT32:
    case PHYS_INT64:
        return put_long(to, d->i);
    case PHYS_FLOAT32:
        return put_float(to, (float)d->f);
    case PHYS_FLOAT64:
        return put_double(to, d->f);
    case PHYS_STRING:
    case PHYS_BYTES:
        return put_bytes(to, d->s.p, d->s.len);
    case PHYS_ARRAY:
    case PHYS_STRUCT:
    case PHYS_MAP:
        memcpy(to, d->s.p, d->s.len);
        return to + d->s.len;
    case PHYS_UNKNOWN:
    case PHYS_MAX_:
        break;
    }
    BUG("physical type %d", (int)phys);
}

static uint8_t *put_datum(uint8_t *to, const struct field *f, const struct datum *d)
{
    if (f->optional) {
        *to++ = d->state == DATUM_NULL ? 0 : 2;
        if (d->state == DATUM_NULL)
            return to;
    }
    return put_value(to, f->phys, d);
}

/* Checks each value and adds up what it may take. */
static bool bound_image(const struct table_schema *schema, const struct datum *image, bool key_only,
                        size_t *bound, struct err *err)
{
    struct stand_in room;
    for (size_t i = 0; image != NULL && i < schema->field_count; i++) {
        const struct datum *d = envelope_datum(&schema->fields[i], &image[i], key_only, &room);
        if (!envelope_check_datum(schema, i, d, err))
            return false;
        *bound += datum_bound(schema->fields[i].phys, d);
    }
    return true;
}

static uint8_t *put_image(uint8_t *to, const struct table_schema *schema, const struct datum *image,
                          bool key_only)
{
    if (image == NULL) {
        *to++ = 0;
        return to;
    }
    struct stand_in room;
    *to++ = 2;
    for (size_t i = 0; i < schema->field_count; i++)
        to =
            put_datum(to, &schema->fields[i], envelope_datum(&schema->fields[i], &image[i], key_only, &room));
    return to;
}

static uint8_t *put_frame(uint8_t *to, uint32_t schema_id)
{
    uint32_t id = htobe32(schema_id);
    *to++ = 0;
    memcpy(to, &id, sizeof id);
    return to + sizeof id;
}

/* Optional long: branch 1. */
static uint8_t *put_some(uint8_t *to, int64_t v)
{
    *to++ = 2;
    return put_long(to, v);
}

/* Nanoseconds for consumers that want them; null beyond the year 2262. */
static uint8_t *put_nanos(uint8_t *to, int64_t us, bool lean)
{
    if (lean || us > INT64_MAX / 1000 || us < INT64_MIN / 1000) {
        *to++ = 0;
        return to;
    }
    return put_some(to, us * 1000);
}

static uint8_t *put_text(uint8_t *to, const char *text)
{
    return put_bytes(to, text, strlen(text));
}

static uint8_t *put_block(uint8_t *to, const uint8_t *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

static uint8_t *put_some_text(uint8_t *to, const char *text)
{
    *to++ = text != NULL ? 2 : 0;
    return text != NULL ? put_text(to, text) : to;
}

/* What MariaDB's block has in place of a transaction's number and an LSN. */
static uint8_t *put_place(uint8_t *to, const struct table_schema *schema, const struct change_source *src)
{
    to = put_some_text(to, schema->table);
    to = put_long(to, src->server_id);
    to = put_some_text(to, src->gtid);
    to = put_text(to, src->file);
    to = put_long(to, (int64_t)src->pos);
    to = put_long(to, src->row);
    *to++ = 0; /* thread */
    *to++ = 0; /* query */
    return to;
}

static uint8_t *put_source(uint8_t *to, const struct avro_encoder *enc, const struct change *chg)
{
    const struct change_source *src = &chg->source;
    bool lean = enc->base.schema->lean;
    char sequence[SEQUENCE_MAX];
    to = put_block(to, enc->source_head, enc->source_head_len);
    to = put_text(to, src->server);
    to = put_long(to, src->commit_time_us / 1000);
    if (lean && src->snapshot == SNAPSHOT_FALSE) {
        *to++ = 2; /* snapshot: [string, null]; its default is false, and op says that it is no read */
    } else {
        *to++ = 0;
        to = put_text(to, envelope_snapshot_text(chg));
    }
    to = put_text(to, src->database);
    if (lean || enc->base.schema->mariadb) {
        *to++ = 0;
    } else {
        *to++ = 2;
        to = put_bytes(to, sequence, envelope_sequence(chg, sequence));
    }
    to = put_some(to, src->commit_time_us);
    to = put_nanos(to, src->commit_time_us, lean);
    if (enc->base.schema->mariadb)
        return put_place(to, enc->base.schema, src);
    to = put_block(to, enc->source_names, enc->source_names_len);
    to = put_some(to, src->xid);
    to = put_some(to, (int64_t)src->lsn);
    *to++ = 0; /* xmin */
    return to;
}

static uint8_t *put_transaction(uint8_t *to, const struct change *chg)
{
    char id[TRANSACTION_ID_MAX];
    if (change_is_copied(chg)) {
        *to++ = 0;
        return to;
    }
    *to++ = 2;
    to = put_bytes(to, id, envelope_transaction_id(chg, id));
    to = put_long(to, (int64_t)chg->total_order);
    return put_long(to, (int64_t)chg->table_order);
}

/* An array of the indexes of unavailable columns: one block, then the end. */
static uint8_t *put_unavailable(uint8_t *to, const struct table_schema *schema, const struct datum *image)
{
    size_t count = envelope_unavailable_count(schema, image);
    if (count != 0)
        to = put_long(to, (int64_t)count);
    for (size_t i = 0; count != 0 && i < schema->field_count; i++) {
        if (image[i].state == DATUM_UNAVAILABLE)
            to = put_long(to, (int64_t)i);
    }
    *to++ = 0;
    return to;
}

static uint8_t *put_hints(uint8_t *to, const struct change *chg, bool needed)
{
    if (!needed) {
        *to++ = 0;
        return to;
    }
    *to++ = 2;
    bool key_only = chg->before != NULL && chg->before_key_only;
    *to++ = key_only;
    to = put_unavailable(to, chg->schema, key_only ? NULL : chg->before);
    return put_unavailable(to, chg->schema, chg->after);
}

static bool avro_encode_value(struct encoder *base, const struct change *chg, struct strbuf *out,
                              struct err *err)
{
    struct avro_encoder *enc = (struct avro_encoder *)base;
    const struct table_schema *schema = base->schema;
    size_t bound = FIXED_BYTES_MAX + enc->source_head_len + enc->source_names_len;
    if (!envelope_check(base, chg, err) ||
        !bound_image(schema, chg->before, chg->before_key_only, &bound, err) ||
        !bound_image(schema, chg->after, false, &bound, err))
        return false;
    bool hints = envelope_needs_hints(chg);
    bound += strlen(chg->source.server) + strlen(chg->source.database);
    if (schema->mariadb)
        bound += strlen(chg->source.file) + (chg->source.gtid != NULL ? strlen(chg->source.gtid) : 0);
    if (hints)
        bound += (size_t)2 * 3 * (schema->field_count + 1);
    uint8_t *start = (uint8_t *)strbuf_reserve(out, bound);
    if (start == NULL)
        return strbuf_ok(out, "record", err);
    uint8_t *to = put_frame(start, schema->value_schema_id);
    to = put_image(to, schema, chg->before, chg->before_key_only);
    to = put_image(to, schema, chg->after, false);
    to = put_source(to, enc, chg);
    to = put_transaction(to, chg);
    *to++ = 2;
    *to++ = (uint8_t)chg->op;
    to = put_some(to, chg->captured_us / 1000);
    if (schema->lean)
        *to++ = 0;
    else
        to = put_some(to, chg->captured_us);
    to = put_nanos(to, chg->captured_us, schema->lean);
    to = put_hints(to, chg, hints);
    out->len += (size_t)(to - start);
    out->data[out->len] = '\0';
    return true;
}

static bool avro_encode_key(struct encoder *base, const struct datum *row, struct strbuf *out,
                            struct err *err)
{
    const struct table_schema *schema = base->schema;
    size_t bound = AVRO_FRAME_BYTES;
    for (size_t k = 0; k < schema->key_count; k++) {
        size_t at = schema->key_fields[k];
        if (!envelope_check_key(schema, at, &row[at], err))
            return false;
        bound += datum_bound(schema->fields[at].phys, &row[at]);
    }
    if (schema->shared_id != NULL)
        bound += AVRO_LONG_MAX + strlen(schema->shared_id);
    uint8_t *start = (uint8_t *)strbuf_reserve(out, bound);
    if (start == NULL)
        return strbuf_ok(out, "record key", err);
    uint8_t *to = put_frame(start, schema->key_schema_id);
    for (size_t k = 0; k < schema->key_count; k++) {
        size_t at = schema->key_fields[k];
        to = put_datum(to, &schema->fields[at], &row[at]);
    }
    if (schema->shared_id != NULL)
        to = put_text(to, schema->shared_id);
    out->len += (size_t)(to - start);
    out->data[out->len] = '\0';
    return true;
}

static bool avro_decoder_open(const struct schema_source *schemas, struct decoder **ret, struct err *err)
{
    *ret = decoder_new(schemas, avro_shape_parse, avro_plan_free);
    return true;
}

const struct codec_ops codec_avro_ops = {
    .name = "avro",
    .schema_texts = avro_schema_texts,
    .encoder_open = avro_encoder_open,
    .encode_header_key = avro_encode_key,
    .encode_key = avro_encode_key,
    .encode_value = avro_encode_value,
    .encoder_close = avro_encoder_close,
    .decoder_open = avro_decoder_open,
    .decode_value = avro_decode_value,
    .decoder_close = decoder_free,
};
