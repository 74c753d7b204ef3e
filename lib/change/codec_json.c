/*
 * The JSON codec: envelopes as Kafka Connect's JsonConverter writes them, bare or with their schema beside them.
 * Member names are the exact column names. Whatever is the same for all records of a table is rendered once,
 * when the encoder opens.
 */
#include "change/codec_json.h"

#include <stdlib.h>
#include <string.h>

#include "change/envelope.h"
#include "change/json_nested.h"
#include "change/json_schema.h"
#include "change/json_write.h"
#include "core/alloc.h"

/* Rendered parts are names and a few constants; with schemas, these. */
#define RENDERED_MAX ((size_t)64 << 20)

struct text {
    char *p;
    size_t len;
};

struct json_encoder {
    struct encoder base;
    struct text *names;               /* per column: ,"name": (the comma is left out in front) */
    struct text source_head;          /* ,"source":{"version":…,"connector":…,"name": */
    struct text source_names;         /* ,"schema":…,"table":…,"txId": */
    struct text key_head, value_head; /* {"schema":…,"payload": or nothing */
};

static struct text render_take(struct strbuf *sb)
{
    struct text t = {.len = sb->len};
    t.p = strbuf_detach(sb);
    return t;
}

static void put_text(struct strbuf *out, const char *text)
{
    json_put_string(out, text, strlen(text));
}

static void put_rendered(struct strbuf *out, const struct text *t)
{
    if (t->len != 0)
        strbuf_add(out, t->p, t->len);
}

static struct text render_head(struct strbuf *sb, const char *schema_json)
{
    strbuf_adds(sb, JSON_SCHEMA_HEAD);
    strbuf_adds(sb, schema_json);
    strbuf_adds(sb, JSON_PAYLOAD_HEAD);
    return render_take(sb);
}

static bool open_encoder(const struct table_schema *schema, bool with_schemas, struct encoder **ret,
                         struct err *err)
{
    char *key_json CLEANUP(free_ptr) = NULL;
    char *value_json CLEANUP(free_ptr) = NULL;
    if (!json_schema_texts(schema, &key_json, &value_json, err)) /* checks names and types */
        return false;
    struct json_encoder *enc = xcalloc(1, sizeof *enc);
    struct strbuf sb = STRBUF_INIT(RENDERED_MAX);
    enc->base.schema = schema;
    if (with_schemas && key_json != NULL)
        enc->key_head = render_head(&sb, key_json);
    if (with_schemas)
        enc->value_head = render_head(&sb, value_json);
    enc->names = xcalloc(schema->field_count + 1, sizeof *enc->names);
    for (size_t i = 0; i < schema->field_count; i++) {
        strbuf_addc(&sb, ',');
        put_text(&sb, schema->fields[i].name);
        strbuf_addc(&sb, ':');
        enc->names[i] = render_take(&sb);
    }
    strbuf_adds(&sb, ",\"source\":{\"version\":");
    put_text(&sb, CF_VERSION);
    strbuf_addf(&sb, ",\"connector\":\"%s\",\"name\":", schema->mariadb ? MARIADB_NAME : CONNECTOR_NAME);
    enc->source_head = render_take(&sb);
    if (!schema->mariadb) {
        strbuf_adds(&sb, ",\"schema\":");
        put_text(&sb, schema->schema);
    }
    strbuf_adds(&sb, ",\"table\":");
    put_text(&sb, schema->table);
    strbuf_adds(&sb, schema->mariadb ? ",\"server_id\":" : ",\"txId\":");
    enc->source_names = render_take(&sb);
    *ret = &enc->base;
    return true;
}

static bool json_encoder_open(const struct table_schema *schema, struct encoder **ret, struct err *err)
{
    return open_encoder(schema, false, ret, err);
}

static bool json_encoder_open_schemas(const struct table_schema *schema, struct encoder **ret,
                                      struct err *err)
{
    return open_encoder(schema, true, ret, err);
}

static void json_encoder_close(struct encoder *base)
{
    struct json_encoder *enc = (struct json_encoder *)base;
    if (enc == NULL)
        return;
    for (size_t i = 0; i < base->schema->field_count; i++)
        free(enc->names[i].p);
    free(enc->names);
    free(enc->source_head.p);
    free(enc->source_names.p);
    free(enc->key_head.p);
    free(enc->value_head.p);
    free(enc);
}

static void put_datum(struct strbuf *out, const struct field *f, const struct datum *d)
{
    if (d->state == DATUM_NULL)
        strbuf_add(out, "null", 4);
    else if (f->phys < PHYS_ARRAY)
        json_put_scalar(out, f->phys, d);
    else
        json_put_nested(out, f, d);
}

