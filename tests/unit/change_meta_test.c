/*
 * Records beside the changes of rows (lib/change/meta.h), against bytes that Debezium 3.1 wrote through an Avro converter;
 * and records that carry their schema (journal.json_schemas).
 */
#include "change_fixture.h"

#include <jansson.h>

#include <openssl/evp.h>

#include "change/meta.h"

/* --- Debezium's bytes --- */

struct recorded {
    uint32_t key_id, value_id;
    const char *key, *value; /* base64 */
    struct meta_event event;
};

static struct meta_collection types_all[] = {{(char *)"public.types_all", 1}};

static const struct recorded records[] = {
    {12,
     13,
     "AAAAAAwaMTQ3NDo0NzkwMjYyNA==",
     "AAAAAA0KQkVHSU4aMTQ3NDo0NzkwMjYyNAAAuP330b9o",
     {.kind = META_TRANSACTION,
      .source = {.xid = 1474, .commit_lsn = 47902624, .commit_time_us = 1795248029532000}}},
    {12,
     13,
     "AAAAAAwaMTQ3NDo0NzkwNDc5Mg==",
     "AAAAAA0GRU5EGjE0NzQ6NDc5MDQ3OTICAgICAiBwdWJsaWMudHlwZXNfYWxsAgC4/ffRv2g=",
     {.kind = META_TRANSACTION,
      .source = {.xid = 1474, .commit_lsn = 47904792, .commit_time_us = 1795248029532000},
      .end = true,
      .changes = 1,
      .collections = types_all,
      .collection_count = 1}},
    {26,
     27,
     "AAAAABoCCmluLXR4",
     "AAAAABsCbQKMkPjRv2gWMy4xLjAuRmluYWwUcG9zdGdyZXNxbARhdryB+NG/"
     "aAAKZmFsc2UMZ29sZGVuAi5bIjQ3OTkyNjAwIiwiNDc5OTM2OTYiXQKyxM"
     "uRmLGwBgLQpo62yaSA6jEAAAKoGALAzeItAAIaMTU1Njo0Nzk5MzY5NgYCAgppbi10eAIsaW5zaWRlIHRoZSB0cmFuc2FjdGlvbg==",
     {.kind = META_MESSAGE,
      .source = {.server = "av",
                 .database = "golden",
                 .lsn = 47993696,
                 .commit_lsn = 47993696,
                 .previous_commit_lsn = 47992600,
                 .xid = 1556,
                 .commit_time_us = 1795248029790489},
      .captured_us = 1795248030726000,
      .message_prefix = "in-tx",
      .content = "inside the transaction",
      .content_len = 22,
      .total_order = 3,
      .message_order = 1}},
    {26,
     27,
     "AAAAABoCGHByZWZpeC9ub250eA==",
     "AAAAABsCbQKMkPjRv2gWMy4xLjAuRmluYWwUcG9zdGdyZXNxbARhdsCB+NG/"
     "aAAKZmFsc2UMZ29sZGVuAi5bIjQ3OTk0MjAwIiwiNDc5OTQyMDAiXQK45s"
     "uRmLGwBgLApZi4yaSA6jEAAAACsNXiLQAAAhhwcmVmaXgvbm9udHgCBgD/EA==",
     {.kind = META_MESSAGE,
      .source = {.server = "av",
                 .database = "golden",
                 .lsn = 47994200,
                 .previous_commit_lsn = 47994200,
                 .commit_time_us = 1795248029792668},
      .captured_us = 1795248030726000,
      .message_prefix = "prefix/nontx",
      .content = "\0\xff\x10",
      .content_len = 3}},
};

static size_t from_base64(const char *text, unsigned char *out)
{
    size_t len = strlen(text);
    int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    assert_true(n > 0);
    return (size_t)n - (text[len - 1] == '=') - (text[len - 2] == '=');
}

static json_t *shown(enum meta_kind kind, bool is_key, const void *bytes, size_t len)
{
    struct strbuf out = STRBUF_INIT(65536);
    struct err err = ERR_INIT;
    if (!meta_show(kind, is_key, bytes, len, &out, &err))
        fail_msg("%s", err.text);
    json_t *tree = json_loadb(out.data, out.len, 0, NULL);
    assert_non_null(tree);
    strbuf_release(&out);
    json_t *source = json_object_get(tree, "source");
    if (source != NULL)
        json_object_del(source, "version");
    return tree;
}

