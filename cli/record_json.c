/*
 * Records as JSON. What is JSON already goes through as it is (numbers keep their digits); Avro values are
 * decoded and written by the JSON codec. An Avro key is shown through its row; a tombstone's through the
 * record before it.
 */
#include "record_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "change/codec.h"
#include "change/meta.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "journal/schema_store.h"

#define ROW_BYTES_MAX ((size_t)1 << 30) /* PostgreSQL's largest field */
#define AVRO_MAGIC    0

struct table_encoder {
    const struct table_schema *schema; /* the decoder's */
    struct encoder *encoder;
};

struct record_printer {
    struct journal_config config;
    struct schema_store *schemas; /* opened with the first Avro record */
    const struct codec_ops *avro, *json;
    struct decoder *decoder;
    const struct foreign_settings *foreign_set; /* NULL: records are ours */
    struct foreign_decoder *foreign;            /* in place of decoder */
    struct arena arena;
    struct table_encoder *encoders;
    size_t encoder_count;
    struct strbuf last_key;             /* bytes of the last Avro key … */
    struct strbuf last_text;            /* … and how it was shown */
    struct strbuf key_text, value_text; /* of the record at hand */
};

struct record_printer *record_printer_new(const struct journal_config *config)
{
    struct record_printer *rp = xcalloc(1, sizeof *rp);
    rp->config = *config;
    rp->avro = codec_by_name("avro");
    rp->json = codec_by_name("json");
    arena_init(&rp->arena, 64 << 10, ROW_BYTES_MAX);
    strbuf_init(&rp->last_key, ROW_BYTES_MAX);
    strbuf_init(&rp->last_text, ROW_BYTES_MAX);
    strbuf_init(&rp->key_text, ROW_BYTES_MAX);
    strbuf_init(&rp->value_text, ROW_BYTES_MAX);
    return rp;
}

void record_printer_foreign(struct record_printer *rp, const struct foreign_settings *set)
{
    rp->foreign_set = set;
    rp->config = set->journal;
}

void record_printer_free(struct record_printer *rp)
{
    if (rp == NULL)
        return;
    for (size_t i = 0; i < rp->encoder_count; i++)
        rp->json->encoder_close(rp->encoders[i].encoder);
    free(rp->encoders);
    if (rp->decoder != NULL)
        rp->avro->decoder_close(rp->decoder);
    foreign_decoder_close(rp->foreign);
    schema_store_close(rp->schemas);
    arena_release(&rp->arena);
    strbuf_release(&rp->last_key);
    strbuf_release(&rp->last_text);
    strbuf_release(&rp->key_text);
    strbuf_release(&rp->value_text);
    free(rp);
}

static void add_hex(struct strbuf *out, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    strbuf_adds(out, "{\"hex\":\"");
    for (size_t i = 0; i < len; i++)
        strbuf_addf(out, "%02x", p[i]);
    strbuf_adds(out, "\"}");
}

static void add_string(struct strbuf *out, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json != NULL ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
    if (quoted != NULL)
        strbuf_adds(out, quoted);
    else
        add_hex(out, text, strlen(text));
    free(quoted);
    json_decref(json);
}

/* JSON bytes as they are (without a schema beside them) when they hold one value on one line; anything else as hex. */
static void add_raw(struct strbuf *out, const void *bytes, size_t len)
{
    codec_payload(bytes, len, &bytes, &len);
    json_t *json = json_loadb(bytes, len, JSON_DECODE_ANY, NULL);
    if (json != NULL && memchr(bytes, '\n', len) == NULL && memchr(bytes, '\r', len) == NULL)
        strbuf_add(out, bytes, len);
    else
        add_hex(out, bytes, len);
    json_decref(json);
}

/* JsonConverter's {"schema":…,"payload":…}: what stands for the record. Owned by the caller; NULL = there is none. */
static json_t *payload_of(json_t *json)
{
    json_t *payload = json_incref(json_object_get(json, "payload"));
    json_decref(json);
    return payload;
}

