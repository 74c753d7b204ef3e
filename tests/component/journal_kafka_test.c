/*
 * What only Kafka does, on the broker that CF_KAFKA_BOOTSTRAP names: partitions by key, topic configuration,
 * records that went away, transactions of killed writers, a broker that is away (CF_KAFKA_PID: stopped and
 * continued by signals).
 */
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <sys/wait.h>

#include "journal_case.h"

static const char *bootstrap;

static int setup(void **state)
{
    struct journal_case *jc = xmalloc(sizeof *jc);
    case_init(jc, KIND_KAFKA, bootstrap);
    *state = jc;
    return 0;
}

static int teardown(void **state)
{
    case_done(*state);
    free(*state);
    return 0;
}

/* --- a client of the test's own --- */

static rd_kafka_t *admin_client(void)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof text),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(rk);
    return rk;
}

static void finish_admin(rd_kafka_t *rk, rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 20000);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void create_topic(const char *name, int partitions, const char *key, const char *value)
{
    rd_kafka_t *rk = admin_client();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, NULL, 0);
    if (key != NULL)
        assert_int_equal(rd_kafka_NewTopic_set_config(topic, key, value), 0);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    finish_admin(rk, queue);
    rd_kafka_NewTopic_destroy(topic);
}

static void delete_topic(const char *name)
{
    rd_kafka_t *rk = admin_client();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    finish_admin(rk, queue);
    rd_kafka_DeleteTopic_destroy(topic);
}

static void delete_records(const char *name, int64_t before)
{
    rd_kafka_t *rk = admin_client();
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, name, 0)->offset = before;
    rd_kafka_DeleteRecords_t *del = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &del, 1, NULL, queue);
    finish_admin(rk, queue);
    rd_kafka_DeleteRecords_destroy(del);
    rd_kafka_topic_partition_list_destroy(list);
}

/* Waits until this many offsets are visible; fails the test otherwise. */
static void wait_visible(struct journal_case *jc, struct journal_reader *jr, const char *stream,
                         uint64_t want)
{
    uint64_t first = 0, next = 0;
    int64_t until_us = clock_mono_us() + 20000000;
    while (next < want && clock_mono_us() < until_us)
        OK(jc, journal_bounds(jr, stream, 0, &first, &next, &jc->err));
    assert_true(next >= want);
}

/* --- partitions --- */

