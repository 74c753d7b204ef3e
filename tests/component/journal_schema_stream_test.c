/* The schema stream, on lmdb and, when CF_KAFKA_BOOTSTRAP names a broker, on Kafka. */
#include "journal/schema_home.h"
#include "journal/schema_store.h"
#include "journal_case.h"

static struct schema_store *open_schemas(struct journal_case *jc)
{
    struct schema_store *ss = NULL;
    OK(jc, schema_store_open(&jc->config, &ss, &jc->err));
    return ss;
}

static uint32_t reg(struct journal_case *jc, struct schema_store *ss, struct journal_writer *jw,
                    const char *subject, const char *text)
{
    uint32_t id = 0;
    OK(jc, schema_store_register(ss, jw, subject, "avro", text, &id, &jc->err));
    return id;
}

static void check_text(struct journal_case *jc, struct schema_source source, uint32_t id, const char *want)
{
    const char *text = NULL;
    OK(jc, source.lookup(source.ctx, id, &text, &jc->err));
    assert_string_equal(text, want);
}

static void ids_are_kept(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    struct schema_store *ss = open_schemas(jc);
    uint32_t one = reg(jc, ss, jw, "t-key", "{\"a\":1}"),
             two = reg(jc, ss, jw, "t-value", "{\"b\":\"\\u00e9\"}");
    assert_int_equal(one, 1);
    assert_int_equal(two, 2);
    assert_int_equal(reg(jc, ss, jw, "t-key", "{\"a\":1}"), one);
    assert_int_equal(reg(jc, ss, jw, "t-key", "{\"a\":2}"), 3);
    assert_int_equal(reg(jc, ss, jw, "u-key", "{\"a\":1}"), 4); /* another subject, another id */
    OK(jc, journal_commit(jw, &jc->err));
    schema_store_close(ss);
    journal_writer_close(jw);
    jw = open_writer(jc);
    ss = open_schemas(jc);
    assert_int_equal(reg(jc, ss, jw, "t-value", "{\"b\":\"\\u00e9\"}"), two);
    assert_int_equal(reg(jc, ss, jw, "t-key", "{\"a\":1}"), one);
    assert_int_equal(reg(jc, ss, jw, "t-value", "{}"), 5);
    check_text(jc, schema_store_source(ss), 5, "{}");
    check_text(jc, schema_store_source(ss), two, "{\"b\":\"\\u00e9\"}");
    schema_store_close(ss);
    schema_store_close(NULL);
    journal_writer_close(jw);
}

/* The unit is lost; the id is given again, to whoever comes first. */
static void an_aborted_unit_leaves_nothing(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    struct schema_store *ss = open_schemas(jc);
    reg(jc, ss, jw, "a", "{}");
    OK(jc, journal_commit(jw, &jc->err));
    assert_int_equal(reg(jc, ss, jw, "lost", "{}"), 2);
    schema_store_close(ss);
    journal_writer_close(jw);
    jw = open_writer(jc);
    ss = open_schemas(jc);
    assert_int_equal(reg(jc, ss, jw, "b", "{}"), 2);
    OK(jc, journal_commit(jw, &jc->err));
    schema_store_close(ss);
    journal_writer_close(jw);
}

static void a_reader_reads_on_for_an_unknown_id(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    struct schema_store *writing = open_schemas(jc), *reading = open_schemas(jc);
    struct schema_source source = schema_store_source(reading);
    const char *text;
    char schema[64];
    FAILS(jc, ERR_PROTOCOL, source.lookup(source.ctx, 1, &text, &jc->err));
    for (int i = 1; i <= 20; i++) {
        (void)snprintf(schema, sizeof schema, "{\"n\":%d}", i);
        assert_int_equal(reg(jc, writing, jw, "s", schema), i);
        put(jc, jw, data_stream(jc, jw, "a"), "k", "v");
        OK(jc, journal_commit(jw, &jc->err));
        if (i % 5 == 0) {
            /* As apply does: it has read the fence, so the unit is there. */
            struct journal_reader *jr = open_reader(jc, NULL);
            assign_one(jc, jr, stream_name(jc, "schemas"), 0, JOURNAL_FOLLOW);
            for (int n = 0; n < i; n++)
                assert_non_null(get(jc, jr));
            journal_reader_close(jr);
            check_text(jc, source, (uint32_t)i, schema);
        }
    }
    FAILS(jc, ERR_PROTOCOL, source.lookup(source.ctx, 21, &text, &jc->err));
    FAILS(jc, ERR_PROTOCOL, source.lookup(source.ctx, 0, &text, &jc->err));
    check_text(jc, source, 1, "{\"n\":1}");
    schema_store_close(writing);
    schema_store_close(reading);
    journal_writer_close(jw);
}