/* Byte for byte, but for the connector's version. */
static void avro_is_debeziums(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        const struct recorded *r = &records[i];
        unsigned char key[512], value[512];
        size_t key_len = from_base64(r->key, key), value_len = from_base64(r->value, value);
        struct strbuf key_out = STRBUF_INIT(65536), value_out = STRBUF_INIT(65536);
        struct err err = ERR_INIT;
        assert_true(meta_encode(codec_by_name("avro"), &r->event, r->key_id, r->value_id, &key_out,
                                &value_out, &err));
        assert_int_equal(key_out.len, key_len);
        assert_memory_equal(key_out.data, key, key_len);
        json_t *ours = shown(r->event.kind, false, value_out.data, value_out.len);
        json_t *theirs = shown(r->event.kind, false, value, value_len);
        char *a = json_dumps(ours, 0), *b = json_dumps(theirs, 0);
        assert_string_equal(a, b);
        if (r->event.kind == META_TRANSACTION) {
            assert_int_equal(value_out.len, value_len);
            assert_memory_equal(value_out.data, value, value_len);
        }
        free(a);
        free(b);
        json_decref(ours);
        json_decref(theirs);
        strbuf_release(&key_out);
        strbuf_release(&value_out);
    }
}

/* Cut off anywhere, or with any byte flipped: an error or other values, never a crash. */
static void damaged_bytes_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        unsigned char value[512], copy[512];
        size_t len = from_base64(records[i].value, value);
        for (size_t n = 0; n < len; n++) {
            struct strbuf out = STRBUF_INIT(65536);
            struct err err = ERR_INIT;
            assert_false(meta_show(records[i].event.kind, false, value, n, &out, &err));
            assert_int_equal(err.code, ERR_PROTOCOL);
            memcpy(copy, value, len);
            copy[n] = (unsigned char)~copy[n];
            err_clear(&err);
            (void)!meta_show(records[i].event.kind, false, copy, len, &out, &err);
            strbuf_release(&out);
        }
    }
}

static void topics_have_debeziums_names(void **state)
{
    (void)state;
    static const char *const names[META_KINDS_] = {"shop.transaction", "__debezium-heartbeat.shop",
                                                   "shop.message"};
    for (int kind = 0; kind < META_KINDS_; kind++) {
        char *name = meta_topic((enum meta_kind)kind, "shop");
        assert_string_equal(name, names[kind]);
        assert_int_equal(meta_kind_of("shop", name), kind);
        assert_int_equal(meta_kind_of("sho", name), META_KINDS_);
        free(name);
    }
    assert_int_equal(meta_kind_of("shop", "shop.public.message"), META_KINDS_);
}

static void a_prefix_must_be_text(void **state)
{
    (void)state;
    struct meta_event event = records[2].event;
    struct strbuf key = STRBUF_INIT(65536), value = STRBUF_INIT(65536);
    struct err err = ERR_INIT;
    event.message_prefix = "\xff";
    assert_false(meta_encode(codec_by_name("json"), &event, 1, 2, &key, &value, &err));
    assert_int_equal(err.code, ERR_DATA);
}

/* --- records with their schema --- */

static void assert_bare(const void *text, size_t len, const char *bare)
{
    const void *payload;
    size_t payload_len;
    codec_payload(text, len, &payload, &payload_len);
    assert_int_equal(payload_len, strlen(bare));
    assert_memory_equal(payload, bare, payload_len);
}

static void metadata_carry_their_schema(void **state)
{
    (void)state;
    struct strbuf key = STRBUF_INIT(65536), value = STRBUF_INIT(65536);
    struct err err = ERR_INIT;
    const struct codec_ops *codec = codec_with_schemas(codec_by_name("json"));
    const struct meta_event event = {
        .kind = META_HEARTBEAT, .source = {.server = "shop"}, .captured_us = 7001};
    assert_true(meta_encode(codec, &event, 1, 2, &key, &value, &err));
    assert_bare(key.data, key.len, "{\"serverName\":\"shop\"}");
    assert_bare(value.data, value.len, "{\"ts_ms\":7}");
    json_t *whole = json_loadb(value.data, value.len, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(whole, "schema"), "name")),
                        "io.debezium.connector.common.Heartbeat");
    json_decref(whole);
    strbuf_release(&key);
    strbuf_release(&value);
}