/* Member `index`; first: without the comma. */
static bool put_member(struct json_encoder *enc, struct strbuf *out, size_t index, const struct datum *d,
                       bool first, struct err *err)
{
    const struct text *name = &enc->names[index];
    if (!envelope_check_datum(enc->base.schema, index, d, err))
        return false;
    strbuf_add(out, name->p + first, name->len - first);
    put_datum(out, &enc->base.schema->fields[index], d);
    return true;
}

static bool put_image(struct json_encoder *enc, struct strbuf *out, const struct datum *image, bool key_only,
                      struct err *err)
{
    const struct table_schema *schema = enc->base.schema;
    if (image == NULL) {
        strbuf_add(out, "null", 4);
        return true;
    }
    struct stand_in room;
    strbuf_addc(out, '{');
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct datum *d = envelope_datum(&schema->fields[i], &image[i], key_only, &room);
        if (!put_member(enc, out, i, d, i == 0, err))
            return false;
    }
    strbuf_addc(out, '}');
    return true;
}

static void put_named_int(struct strbuf *out, const char *name_and_colon, int64_t v)
{
    strbuf_adds(out, name_and_colon);
    json_put_int(out, v);
}

/* Nanoseconds for consumers that want them; null beyond the year 2262. */
static void put_nanos(struct strbuf *out, int64_t us, bool lean)
{
    strbuf_adds(out, ",\"ts_ns\":");
    if (lean || us > INT64_MAX / 1000 || us < INT64_MIN / 1000)
        strbuf_adds(out, "null");
    else
        json_put_int(out, us * 1000);
}

/* What MariaDB's block has in place of a transaction's number and an LSN. */
static void put_place(struct strbuf *out, const struct change_source *src)
{
    json_put_int(out, src->server_id);
    strbuf_adds(out, ",\"gtid\":");
    if (src->gtid != NULL)
        put_text(out, src->gtid);
    else
        strbuf_adds(out, "null");
    strbuf_adds(out, ",\"file\":");
    put_text(out, src->file);
    put_named_int(out, ",\"pos\":", (int64_t)src->pos);
    put_named_int(out, ",\"row\":", src->row);
    strbuf_adds(out, ",\"thread\":null,\"query\":null}");
}

static void put_source(struct json_encoder *enc, struct strbuf *out, const struct change *chg)
{
    const struct change_source *src = &chg->source;
    bool lean = enc->base.schema->lean;
    char sequence[SEQUENCE_MAX];
    put_rendered(out, &enc->source_head);
    put_text(out, src->server);
    put_named_int(out, ",\"ts_ms\":", src->commit_time_us / 1000);
    strbuf_adds(out, ",\"snapshot\":");
    if (lean && src->snapshot == SNAPSHOT_FALSE)
        strbuf_adds(out, "null");
    else
        put_text(out, envelope_snapshot_text(chg));
    strbuf_adds(out, ",\"db\":");
    put_text(out, src->database);
    strbuf_adds(out, ",\"sequence\":");
    if (lean || enc->base.schema->mariadb)
        strbuf_adds(out, "null");
    else
        json_put_string(out, sequence, envelope_sequence(chg, sequence));
    put_named_int(out, ",\"ts_us\":", src->commit_time_us);
    put_nanos(out, src->commit_time_us, lean);
    put_rendered(out, &enc->source_names);
    if (enc->base.schema->mariadb) {
        put_place(out, src);
        return;
    }
    json_put_int(out, src->xid);
    put_named_int(out, ",\"lsn\":", (int64_t)src->lsn);
    strbuf_adds(out, ",\"xmin\":null}");
}

static void put_transaction(struct strbuf *out, const struct change *chg)
{
    char id[TRANSACTION_ID_MAX];
    if (change_is_copied(chg)) {
        strbuf_adds(out, ",\"transaction\":null");
        return;
    }
    strbuf_adds(out, ",\"transaction\":{\"id\":");
    json_put_string(out, id, envelope_transaction_id(chg, id));
    put_named_int(out, ",\"total_order\":", (int64_t)chg->total_order);
    put_named_int(out, ",\"data_collection_order\":", (int64_t)chg->table_order);
    strbuf_addc(out, '}');
}

static void put_unavailable(struct strbuf *out, const struct table_schema *schema, const struct datum *image)
{
    bool first = true;
    strbuf_addc(out, '[');
    for (size_t i = 0; image != NULL && i < schema->field_count; i++) {
        if (image[i].state != DATUM_UNAVAILABLE)
            continue;
        if (!first)
            strbuf_addc(out, ',');
        json_put_int(out, (int64_t)i);
        first = false;
    }
    strbuf_addc(out, ']');
}