static void check_bad(struct journal_case *jc, const char *text)
{
    struct journal_writer *jw = open_writer(jc);
    struct schema_store *ss = open_schemas(jc), *none = NULL;
    uint32_t id;
    FAILS(jc, ERR_DATA, schema_store_register(ss, jw, "bad", "avro", "\xff\xfe", &id, &jc->err));
    reg(jc, ss, jw, "a", "{}");
    put(jc, jw, 0, "k", text); /* stream 0 is the schema stream: the first that was made */
    OK(jc, journal_commit(jw, &jc->err));
    int64_t until_us = clock_mono_us() + 10000000;
    while (schema_store_open(&jc->config, &none, &jc->err) && clock_mono_us() < until_us) {
        schema_store_close(none); /* Kafka: not visible yet */
        usleep(10000);
    }
    assert_int_equal(jc->err.code, ERR_PROTOCOL);
    assert_non_null(strstr(jc->err.text, "offset=1"));
    err_clear(&jc->err);
    schema_store_close(ss);
    journal_writer_close(jw);
}

static void bad_records_are_refused(void **state)
{
    static const char *const bad[] = {
        "no json", "{}",
        "{\"id\":4000000000,\"subject\":\"s\",\"version\":1,\"format\":\"avro\",\"schema\":\"\"}",
        "{\"id\":0,\"subject\":\"s\",\"version\":1,\"format\":\"avro\",\"schema\":\"\"}",
        "{\"id\":1,\"subject\":\"s\",\"version\":1,\"format\":\"avro\",\"schema\":\"\"}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct journal_case jc;
        case_init(&jc, kind_now, getenv("CF_KAFKA_BOOTSTRAP"));
        check_bad(&jc, bad[i]);
        case_done(&jc);
    }
}

/* Waits for the journal to say so: on Kafka a commit may become visible a moment later. */
static void check_home(struct journal_case *jc, enum schema_home want)
{
    enum schema_home home = SCHEMA_HOME_UNKNOWN;
    int64_t until_us = clock_mono_us() + 10000000;
    do {
        OK(jc, schema_home_read(&jc->config, &home, &jc->err));
    } while (home != want && clock_mono_us() < until_us);
    assert_int_equal(home, want);
}

/* Opening a registry's store asks nobody, so none is needed here. */
static void a_journal_keeps_to_its_store(void **state)
{
    struct journal_case *jc = *state;
    struct schema_store *store = NULL;
    struct journal_config with = jc->config;
    with.registry = "http://user:secret@127.0.0.1:1";
    struct journal_writer *jw = open_writer(jc);
    check_home(jc, SCHEMA_HOME_UNKNOWN);
    OK(jc, schema_home_write(jw, jc->prefix, "http://127.0.0.1:1", &jc->err));
    journal_writer_close(jw); /* without a commit: the note is lost */
    jw = open_writer(jc);
    check_home(jc, SCHEMA_HOME_UNKNOWN);
    store = open_schemas(jc);
    reg(jc, store, jw, "a", "{}");
    OK(jc, journal_commit(jw, &jc->err));
    schema_store_close(store);
    check_home(jc, SCHEMA_HOME_STREAM);
    FAILS(jc, ERR_CONFIG, schema_store_open(&with, &store, &jc->err));
    journal_writer_close(jw);
}

static void a_note_is_no_schema(void **state)
{
    struct journal_case *jc = *state;
    struct schema_store *store = NULL;
    struct journal_config with = jc->config;
    with.registry = "http://user:secret@127.0.0.1:1";
    struct journal_writer *jw = open_writer(jc);
    store = open_schemas(jc);
    OK(jc, schema_home_write(jw, jc->prefix, "http://127.0.0.1:1/path", &jc->err));
    OK(jc, journal_commit(jw, &jc->err));
    check_home(jc, SCHEMA_HOME_REGISTRY);
    /* One that is open already finds out when it reads on. */
    struct schema_source source = schema_store_source(store);
    const char *text;
    FAILS(jc, ERR_CONFIG, source.lookup(source.ctx, 1, &text, &jc->err));
    schema_store_close(store);
    if (schema_store_open(&jc->config, &store, &jc->err))
        fail_msg("the built-in store was opened over a registry's note");
    assert_non_null(strstr(jc->err.text, "in the registry http://127.0.0.1:1/path"));
    err_clear(&jc->err);
    OK(jc, schema_store_open(&with, &store, &jc->err));
    source = schema_store_source(store);
    if (source.lookup(source.ctx, 1, &text, &jc->err))
        fail_msg("nobody listens on port 1");
    assert_int_equal(jc->err.code, ERR_CONNECT);
    assert_null(strstr(jc->err.text, "secret"));
    err_clear(&jc->err);
    schema_store_close(store);
    journal_writer_close(jw);
}

static const struct CMUnitTest tests[] = {
    ON_FRESH(ids_are_kept),
    ON_FRESH(an_aborted_unit_leaves_nothing),
    ON_FRESH(a_reader_reads_on_for_an_unknown_id),
    ON_FRESH(bad_records_are_refused),
    ON_FRESH(a_journal_keeps_to_its_store),
    ON_FRESH(a_note_is_no_schema),
};

int main(void)
{
    kind_now = KIND_LMDB;
    int failed = _cmocka_run_group_tests("lmdb", tests, ARRAY_LEN(tests), NULL, NULL);
    kind_now = KIND_KAFKA;
    if (getenv("CF_KAFKA_BOOTSTRAP") != NULL)
        failed += _cmocka_run_group_tests("kafka", tests, ARRAY_LEN(tests), NULL, NULL);
    else
        printf("kafka: not run, CF_KAFKA_BOOTSTRAP=host:port is not set\n");
    return failed != 0;
}
