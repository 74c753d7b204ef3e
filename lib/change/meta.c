/* Owns: what stands in the topics beside those of the tables. See meta.h. */
#include "change/meta.h"

#include <stdlib.h>
#include <string.h>

#include "change/connect.h"
#include "change/connect_blocks.h"
#include "change/json_schema.h"
#include "change/meta_internal.h"
#include "core/alloc.h"
#include "core/utf8.h"

#define AVRO_HEAD 5 /* 0x00 and the schema's id */

#define STRUCT(fields, name)                                                                                 \
    "{\"type\":\"struct\",\"fields\":[" fields "],\"optional\":false,\"name\":\"" name "\",\"version\":1}"

/* clang-format off */
static const char *const key_schemas[META_KINDS_] = {
    [META_TRANSACTION] = STRUCT(NEED("string", "id"), "io.debezium.connector.common.TransactionMetadataKey"),
    [META_HEARTBEAT] = STRUCT(NEED("string", "serverName"), "io.debezium.connector.common.ServerNameKey"),
    [META_MESSAGE] = STRUCT(MAY("string", "prefix"), CONNECTOR_PACKAGE ".MessageKey"),
};

static const char *const value_schemas[META_KINDS_] = {
    [META_TRANSACTION] = STRUCT(
        NEED("string", "status") "," NEED("string", "id") "," MAY("int64", "event_count") ","
        "{\"type\":\"array\",\"items\":{\"type\":\"struct\",\"fields\":["
        NEED("string", "data_collection") "," NEED("int64", "event_count")
        "],\"optional\":true,\"name\":\"event.collection\",\"version\":1},\"optional\":true,\"field\":\"data_collections\"},"
        NEED("int64", "ts_ms"), "io.debezium.connector.common.TransactionMetadataValue"),
    [META_HEARTBEAT] = STRUCT(NEED("int64", "ts_ms"), "io.debezium.connector.common.Heartbeat"),
    [META_MESSAGE] = STRUCT(
        NEED("string", "op") "," MAY("int64", "ts_ms") "," CONNECT_SOURCE "," CONNECT_TRANSACTION ","
        "{\"type\":\"struct\",\"fields\":[" MAY("string", "prefix") "," MAY("bytes", "content")
        "],\"optional\":false,\"name\":\"" CONNECTOR_PACKAGE ".Message\",\"version\":1,\"field\":\"message\"}",
        CONNECTOR_PACKAGE ".MessageValue"),
};
/* clang-format on */

/* --- topics --- */

char *meta_topic(enum meta_kind kind, const char *topic_prefix)
{
    switch (kind) {
    case META_TRANSACTION:
        return xasprintf("%s.transaction", topic_prefix);
    case META_HEARTBEAT:
        return xasprintf("__debezium-heartbeat.%s", topic_prefix);
    case META_MESSAGE:
        return xasprintf("%s.message", topic_prefix);
    case META_KINDS_:
        break;
    }
    BUG("metadata records of kind %d", (int)kind);
}

enum meta_kind meta_kind_of(const char *topic_prefix, const char *topic)
{
    for (int kind = 0; kind < META_KINDS_; kind++) {
        char *name CLEANUP(free_ptr) = meta_topic((enum meta_kind)kind, topic_prefix);
        if (strcmp(name, topic) == 0)
            return (enum meta_kind)kind;
    }
    return META_KINDS_;
}

/* --- values --- */

static json_t *make_source(const struct change *chg)
{
    const struct change_source *src = &chg->source;
    char sequence[SEQUENCE_MAX];
    size_t n = envelope_sequence(chg, sequence);
    json_int_t us = src->commit_time_us;
    json_t *ns = us > INT64_MAX / 1000 || us < INT64_MIN / 1000 ? json_null() : json_integer(us * 1000);
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:s, s:s, s:s%, s:I, s:o, s:s, s:s, s:o, s:I, s:n}", "version", CF_VERSION,
        "connector", CONNECTOR_NAME, "name", src->server, "ts_ms", us / 1000, "snapshot", "false", "db",
        src->database, "sequence", sequence, n, "ts_us", us, "ts_ns", ns, "schema", "", "table", "", "txId",
        src->commit_lsn != 0 ? json_integer(src->xid) : json_null(), "lsn", (json_int_t)src->lsn, "xmin");
}

static json_t *make_id(const struct change *chg)
{
    char id[TRANSACTION_ID_MAX];
    return json_stringn(id, envelope_transaction_id(chg, id));
}

static json_t *make_message(const struct meta_event *e, const struct change *chg)
{
    json_t *transaction = json_null();
    if (e->source.commit_lsn != 0)
        transaction =
            json_pack("{s:o, s:I, s:I}", "id", make_id(chg), "total_order", (json_int_t)e->total_order,
                      "data_collection_order", (json_int_t)e->message_order);
    return json_pack("{s:s, s:I, s:o, s:o, s:{s:s, s:o}}", "op", "m", "ts_ms",
                     (json_int_t)(e->captured_us / 1000), "source", make_source(chg), "transaction",
                     transaction, "message", "prefix", e->message_prefix, "content",
                     meta_base64(e->content, e->content_len));
}