/* A table whose columns are called as the parts of such a record are. */
static const struct column_spec awkward[] = {
    {.name = "schema", .phys = PHYS_STRING, .key = 1},
    {.name = "payload", .phys = PHYS_STRING, .key = 2},
    {.name = "op", .phys = PHYS_STRING, .optional = true},
};

static void rows_carry_their_schema(void **state)
{
    (void)state;
    struct rig bare, whole;
    struct err err = ERR_INIT;
    struct change back;
    struct strbuf text = STRBUF_INIT(65536);
    const struct datum row[] = {text_datum("{\"type\":\"struct\",\"fields\":["), text_datum(",\"payload\":{"),
                                text_datum("x")};
    rig_open(&bare, "json", make_table("public", "awkward", awkward, ARRAY_LEN(awkward)));
    rig_open(&whole, "json", make_table("public", "awkward", awkward, ARRAY_LEN(awkward)));
    whole.ops->encoder_close(whole.enc);
    whole.ops = codec_with_schemas(whole.ops);
    assert_string_equal(whole.ops->name, "json");
    assert_true(whole.ops->encoder_open(whole.table, &whole.enc, &err));
    const struct change of_bare = make_change(&bare, CHANGE_INSERT, NULL, row),
                        chg = make_change(&whole, CHANGE_INSERT, NULL, row);
    rig_encode(&bare, &of_bare);
    rig_encode(&whole, &chg);
    assert_bare(whole.out.data, whole.out.len, bare.out.data);
    assert_bare(bare.out.data, bare.out.len, bare.out.data);
    if (!rig_decode_bytes(&whole, whole.out.data, whole.out.len, &back, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ARRAY_LEN(awkward); i++)
        assert_datum(&whole.table->fields[i], &row[i], &back.after[i]);

    strbuf_clear(&bare.out);
    assert_true(bare.ops->encode_key(bare.enc, row, &bare.out, &err));
    assert_true(whole.ops->encode_key(whole.enc, row, &text, &err));
    assert_bare(text.data, text.len, bare.out.data);
    assert_bare(bare.out.data, bare.out.len, bare.out.data);
    json_t *key = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *schema = json_loads(whole.key_json, 0, NULL);
    assert_true(json_equal(json_object_get(key, "schema"), schema));
    json_decref(key);
    json_decref(schema);
    strbuf_clear(&text); /* what stands in a header is bare in both */
    assert_true(whole.ops->encode_header_key(whole.enc, row, &text, &err));
    assert_string_equal(text.data, bare.out.data);
    strbuf_release(&text);
    rig_close(&bare);
    rig_close(&whole);
}

/* The image of a key fills NOT NULL columns: a Decimal of no bytes would be refused by every converter. */
static const struct column_spec money[] = {
    {.name = "id", .phys = PHYS_INT32, .key = 1},
    {.name = "n", .phys = PHYS_BYTES, .semantic = "org.apache.kafka.connect.data.Decimal"},
};

static void a_filled_decimal_is_zero(void **state)
{
    (void)state;
    struct rig rig;
    const struct datum row[] = {int_datum(1), {.state = DATUM_NULL}};
    rig_open(&rig, "json", make_table("public", "money", money, ARRAY_LEN(money)));
    struct change chg = make_change(&rig, CHANGE_DELETE, row, NULL);
    chg.before_key_only = true;
    rig_encode(&rig, &chg);
    assert_non_null(strstr(rig.out.data, "\"before\":{\"id\":1,\"n\":\"AA==\"}"));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avro_is_debeziums),           cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(topics_have_debeziums_names), cmocka_unit_test(a_prefix_must_be_text),
        cmocka_unit_test(metadata_carry_their_schema), cmocka_unit_test(rows_carry_their_schema),
        cmocka_unit_test(a_filled_decimal_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