static void add_payload(struct strbuf *out, const void *bytes, size_t len)
{
    json_t *json = payload_of(json_loadb(bytes, len, 0, NULL));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text != NULL)
        strbuf_adds(out, text);
    else
        add_raw(out, bytes, len);
    free(text);
    json_decref(json);
}

static bool open_avro(struct record_printer *rp, struct err *err)
{
    if (rp->decoder != NULL || rp->foreign != NULL)
        return true;
    if (rp->schemas == NULL && !schema_store_open(&rp->config, &rp->schemas, err))
        return false;
    struct schema_source source = schema_store_source(rp->schemas);
    if (rp->foreign_set != NULL) {
        rp->foreign = foreign_settings_decoder(rp->foreign_set, &source);
        return true;
    }
    return rp->avro->decoder_open(&source, &rp->decoder, err);
}

static bool find_encoder(struct record_printer *rp, const struct table_schema *schema, struct encoder **ret,
                         struct err *err)
{
    for (size_t i = rp->encoder_count; i-- > 0;) {
        if (rp->encoders[i].schema == schema) {
            *ret = rp->encoders[i].encoder;
            return true;
        }
    }
    if (!rp->json->encoder_open(schema, ret, err))
        return false;
    rp->encoders = xrealloc(rp->encoders, (rp->encoder_count + 1) * sizeof *rp->encoders);
    rp->encoders[rp->encoder_count++] = (struct table_encoder){.schema = schema, .encoder = *ret};
    return true;
}

static bool decode(struct record_printer *rp, const struct journal_record *rec, struct change *ret,
                   struct err *err)
{
    struct foreign_record fr = foreign_record_of(rec);
    struct foreign_event ev;
    if (!open_avro(rp, err))
        return false;
    if (rp->foreign == NULL)
        return rp->avro->decode_value(rp->decoder, rec->stream, 0, rec->value, rec->value_len, &rp->arena,
                                      ret, err);
    if (!foreign_decode(rp->foreign, &fr, &rp->arena, &ev, err))
        return false;
    *ret = ev.change;
    return ev.kind == FOREIGN_CHANGE || err_set(err, ERR_PROTOCOL, "the record is no change of a row");
}

static bool add_avro(struct record_printer *rp, const struct journal_record *rec, struct strbuf *out,
                     struct err *err)
{
    struct change chg;
    struct encoder *enc = NULL;
    arena_clear(&rp->arena);
    strbuf_clear(&rp->last_key);
    strbuf_clear(&rp->last_text);
    if (!decode(rp, rec, &chg, err) || !find_encoder(rp, chg.schema, &enc, err))
        return false;
    const struct datum *row = chg.after != NULL ? chg.after : chg.before;
    if (rec->key != NULL && row != NULL && chg.schema->key_count > 0) {
        strbuf_add(&rp->last_key, rec->key, rec->key_len);
        if (!rp->json->encode_key(enc, row, &rp->last_text, err))
            return false;
    }
    return rp->json->encode_value(enc, &chg, out, err);
}

static bool is_avro(const void *bytes, size_t len)
{
    return len > 5 && *(const unsigned char *)bytes == AVRO_MAGIC;
}

static void add_key(struct record_printer *rp, const void *key, size_t len, struct strbuf *out)
{
    if (key == NULL)
        strbuf_adds(out, "null");
    else if (rp->last_text.len > 0 && rp->last_key.len == len && memcmp(rp->last_key.data, key, len) == 0)
        strbuf_add(out, rp->last_text.data, rp->last_text.len);
    else if (rp->foreign_set != NULL)
        add_payload(out, key, len);
    else
        add_raw(out, key, len);
}

static void add_headers(struct record_printer *rp, const struct journal_record *rec, struct strbuf *out)
{
    for (size_t i = 0; i < rec->header_count; i++) {
        const struct journal_header *h = &rec->headers[i];
        if (i > 0)
            strbuf_addc(out, ',');
        add_string(out, h->name);
        strbuf_addc(out, ':');
        const unsigned char *p = h->value;
        if (strcmp(h->name, HEADER_SCHEMA_ID) == 0 && h->value_len == 4)
            strbuf_addf(out, "%u", (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3]);
        else
            add_key(rp, h->value, h->value_len, out);
    }
}