static json_t *make_transaction(const struct meta_event *e, const struct change *chg)
{
    json_t *count = json_null(), *collections = json_null();
    if (e->end) {
        count = json_integer((json_int_t)e->changes);
        collections = json_array();
        for (size_t i = 0; i < e->collection_count; i++)
            json_array_append_new(collections,
                                  json_pack("{s:s, s:I}", "data_collection", e->collections[i].name,
                                            "event_count", (json_int_t)e->collections[i].changes));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:I}", "status", e->end ? "END" : "BEGIN", "id", make_id(chg),
                     "event_count", count, "data_collections", collections, "ts_ms",
                     (json_int_t)(e->source.commit_time_us / 1000));
}

static void make_record(const struct meta_event *e, json_t **ret_key, json_t **ret_value)
{
    const struct change chg = {.source = e->source};
    switch (e->kind) {
    case META_TRANSACTION:
        *ret_key = json_pack("{s:o}", "id", make_id(&chg));
        *ret_value = make_transaction(e, &chg);
        break;
    case META_HEARTBEAT:
        *ret_key = json_pack("{s:s}", "serverName", e->source.server);
        *ret_value = json_pack("{s:I}", "ts_ms", (json_int_t)(e->captured_us / 1000));
        break;
    case META_MESSAGE:
        *ret_key = json_pack("{s:s}", "prefix", e->message_prefix);
        *ret_value = make_message(e, &chg);
        break;
    case META_KINDS_:
        break;
    }
    BUG_UNLESS(*ret_key != NULL && *ret_value != NULL);
}

/* --- bytes --- */

static bool is_avro(const struct codec_ops *codec)
{
    return strcmp(codec->name, "avro") == 0;
}

static json_t *parse(const char *text)
{
    json_t *schema = json_loads(text, 0, NULL);
    BUG_UNLESS(schema != NULL);
    return schema;
}

static char *schema_text(const char *connect, const struct codec_ops *codec)
{
    if (!is_avro(codec))
        return xstrdup(connect);
    json_t *schema = parse(connect);
    char *text = connect_dump(meta_avro_schema(schema));
    json_decref(schema);
    return text;
}

void meta_schema_texts(enum meta_kind kind, const struct codec_ops *codec, char **ret_key, char **ret_value)
{
    *ret_key = schema_text(key_schemas[kind], codec);
    *ret_value = schema_text(value_schemas[kind], codec);
}

/* Takes the value over. */
static void put(const struct codec_ops *codec, const char *connect, uint32_t id, json_t *value,
                struct strbuf *out)
{
    if (is_avro(codec)) {
        const char head[AVRO_HEAD] = {0, (char)(id >> 24), (char)(id >> 16), (char)(id >> 8), (char)id};
        json_t *schema = parse(connect);
        strbuf_add(out, head, sizeof head);
        meta_avro_write(schema, value, out);
        json_decref(schema);
        json_decref(value);
        return;
    }
    bool whole = codec == &codec_json_schemas_ops;
    char *text = connect_dump(value);
    if (whole)
        strbuf_adds(out, JSON_SCHEMA_HEAD), strbuf_adds(out, connect), strbuf_adds(out, JSON_PAYLOAD_HEAD);
    strbuf_adds(out, text);
    if (whole)
        strbuf_addc(out, '}');
    free(text);
}

bool meta_encode(const struct codec_ops *codec, const struct meta_event *event, uint32_t key_id,
                 uint32_t value_id, struct strbuf *key, struct strbuf *value, struct err *err)
{
    json_t *key_tree = NULL, *value_tree = NULL;
    if (event->kind == META_MESSAGE && !utf8_valid(event->message_prefix, strlen(event->message_prefix)))
        return err_set(err, ERR_DATA, "a logical message's prefix is not valid UTF-8");
    if (event->kind == META_MESSAGE && event->content_len > INT32_MAX / 2)
        return err_set(err, ERR_NO_MEMORY, "a logical message of %zu bytes is too large", event->content_len);
    make_record(event, &key_tree, &value_tree);
    put(codec, key_schemas[event->kind], key_id, key_tree, key);
    put(codec, value_schemas[event->kind], value_id, value_tree, value);
    return strbuf_ok(key, "record key", err) && strbuf_ok(value, "record", err);
}

bool meta_show(enum meta_kind kind, bool is_key, const void *bytes, size_t len, struct strbuf *out,
               struct err *err)
{
    const char *why = "record is cut short";
    json_t *schema = parse(is_key ? key_schemas[kind] : value_schemas[kind]), *value = NULL;
    if (len >= AVRO_HEAD)
        value = meta_avro_read(schema, (const char *)bytes + AVRO_HEAD, len - AVRO_HEAD, &why);
    json_decref(schema);
    if (value == NULL)
        return err_set(err, ERR_PROTOCOL, "record does not parse: %s", why);
    char *text = connect_dump(value);
    strbuf_adds(out, text);
    free(text);
    return strbuf_ok(out, "record", err);
}