static void put_hints(struct strbuf *out, const struct change *chg)
{
    bool key_only = chg->before != NULL && chg->before_key_only;
    strbuf_adds(out, ",\"" HINTS_FIELD "\":{\"before_key_only\":");
    strbuf_adds(out, key_only ? "true" : "false");
    strbuf_adds(out, ",\"before_unavailable\":");
    put_unavailable(out, chg->schema, key_only ? NULL : chg->before);
    strbuf_adds(out, ",\"after_unavailable\":");
    put_unavailable(out, chg->schema, chg->after);
    strbuf_addc(out, '}');
}

/* On failure the buffer is as it was. */
static bool finish(struct strbuf *out, size_t old_len, bool ok, const char *what, struct err *err)
{
    if (ok && strbuf_ok(out, what, err))
        return true;
    out->len = old_len;
    if (out->cap != 0)
        out->data[old_len] = '\0';
    return false;
}

static bool json_encode_value(struct encoder *base, const struct change *chg, struct strbuf *out,
                              struct err *err)
{
    struct json_encoder *enc = (struct json_encoder *)base;
    size_t old_len = out->len;
    if (!envelope_check(base, chg, err))
        return false;
    put_rendered(out, &enc->value_head);
    strbuf_adds(out, "{\"before\":");
    bool ok = put_image(enc, out, chg->before, chg->before_key_only, err);
    strbuf_adds(out, ",\"after\":");
    ok = ok && put_image(enc, out, chg->after, false, err);
    if (!ok)
        return finish(out, old_len, false, "record", err);
    put_source(enc, out, chg);
    put_transaction(out, chg);
    const char op[] = {',', '"', 'o', 'p', '"', ':', '"', (char)chg->op, '"'};
    strbuf_add(out, op, sizeof op);
    put_named_int(out, ",\"ts_ms\":", chg->captured_us / 1000);
    if (base->schema->lean)
        strbuf_adds(out, ",\"ts_us\":null");
    else
        put_named_int(out, ",\"ts_us\":", chg->captured_us);
    put_nanos(out, chg->captured_us, base->schema->lean);
    if (envelope_needs_hints(chg))
        put_hints(out, chg);
    strbuf_adds(out, enc->value_head.len != 0 ? "}}" : "}");
    return finish(out, old_len, true, "record", err);
}

static bool json_encode_header_key(struct encoder *base, const struct datum *row, struct strbuf *out,
                                   struct err *err)
{
    struct json_encoder *enc = (struct json_encoder *)base;
    const struct table_schema *schema = base->schema;
    size_t old_len = out->len;
    bool ok = true;
    strbuf_addc(out, '{');
    for (size_t k = 0; ok && k < schema->key_count; k++) {
        size_t at = schema->key_fields[k];
        ok = envelope_check_key(schema, at, &row[at], err) && put_member(enc, out, at, &row[at], k == 0, err);
    }
    if (schema->shared_id != NULL) {
        strbuf_adds(out, ",\"" SHARED_ID_FIELD "\":");
        put_text(out, schema->shared_id);
    }
    strbuf_addc(out, '}');
    return finish(out, old_len, ok, "record key", err);
}

static bool json_encode_key(struct encoder *base, const struct datum *row, struct strbuf *out,
                            struct err *err)
{
    struct json_encoder *enc = (struct json_encoder *)base;
    size_t old_len = out->len;
    put_rendered(out, &enc->key_head);
    if (!json_encode_header_key(base, row, out, err))
        return finish(out, old_len, false, "record key", err);
    if (enc->key_head.len != 0)
        strbuf_addc(out, '}');
    return finish(out, old_len, true, "record key", err);
}

static bool json_decoder_open(const struct schema_source *schemas, struct decoder **ret, struct err *err)
{
    *ret = decoder_new(schemas, json_shape_parse, json_plan_free);
    return true;
}

/* They differ in what stands around a record. */
#define JSON_OPS(open)                                                                                       \
    {                                                                                                        \
        .name = "json", .schema_texts = json_schema_texts, .encoder_open = (open),                           \
        .encode_key = json_encode_key, .encode_header_key = json_encode_header_key,                          \
        .encode_value = json_encode_value, .encoder_close = json_encoder_close,                              \
        .decoder_open = json_decoder_open, .decode_value = json_decode_value, .decoder_close = decoder_free, \
    }
const struct codec_ops codec_json_ops = JSON_OPS(json_encoder_open);
const struct codec_ops codec_json_schemas_ops = JSON_OPS(json_encoder_open_schemas);