/* Keys of the schema stream are 4 bytes: shown as the number they are. */
static bool is_number_key(const struct journal_record *rec)
{
    size_t len = strlen(rec->stream);
    return rec->key_len == 4 && len > 8 && strcmp(rec->stream + len - 8, ".schemas") == 0;
}

static void add_number(const struct journal_record *rec, struct strbuf *out)
{
    const unsigned char *p = rec->key;
    strbuf_addf(out, "%u", (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3]);
}

/* Metadata records are no envelopes: their Avro is read by their own schemas. */
static bool add_meta(const struct record_printer *rp, const struct journal_record *rec, bool is_key,
                     struct strbuf *out, struct err *err)
{
    const void *bytes = is_key ? rec->key : rec->value;
    size_t len = is_key ? rec->key_len : rec->value_len;
    if (is_avro(bytes, len))
        return meta_show(meta_kind_of(rp->config.topic_prefix, rec->stream), is_key, bytes, len, out, err);
    add_raw(out, bytes, len);
    return true;
}

static bool place(const struct journal_record *rec, struct err *err)
{
    return err_wrap(err, "topic=%s partition=%d offset=%llu", rec->stream, (int)rec->partition,
                    (unsigned long long)rec->offset);
}

bool record_texts(struct record_printer *rp, const struct journal_record *rec, struct record_texts *ret,
                  struct err *err)
{
    bool good = true;
    strbuf_clear(&rp->key_text);
    strbuf_clear(&rp->value_text);
    bool meta = rec->key != NULL && rec->value != NULL && rec->stream != NULL &&
                meta_kind_of(rp->config.topic_prefix, rec->stream) != META_KINDS_;
    if (meta)
        good = add_meta(rp, rec, false, &rp->value_text, err) && add_meta(rp, rec, true, &rp->key_text, err);
    else if (rec->value == NULL)
        strbuf_adds(&rp->value_text, "null");
    else if (is_avro(rec->value, rec->value_len))
        good = add_avro(rp, rec, &rp->value_text, err);
    else if (rp->foreign_set != NULL)
        add_payload(&rp->value_text, rec->value, rec->value_len);
    else
        add_raw(&rp->value_text, rec->value, rec->value_len);
    if (good && !meta && is_number_key(rec))
        add_number(rec, &rp->key_text);
    else if (good && !meta)
        add_key(rp, rec->key, rec->key_len, &rp->key_text);
    if (!good || !strbuf_ok(&rp->value_text, "record", err) || !strbuf_ok(&rp->key_text, "record key", err))
        return place(rec, err);
    *ret = (struct record_texts){.key = rp->key_text.data, .value = rp->value_text.data};
    return true;
}

bool record_write(struct record_printer *rp, const struct journal_record *rec,
                  const struct record_texts *texts, bool envelope_alone, struct strbuf *out, struct err *err)
{
    char time[ISO_TIME_MAX];
    if (envelope_alone) {
        strbuf_adds(out, texts->value);
        strbuf_addc(out, '\n');
        return strbuf_ok(out, "record", err) || place(rec, err);
    }
    strbuf_adds(out, "{\"stream\":");
    add_string(out, rec->stream);
    strbuf_addf(out, ",\"partition\":%d,\"offset\":%llu,\"timestamp\":\"%s\",\"key\":", (int)rec->partition,
                (unsigned long long)rec->offset, clock_iso(rec->timestamp_ms * 1000, time));
    strbuf_adds(out, texts->key);
    strbuf_adds(out, ",\"value\":");
    strbuf_adds(out, texts->value);
    strbuf_adds(out, ",\"headers\":{");
    add_headers(rp, rec, out);
    strbuf_addc(out, '}');
    if (rec->writer != 0) /* it counts under a fence of this writer, and under no other */
        strbuf_addf(out, ",\"writer\":\"%016llx\"", (unsigned long long)rec->writer);
    strbuf_adds(out, "}\n");
    return strbuf_ok(out, "record", err) || place(rec, err);
}