/* Hashes as Kafka's own test of Utils.murmur2 has them; a partition is hash & 0x7fffffff % count. */
static void keys_choose_partitions_as_java_does(void **state)
{
    struct journal_case *jc = *state;
    static const struct {
        const char *key;
        int32_t murmur2;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    jc->config.partitions = 5;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        put(jc, jw, a, known[i].key, known[i].key);
    put(jc, jw, a, NULL, "no key");
    const struct journal_range *ranges;
    size_t count;
    OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    OK(jc, journal_assign(jr, ranges, count, &jc->err));
    OK(jc, journal_commit(jw, &jc->err));
    int seen = 0;
    for (const struct journal_record *rec; (rec = get(jc, jr)) != NULL; seen++) {
        if (rec->key == NULL)
            assert_int_equal(rec->partition, 0);
        for (size_t i = 0; rec->key != NULL && i < ARRAY_LEN(known); i++) {
            if (text_is(rec->key, rec->key_len, known[i].key))
                assert_int_equal(rec->partition, (known[i].murmur2 & 0x7fffffff) % 5);
        }
    }
    assert_int_equal(seen, ARRAY_LEN(known) + 1);
    journal_reader_close(jr);
    journal_writer_close(jw);
}

static void many_partitions_are_read_in_order(void **state)
{
    struct journal_case *jc = *state;
    jc->config.partitions = 6;
    struct journal_writer *jw = open_writer(jc);
    int ids[4];
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        ids[i] = data_stream(jc, jw, names[i]);
    struct journal_range kept[24];
    size_t count = 0;
    struct journal_reader *jr = open_reader(jc, NULL);
    for (int u = 0; u < 20; u++) {
        char key[16], value[16];
        for (int n = 0; n < 500; n++) {
            (void)snprintf(key, sizeof key, "k%d", n % 50);
            (void)snprintf(value, sizeof value, "%d", u * 10 + n / 50);
            put(jc, jw, ids[n % 4], key, value);
        }
        const struct journal_range *ranges;
        OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
        memcpy(kept, ranges, count * sizeof *ranges);
        OK(jc, journal_commit(jw, &jc->err));
        OK(jc, journal_assign(jr, kept, count, &jc->err));
        int last[4][50], seen = 0; /* per stream and key, values rise */
        memset(last, 0xff, sizeof last);
        for (const struct journal_record *rec; (rec = get(jc, jr)) != NULL; seen++) {
            int s = strrchr(rec->stream, '.')[1] - 'a', k = atoi((const char *)rec->key + 1), v;
            (void)snprintf(value, sizeof value, "%.*s", (int)rec->value_len, (const char *)rec->value);
            (void)snprintf(key, sizeof key, "%.*s", (int)rec->key_len, (const char *)rec->key);
            k = atoi(key + 1);
            v = atoi(value);
            assert_true(v > last[s][k]);
            last[s][k] = v;
        }
        assert_int_equal(seen, 500);
    }
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- topics that do not fit --- */

static void unfit_topics_are_refused(void **state)
{
    struct journal_case *jc = *state;
    int id;
    create_topic(stream_name(jc, "compact"), 1, "cleanup.policy", "compact");
    create_topic(stream_name(jc, "fence"), 1, "retention.ms", "3600000");
    create_topic(stream_name(jc, "schemas"), 3, "retention.ms", "-1");
    create_topic(stream_name(jc, "fine"), 3, "retention.ms", "7200000");
    struct journal_writer *jw = open_writer(jc);
    FAILS(jc, ERR_CONFIG, journal_stream(jw, stream_name(jc, "compact"), STREAM_DATA, &id, &jc->err));
    journal_writer_close(jw);
    jw = open_writer(jc);
    FAILS(jc, ERR_CONFIG, journal_stream(jw, stream_name(jc, "fence"), STREAM_FOREVER, &id, &jc->err));
    journal_writer_close(jw);
    jw = open_writer(jc);
    FAILS(jc, ERR_CONFIG, journal_stream(jw, stream_name(jc, "schemas"), STREAM_FOREVER, &id, &jc->err));
    journal_writer_close(jw);
    jw = open_writer(jc);
    if (!journal_stream(jw, stream_name(jc, "fine"), STREAM_DATA, &id, &jc->err)) {
        /* It has the broker's limit: no topic for large batches, and the writer is opened anew. */
        assert_int_equal(jc->err.code, ERR_CONNECT);
        err_clear(&jc->err);
        journal_writer_close(jw);
        jw = open_writer(jc);
        OK(jc, journal_stream(jw, stream_name(jc, "fine"), STREAM_DATA, &id, &jc->err));
    }
    journal_writer_close(jw);
}

static void properties_are_checked(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = NULL;
    static const char *const bad[][2] = {
        {"acks=1", NULL}, {"no.such.property=1", NULL}, {"nothing", NULL}, {"linger.ms=often", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        jc->config.kafka_properties = bad[i];
        FAILS(jc, ERR_CONFIG, journal_writer_open(&jc->config, &jw, &jc->err));
    }
    static const char *const good[] = {"linger.ms=1", "compression.codec=lz4", NULL};
    jc->config.kafka_properties = good;
    journal_writer_close(open_writer(jc));
}

static void a_record_too_large_is_named(void **state)
{
    struct journal_case *jc = *state;
    static const char *const small[] = {"message.max.bytes=10000", NULL};
    jc->config.kafka_properties = small;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    char *bytes = xcalloc(1, 20000);
    struct journal_record rec = {.partition = 0, .value = bytes, .value_len = 20000};
    assert_false(journal_append(jw, a, &rec, &jc->err));
    assert_int_equal(jc->err.code, ERR_DATA);
    assert_non_null(strstr(jc->err.text, stream_name(jc, "a")));
    assert_non_null(strstr(jc->err.text, "20000"));
    assert_non_null(strstr(jc->err.text, "message.max.bytes"));
    journal_writer_close(jw);
    free(bytes);
}

/* --- records that went away --- */

static void trimmed_and_deleted_topics_are_told(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    for (int i = 0; i < 50; i++)
        put(jc, jw, a, "k", "v");
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    wait_visible(jc, jr, stream_name(jc, "a"), 50);
    delete_records(stream_name(jc, "a"), 20);
    struct journal_range range = {.stream = stream_name(jc, "a"), .first_offset = 10, .next_offset = 50};
    FAILS(jc, ERR_GAP, journal_assign(jr, &range, 1, &jc->err));
    range.first_offset = 20;
    OK(jc, journal_assign(jr, &range, 1, &jc->err));
    assert_int_equal(get(jc, jr)->offset, 20);
    journal_reader_close(jr);
    journal_writer_close(jw);
    delete_topic(stream_name(jc, "a"));
    jr = open_reader(jc, NULL);
    uint64_t first = 1, next = 1;
    int64_t until_us = clock_mono_us() + 20000000;
    while (next != 0 && clock_mono_us() < until_us)
        OK(jc, journal_bounds(jr, stream_name(jc, "a"), 0, &first, &next, &jc->err));
    FAILS(jc, ERR_IDENTITY, journal_assign(jr, &range, 1, &jc->err));
    journal_reader_close(jr);
}

/* --- foreseen offsets --- */

static void append_unit(struct journal_case *jc, struct journal_writer *jw, int a, const char *value,
                        struct journal_range *ret)
{
    const struct journal_range *ranges;
    size_t count;
    put(jc, jw, a, "k", value);
    put(jc, jw, a, "k", value);
    OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
    assert_int_equal(count, 1);
    *ret = ranges[0];
    assert_int_equal(ret->next_offset - ret->first_offset, 2);
}

/* From the second unit on, flush() tells where records are going to stand before a broker has seen them. */
static void foreseen_offsets_come_true(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    struct journal_reader *jr = open_reader(jc, NULL);
    int a = data_stream(jc, jw, "a");
    struct journal_range range;
    for (int unit = 0; unit < 20; unit++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", unit);
        append_unit(jc, jw, a, value, &range);
        OK(jc, journal_commit(jw, &jc->err));
        assign_one(jc, jr, range.stream, range.first_offset, range.next_offset);
        for (int i = 0; i < 2; i++) {
            const struct journal_record *rec = get(jc, jr);
            assert_true(rec != NULL && text_is(rec->value, rec->value_len, value));
        }
        assert_null(get(jc, jr));
    }
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* Somebody else's record between ours: the unit does not count, the next writer's does. */
static void foreseen_offsets_that_others_took_fail_the_commit(void **state)
{
    struct journal_case *jc = *state;
    struct journal_config other = jc->config;
    char prefix[200];
    (void)snprintf(prefix, sizeof prefix, "%s-other", jc->config.topic_prefix);
    other.pipeline = other.topic_prefix = prefix;
    struct journal_writer *jw = open_writer(jc), *intruder;
    int a = data_stream(jc, jw, "a"), theirs;
    struct journal_range range;
    append_unit(jc, jw, a, "first", &range);
    OK(jc, journal_commit(jw, &jc->err));
    OK(jc, journal_writer_open(&other, &intruder, &jc->err));
    OK(jc, journal_stream(intruder, stream_name(jc, "a"), STREAM_DATA, &theirs, &jc->err));
    put(jc, intruder, theirs, "k", "theirs");
    OK(jc, journal_commit(intruder, &jc->err));
    journal_writer_close(intruder);
    append_unit(jc, jw, a, "lost", &range);
    FAILS(jc, ERR_CONNECT, journal_commit(jw, &jc->err));
    journal_writer_close(jw);
    jw = open_writer(jc);
    append_unit(jc, jw, data_stream(jc, jw, "a"), "kept", &range);
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    assign_one(jc, jr, stream_name(jc, "a"), 0, range.next_offset);
    static const char *const expected[] = {"first", "first", "theirs", "kept", "kept"};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        const struct journal_record *rec = get(jc, jr);
        assert_true(rec != NULL && text_is(rec->value, rec->value_len, expected[i]));
    }
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- other processes --- */

static void write_and_die(struct journal_case *jc)
{
    struct journal_writer *jw;
    int a;
    struct journal_record rec = {.partition = 0, .value = "lost", .value_len = 4};
    if (!journal_writer_open(&jc->config, &jw, &jc->err) ||
        !journal_stream(jw, stream_name(jc, "a"), STREAM_DATA, &a, &jc->err))
        _exit(1);
    const struct journal_range *ranges;
    size_t count;
    for (int i = 0; i < 1000; i++) {
        if (!journal_append(jw, a, &rec, &jc->err))
            _exit(1);
    }
    if (!journal_flush(jw, &ranges, &count, &jc->err))
        _exit(1);
    raise(SIGKILL);
}

static void a_killed_writers_transaction_is_settled_by_the_next(void **state)
{
    struct journal_case *jc = *state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        write_and_die(jc);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct journal_writer *jw = open_writer(jc);
    put(jc, jw, data_stream(jc, jw, "a"), "k", "kept");
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    assign_one(jc, jr, stream_name(jc, "a"), 0, JOURNAL_FOLLOW);
    const struct journal_record *rec = get(jc, jr);
    assert_true(text_is(rec->value, rec->value_len, "kept"));
    assert_true(rec->offset >= 1000);
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- a broker that is away --- */

static void a_broker_that_is_away_is_survived(void **state)
{
    struct journal_case *jc = *state;
    const char *text = getenv("CF_KAFKA_PID");
    if (text == NULL)
        skip();
    pid_t broker = (pid_t)atol(text);
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    put(jc, jw, a, "k", "0");
    OK(jc, journal_commit(jw, &jc->err));
    put(jc, jw, a, "k", "lost");
    kill(broker, SIGSTOP);
    int64_t begin_us = clock_mono_us();
    bool committed = journal_commit(jw, &jc->err);
    enum err_code code = jc->err.code;
    int64_t took_us = clock_mono_us() - begin_us;
    journal_writer_close(jw);
    struct journal_writer *none = NULL;
    struct err open_err = ERR_INIT;
    bool opened = journal_writer_open(&jc->config, &none, &open_err);
    kill(broker, SIGCONT); /* before anything can fail the test */
    assert_false(committed);
    assert_int_equal(code, ERR_CONNECT);
    assert_in_range(took_us, 5000000, 45000000);
    assert_false(opened);
    assert_int_equal(open_err.code, ERR_CONNECT);
    err_clear(&jc->err);
    int64_t until_us = clock_mono_us() + 60000000;
    while (!journal_writer_open(&jc->config, &jw, &jc->err) && clock_mono_us() < until_us)
        assert_int_equal(jc->err.code, ERR_CONNECT);
    put(jc, jw, data_stream(jc, jw, "a"), "k", "1");
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    assign_one(jc, jr, stream_name(jc, "a"), 0, JOURNAL_FOLLOW);
    for (int n = 0; n < 2;) { /* the commit that was not answered: whole or not at all */
        const struct journal_record *rec = get(jc, jr);
        if (text_is(rec->value, rec->value_len, "lost"))
            continue;
        assert_true(text_is(rec->value, rec->value_len, n == 0 ? "0" : "1"));
        n++;
    }
    journal_reader_close(jr);
    journal_writer_close(jw);
}

static void nobody_there(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = NULL;
    struct journal_reader *jr = NULL;
    jc->config.url = "kafka://127.0.0.1:1";
    FAILS(jc, ERR_CONNECT, journal_reader_open(&jc->config, NULL, &jr, &jc->err));
    FAILS(jc, ERR_CONNECT, journal_writer_open(&jc->config, &jw, &jc->err));
    jc->config.url = "kafka://";
    FAILS(jc, ERR_CONFIG, journal_reader_open(&jc->config, NULL, &jr, &jc->err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_choose_partitions_as_java_does, setup, teardown),
        cmocka_unit_test_setup_teardown(many_partitions_are_read_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(unfit_topics_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(properties_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_too_large_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(trimmed_and_deleted_topics_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(foreseen_offsets_come_true, setup, teardown),
        cmocka_unit_test_setup_teardown(foreseen_offsets_that_others_took_fail_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_writers_transaction_is_settled_by_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broker_that_is_away_is_survived, setup, teardown),
    };
    bootstrap = getenv("CF_KAFKA_BOOTSTRAP");
    if (bootstrap == NULL) {
        fprintf(stderr,
                "CF_KAFKA_BOOTSTRAP=host:port is not set: tests/system/test_journal_kafka.py runs this\n");
        return 2;
    }
    if (getenv("CF_TEST_FILTER") != NULL)
        cmocka_set_test_filter(getenv("CF_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
