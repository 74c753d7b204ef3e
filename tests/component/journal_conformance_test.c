/*
 * One suite for every journal: what journal.h promises, on lmdb, on fault: over lmdb, and on Kafka when
 * CF_KAFKA_BOOTSTRAP=host:port names a broker (tests/system/test_journal_kafka.py starts one and sets it).
 *
 *   journal_conformance_test [lmdb|fault|kafka|idempotent]    (default: all that can run)
 */
#include <pthread.h>
#include <stdatomic.h>

#include "journal_case.h"

static const char *kafka_bootstrap;

static enum kind kind_now;

static int64_t begun_us;

static int setup(void **state)
{
    begun_us = clock_mono_us();
    struct journal_case *jc = xmalloc(sizeof *jc);
    case_init(jc, kind_now, kafka_bootstrap);
    *state = jc;
    return 0;
}

static int teardown(void **state)
{
    if (getenv("CF_TEST_TIMES") != NULL)
        printf("             %.1f ms\n", (double)(clock_mono_us() - begun_us) / 1000);
    case_done(*state);
    free(*state);
    return 0;
}

/* Bounds of partition 0 once all `records` are visible (Kafka: a moment after the commit). */
static void wait_bounds(struct journal_case *jc, struct journal_reader *jr, const char *name,
                        uint64_t records, uint64_t *first, uint64_t *next)
{
    int64_t until_us = clock_mono_us() + 10000000;
    do
        OK(jc, journal_bounds(jr, stream_name(jc, name), 0, first, next, &jc->err));
    while (*next - *first < records && clock_mono_us() < until_us);
    assert_true(*next - *first >= records);
}

/* --- records --- */

static void check_full_record(const struct journal_case *jc, const struct journal_record *rec)
{
    assert_true(text_is(rec->key, rec->key_len, "k1"));
    assert_true(text_is(rec->value, rec->value_len, "v1"));
    if (jc->kind >= KIND_KAFKA) /* stamped by the broker, so that retention counts from the writing */
        assert_true(llabs(rec->timestamp_ms - clock_wall_us() / 1000) < 60000);
    else
        assert_int_equal(rec->timestamp_ms, 1700000000123);
    assert_int_equal(rec->header_count, 2);
    assert_string_equal(rec->headers[0].name, "h1");
    assert_true(text_is(rec->headers[0].value, rec->headers[0].value_len, "one"));
    assert_string_equal(rec->headers[1].name, "h2");
    assert_int_equal(rec->headers[1].value_len, 3);
    assert_memory_equal(rec->headers[1].value, "\0x\0", 3);
}

static void records_come_back_as_they_were(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "a");
    struct journal_record full = {.partition = -1,
                                  .timestamp_ms = 1700000000123,
                                  .key = "k1",
                                  .key_len = 2,
                                  .value = "v1",
                                  .value_len = 2,
                                  .headers = {{"h1", "one", 3}, {"h2", "\0x\0", 3}},
                                  .header_count = 2};
    OK(jc, journal_append(jw, id, &full, &jc->err));
    put(jc, jw, id, NULL, "no key");
    put(jc, jw, id, "tombstone", NULL);
    put(jc, jw, id, "", "");
    OK(jc, journal_commit(jw, &jc->err));

    int64_t now_ms = clock_wall_us() / 1000;
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t first, next;
    wait_bounds(jc, jr, "a", 4, &first, &next);
    assign_one(jc, jr, stream_name(jc, "a"), first, next);
    check_full_record(jc, get(jc, jr));
    const struct journal_record *rec = get(jc, jr);
    assert_string_equal(rec->stream, stream_name(jc, "a"));
    assert_int_equal(rec->partition, 0);
    assert_int_equal(rec->offset, first + 1);
    assert_null(rec->key);
    assert_int_equal(rec->header_count, 0);
    assert_true(llabs(rec->timestamp_ms - now_ms) < 60000);
    rec = get(jc, jr);
    assert_null(rec->value);
    assert_true(text_is(rec->key, rec->key_len, "tombstone"));
    rec = get(jc, jr);
    assert_non_null(rec->key);
    assert_non_null(rec->value);
    assert_int_equal(rec->key_len + rec->value_len, 0);
    assert_null(get(jc, jr));
    assert_null(get(jc, jr)); /* the end stays the end */
    journal_reader_close(jr);
    journal_writer_close(jw);
}

static void large_values(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "big");
    static const size_t sizes[] = {0, 1, 2000, 2100, 4096, 70000, 300000, 3000000, 9000000};
    char *bytes = xmalloc(9000000);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        memset(bytes, 'a' + (int)i, sizes[i]);
        struct journal_record rec = {.partition = 0, .value = bytes, .value_len = sizes[i]};
        OK(jc, journal_append(jw, id, &rec, &jc->err));
    }
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t first, next;
    wait_bounds(jc, jr, "big", ARRAY_LEN(sizes), &first, &next);
    assign_one(jc, jr, stream_name(jc, "big"), first, next);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const struct journal_record *rec = get(jc, jr);
        assert_non_null(rec);
        assert_int_equal(rec->value_len, sizes[i]);
        memset(bytes, 'a' + (int)i, sizes[i]);
        assert_memory_equal(rec->value, bytes, sizes[i]);
    }
    assert_null(get(jc, jr));
    free(bytes);
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- looking --- */

struct seen {
    const struct journal_case *jc;
    int data, forever, other;
};

static void see(void *ctx, const struct journal_stream_info *info)
{
    struct seen *seen = ctx;
    assert_true(info->partition_count >= 1);
    if (strcmp(info->name, stream_name(seen->jc, "a")) == 0) {
        assert_int_equal(info->kind, STREAM_DATA);
        assert_true(info->records >= 2);
        seen->data++;
    } else if (strcmp(info->name, seen->jc->fence) == 0) {
        assert_int_equal(info->kind, STREAM_FOREVER);
        seen->forever++;
    } else {
        seen->other++;
    }
}

static void streams_are_listed(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "a"), fence = fence_stream(jc, jw);
    assert_int_not_equal(id, fence);
    assert_int_equal(data_stream(jc, jw, "a"), id);
    put(jc, jw, id, "k", "1");
    put(jc, jw, id, "k", "2");
    put(jc, jw, fence, PIPELINE, "f");
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t first = 7, next = 7;
    wait_bounds(jc, jr, "a", 2, &first, &next);
    struct seen seen = {.jc = jc};
    OK(jc, journal_list(jr, see, &seen, &jc->err));
    assert_int_equal(seen.data, 1);
    assert_int_equal(seen.forever, 1);
    assert_int_equal(seen.other, 0);
    OK(jc, journal_bounds(jr, stream_name(jc, "nobody"), 0, &first, &next, &jc->err));
    assert_int_equal(first + next, 0);
    journal_reader_close(jr);
    journal_writer_close(jw);
    jw = open_writer(jc); /* known streams are found again */
    assert_true(data_stream(jc, jw, "a") != fence_stream(jc, jw));
    journal_writer_close(jw);
}

/* --- units --- */

/* Reads [0, bounds) of the stream; checks that the values are 0, 1, 2, … */
static uint64_t count_once(struct journal_case *jc, const char *stream)
{
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t first, next, n = 0;
    char want[32];
    OK(jc, journal_bounds(jr, stream, 0, &first, &next, &jc->err));
    assign_one(jc, jr, stream, first, next);
    for (const struct journal_record *rec; (rec = get(jc, jr)) != NULL; n++) {
        (void)snprintf(want, sizeof want, "%llu", (unsigned long long)n);
        if (!text_is(rec->value, rec->value_len, want))
            fail_msg("%s offset %llu: \"%.*s\" instead of %s", stream, (unsigned long long)rec->offset,
                     (int)rec->value_len, (const char *)rec->value, want);
    }
    journal_reader_close(jr);
    return n;
}

/* Kafka: a commit is decided when it returns, and visible a moment later. */
static void check_count(struct journal_case *jc, const char *stream, uint64_t want)
{
    uint64_t n = count_once(jc, stream);
    int64_t until_us = clock_mono_us() + 10000000;
    while (n < want && jc->kind >= KIND_KAFKA && clock_mono_us() < until_us)
        n = count_once(jc, stream);
    assert_int_equal(n, want);
}

static void put_numbered(struct journal_case *jc, struct journal_writer *jw, int id, uint64_t from,
                         uint64_t to)
{
    char value[32];
    for (uint64_t n = from; n < to; n++) {
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)n);
        put(jc, jw, id, "k", value);
    }
}

static void uncommitted_is_not_seen(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "a");
    put_numbered(jc, jw, id, 0, 10);
    OK(jc, journal_commit(jw, &jc->err));
    put_numbered(jc, jw, id, 100, 200);
    const struct journal_range *ranges;
    size_t count;
    OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
    check_count(jc, stream_name(jc, "a"), 10);
    journal_writer_close(jw); /* never commits */
    jw = open_writer(jc);
    check_count(jc, stream_name(jc, "a"), 10);
    id = data_stream(jc, jw, "a");
    put_numbered(jc, jw, id, 10, 20);
    OK(jc, journal_commit(jw, &jc->err));
    OK(jc, journal_commit(jw, &jc->err)); /* an empty unit is nothing */
    check_count(jc, stream_name(jc, "a"), 20);
    journal_writer_close(jw);
}

static void flush_tells_what_the_unit_touched(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a"), b = data_stream(jc, jw, "b"), c = data_stream(jc, jw, "c");
    const struct journal_range *ranges;
    size_t count = 7;
    OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
    assert_int_equal(count, 0);
    uint64_t next_a = 0;
    for (int unit = 0; unit < 3; unit++) {
        put_numbered(jc, jw, a, 0, 5);
        put_numbered(jc, jw, unit == 1 ? b : c, 0, 1);
        OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
        assert_int_equal(count, 2);
        for (size_t i = 0; i < count; i++) {
            bool is_a = strcmp(ranges[i].stream, stream_name(jc, "a")) == 0;
            assert_int_equal(ranges[i].partition, 0);
            assert_int_equal(ranges[i].next_offset - ranges[i].first_offset, is_a ? 5 : 1);
            if (!is_a)
                assert_string_equal(ranges[i].stream, stream_name(jc, unit == 1 ? "b" : "c"));
            else {
                assert_true(ranges[i].first_offset >= next_a);
                next_a = ranges[i].next_offset;
            }
        }
        OK(jc, journal_commit(jw, &jc->err));
    }
    journal_writer_close(jw);
}

/* A unit that does not fit into memory's share (lmdb: several write transactions). */
static void large_units(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "a"), fence = fence_stream(jc, jw);
    char *filler = xcalloc(1, 4001);
    memset(filler, 'x', 4000);
    put_numbered(jc, jw, id, 0, 1);
    OK(jc, journal_commit(jw, &jc->err));
    int noise = data_stream(jc, jw, "noise");
    for (int n = 0; n < 12000; n++)
        put(jc, jw, noise, NULL, filler);
    put_numbered(jc, jw, id, 50, 60);
    put(jc, jw, fence, PIPELINE, "never");
    check_count(jc, stream_name(jc, "a"), 1);
    check_count(jc, stream_name(jc, "noise"), 0);
    journal_writer_close(jw);
    jw = open_writer(jc);
    check_count(jc, jc->fence, 0);
    id = data_stream(jc, jw, "a");
    noise = data_stream(jc, jw, "noise");
    put_numbered(jc, jw, noise, 0, 3);
    for (int n = 0; n < 12000; n++)
        put(jc, jw, data_stream(jc, jw, "other"), NULL, filler);
    put_numbered(jc, jw, id, 1, 5000);
    OK(jc, journal_commit(jw, &jc->err));
    check_count(jc, stream_name(jc, "a"), 5000);
    check_count(jc, stream_name(jc, "noise"), 3);
    free(filler);
    journal_writer_close(jw);
}

/* --- fences --- */

#define UNITS   60
#define STREAMS 12

struct plan {
    struct journal_range ranges[UNITS][STREAMS];
    size_t counts[UNITS];
    uint64_t records[UNITS];
    char names[STREAMS][100];
};

static void write_plan(struct journal_case *jc, struct plan *plan)
{
    struct journal_writer *jw = open_writer(jc);
    int ids[STREAMS];
    uint64_t value[STREAMS] = {0};
    for (int s = 0; s < STREAMS; s++) {
        (void)snprintf(plan->names[s], sizeof plan->names[s], "%s.s%d", jc->prefix, s);
        OK(jc, journal_stream(jw, plan->names[s], STREAM_DATA, &ids[s], &jc->err));
    }
    unsigned random = 12345;
    for (int u = 0; u < UNITS; u++) {
        unsigned records = 1 + (random = random * 1103515245 + 12345) / 65536 % 40;
        for (unsigned n = 0; n < records; n++) {
            unsigned s = (random = random * 1103515245 + 12345) / 65536 % STREAMS;
            put_numbered(jc, jw, ids[s], value[s], value[s] + 1);
            value[s]++;
        }
        plan->records[u] = records;
        const struct journal_range *ranges;
        OK(jc, journal_flush(jw, &ranges, &plan->counts[u], &jc->err));
        for (size_t i = 0; i < plan->counts[u]; i++) {
            plan->ranges[u][i] = ranges[i];
            plan->ranges[u][i].own = true;
            plan->ranges[u][i].writer = jw->id;
            for (int s = 0; s < STREAMS; s++) {
                if (strcmp(plan->names[s], ranges[i].stream) == 0)
                    plan->ranges[u][i].stream = plan->names[s];
            }
        }
        OK(jc, journal_commit(jw, &jc->err));
    }
    journal_writer_close(jw);
}

static uint64_t read_units(struct journal_case *jc, struct journal_reader *jr, struct plan *plan, int from,
                           int to, uint64_t *value)
{
    struct journal_range ranges[UNITS * STREAMS];
    size_t count = 0;
    for (int u = from; u < to; u++) {
        memcpy(ranges + count, plan->ranges[u], plan->counts[u] * sizeof *ranges);
        count += plan->counts[u];
    }
    OK(jc, journal_assign(jr, ranges, count, &jc->err));
    uint64_t n = 0;
    for (const struct journal_record *rec; (rec = get(jc, jr)) != NULL; n++) {
        int s = atoi(strrchr(rec->stream, 's') + 1);
        assert_string_equal(rec->stream, plan->names[s]);
        char want[32];
        (void)snprintf(want, sizeof want, "%llu", (unsigned long long)value[s]++);
        assert_true(text_is(rec->value, rec->value_len, want));
    }
    return n;
}

static void ranges_of_fences_give_each_record_once(void **state)
{
    struct journal_case *jc = *state;
    struct plan *plan = xcalloc(1, sizeof *plan);
    write_plan(jc, plan);
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t value[STREAMS] = {0};
    for (int u = 0; u < UNITS / 2; u++)
        assert_int_equal(read_units(jc, jr, plan, u, u + 1, value), plan->records[u]);
    uint64_t rest = 0;
    for (int u = UNITS / 2; u < UNITS; u++)
        rest += plan->records[u];
    assert_int_equal(read_units(jc, jr, plan, UNITS / 2, UNITS, value), rest);
    memset(value, 0, sizeof value); /* and once more from the start, by the same reader */
    assert_true(read_units(jc, jr, plan, 0, UNITS, value) > rest);
    OK(jc, journal_assign(jr, NULL, 0, &jc->err));
    assert_null(get(jc, jr));
    journal_reader_close(jr);
    free(plan);
}

static void assign_in_the_middle(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "a"), other = data_stream(jc, jw, "b");
    put_numbered(jc, jw, id, 0, 3000);
    put_numbered(jc, jw, other, 0, 3000);
    put_numbered(jc, jw, id, 3000, 10000);
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t first, next;
    wait_bounds(jc, jr, "a", 10000, &first, &next);
    static const uint64_t starts[] = {9999, 4097, 2999, 1};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        assign_one(jc, jr, stream_name(jc, "a"), first + starts[i], first + starts[i] + 1);
        const struct journal_record *rec = get(jc, jr);
        assert_non_null(rec);
        assert_int_equal(rec->offset, first + starts[i]);
        char want[32];
        (void)snprintf(want, sizeof want, "%llu", (unsigned long long)starts[i]);
        assert_true(text_is(rec->value, rec->value_len, want));
        assert_null(get(jc, jr));
    }
    assign_one(jc, jr, stream_name(jc, "a"), first + 5, first + 5); /* empty */
    assert_null(get(jc, jr));
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- following --- */

struct follower {
    struct journal_case *jc;
    _Atomic int got;
    int want;
};

static void *follow(void *arg)
{
    struct follower *f = arg;
    struct err err = ERR_INIT;
    struct journal_reader *jr = NULL;
    struct journal_record rec;
    struct journal_range range = {.stream = f->jc->fence, .next_offset = JOURNAL_FOLLOW};
    if (!journal_reader_open(&f->jc->config, NULL, &jr, &err) || !journal_assign(jr, &range, 1, &err))
        return xstrdup(err.text);
    int64_t until = clock_mono_us() + 30000000;
    while (atomic_load(&f->got) < f->want && clock_mono_us() < until) {
        enum journal_next got = journal_next(jr, 1000, &rec, &err);
        if (got == JOURNAL_ERROR)
            return xstrdup(err.text);
        if (got == JOURNAL_END)
            return xstrdup("a followed stream ended");
        if (got == JOURNAL_RECORD) {
            char want[32];
            (void)snprintf(want, sizeof want, "%d", atomic_load(&f->got));
            if (!text_is(rec.value, rec.value_len, want))
                return xstrdup("wrong fence");
            atomic_fetch_add(&f->got, 1);
        }
    }
    journal_reader_close(jr);
    return NULL;
}

/* The follower is there before the stream is. */
static void a_follower_gets_each_commit(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    struct follower f = {.jc = jc, .want = 20};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, follow, &f), 0);
    int id = fence_stream(jc, jw);
    for (int n = 0; n < f.want; n++) {
        put_numbered(jc, jw, id, (uint64_t)n, (uint64_t)n + 1);
        OK(jc, journal_commit(jw, &jc->err));
        int64_t until = clock_mono_us() + 20000000;
        while (n % 2 == 0 && atomic_load(&f.got) <= n && clock_mono_us() < until)
            usleep(200);
    }
    void *text;
    pthread_join(thread, &text);
    if (text != NULL)
        fail_msg("%s", (char *)text);
    assert_int_equal(atomic_load(&f.got), f.want);
    journal_writer_close(jw);
}

static void idle_when_nothing_comes(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id = data_stream(jc, jw, "a");
    put_numbered(jc, jw, id, 0, 2);
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    struct journal_record rec;
    assign_one(jc, jr, stream_name(jc, "a"), 0, JOURNAL_FOLLOW);
    assert_non_null(get(jc, jr));
    assert_non_null(get(jc, jr));
    int64_t begin = clock_mono_us();
    assert_int_equal(journal_next(jr, 50, &rec, &jc->err), JOURNAL_IDLE);
    assert_in_range(clock_mono_us() - begin, 40000, 5000000);
    assert_int_equal(journal_next(jr, 0, &rec, &jc->err), JOURNAL_IDLE);
    put_numbered(jc, jw, id, 2, 3);
    OK(jc, journal_commit(jw, &jc->err));
    assert_non_null(get(jc, jr));
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- refusals --- */

static void positions_that_do_not_fit_are_refused(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    put_numbered(jc, jw, data_stream(jc, jw, "a"), 0, 3);
    OK(jc, journal_commit(jw, &jc->err));
    struct journal_reader *jr = open_reader(jc, NULL);
    struct journal_range beyond = {.stream = stream_name(jc, "a"), .first_offset = 1000, .next_offset = 1001};
    FAILS(jc, ERR_IDENTITY, journal_assign(jr, &beyond, 1, &jc->err));
    assert_null(get(jc, jr));
    struct journal_range unknown = {.stream = stream_name(jc, "zzz"), .first_offset = 10, .next_offset = 12};
    FAILS(jc, ERR_IDENTITY, journal_assign(jr, &unknown, 1, &jc->err));
    check_count(jc, stream_name(jc, "a"), 3);
    journal_reader_close(jr);
    journal_writer_close(jw);
}

static void another_pipeline_is_refused(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    put(jc, jw, fence_stream(jc, jw), PIPELINE, "f");
    OK(jc, journal_commit(jw, &jc->err));
    journal_writer_close(jw);
    journal_writer_close(open_writer(jc)); /* Kafka: settles the commit, so that it is visible */
    struct journal_config other = jc->config;
    other.pipeline = "other";
    struct journal_reader *jr = NULL;
    FAILS(jc, ERR_IDENTITY, journal_writer_open(&other, &jw, &jc->err));
    FAILS(jc, ERR_IDENTITY, journal_reader_open(&other, NULL, &jr, &jc->err));
}

static void bad_arguments(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    int id;
    FAILS(jc, ERR_CONFIG, journal_stream(jw, "no blanks", STREAM_DATA, &id, &jc->err));
    FAILS(jc, ERR_BUG, journal_commit(jw, &jc->err)); /* after a failure only close is left */
    journal_writer_close(jw);
    struct journal_config bad = jc->config;
    bad.url = "redis://x";
    FAILS(jc, ERR_CONFIG, journal_writer_open(&bad, &jw, &jc->err));
    journal_writer_close(NULL);
    journal_reader_close(NULL);
}

/* Two at once: the one is refused or the other loses; never both. */
static void one_writer_at_a_time(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *one = open_writer(jc), *two = NULL;
    int a = data_stream(jc, one, "a");
    put_numbered(jc, one, a, 0, 2);
    OK(jc, journal_commit(one, &jc->err));
    put_numbered(jc, one, a, 2, 3);
    if (jc->kind == KIND_KAFKA) {
        two = open_writer(jc);
        put_numbered(jc, two, data_stream(jc, two, "a"), 2, 4);
        OK(jc, journal_commit(two, &jc->err));
        FAILS(jc, ERR_FENCED, journal_commit(one, &jc->err));
        journal_writer_close(two);
        journal_writer_close(one);
        check_count(jc, stream_name(jc, "a"), 4);
        return;
    }
    FAILS(jc, ERR_BUSY, journal_writer_open(&jc->config, &two, &jc->err));
    OK(jc, journal_commit(one, &jc->err));
    journal_writer_close(one);
    check_count(jc, stream_name(jc, "a"), 3);
}

/* --- without units: Kafka, journal_config.idempotent --- */

/* What the unit at hand has touched of stream "a", as a fence would say it. The unit goes on. */
static struct journal_range range_of_a(struct journal_case *jc, struct journal_writer *jw)
{
    const struct journal_range *ranges;
    size_t count = 0;
    OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
    struct journal_range range = ranges[0];
    assert_int_equal(count, 1);
    range.stream = stream_name(jc, "a");
    range.own = true;
    range.writer = jw->id;
    return range;
}

static uint64_t count_ranges(struct journal_case *jc, const struct journal_range *ranges, size_t count)
{
    struct journal_reader *jr = open_reader(jc, NULL);
    uint64_t n = 0;
    char want[32];
    OK(jc, journal_assign(jr, ranges, count, &jc->err));
    for (const struct journal_record *rec; (rec = get(jc, jr)) != NULL; n++) {
        (void)snprintf(want, sizeof want, "%llu", (unsigned long long)n);
        if (!text_is(rec->value, rec->value_len, want))
            fail_msg("\"%.*s\" instead of %s", (int)rec->value_len, (const char *)rec->value, want);
        assert_int_equal(rec->header_count, 0);
    }
    journal_reader_close(jr);
    return n;
}

/* A unit that never ends, and a writer that lives on and writes between another's records: ranges give what is their writer's. */
static void ranges_give_their_writers_records(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *one = open_writer(jc);
    struct journal_range ranges[2];
    int a = data_stream(jc, one, "a");
    put_numbered(jc, one, a, 0, 2);
    ranges[0] = range_of_a(jc, one);
    OK(jc, journal_commit(one, &jc->err));
    put_numbered(jc, one, a, 100, 105);
    (void)range_of_a(jc, one);
    struct journal_writer *two = open_writer(jc);
    int b = data_stream(jc, two, "a");
    put_numbered(jc, two, b, 2, 4);
    (void)range_of_a(jc, two);
    put_numbered(jc, one, a, 200, 203);
    (void)range_of_a(jc, one);
    put_numbered(jc, two, b, 4, 6);
    ranges[1] = range_of_a(jc, two);
    OK(jc, journal_commit(two, &jc->err));
    assert_int_equal(ranges[1].next_offset - ranges[1].first_offset, 7);
    assert_int_equal(count_ranges(jc, ranges, 2), 6);
    ranges[0].writer = 0; /* with transactions, or by nobody of ours */
    assert_int_equal(count_ranges(jc, ranges, 1), 0);
    journal_writer_close(two);
    journal_writer_close(one);
}

static uint64_t count_strays(struct journal_case *jc)
{
    struct journal_config audit = jc->config;
    struct journal_reader *jr = NULL;
    uint64_t first, next, n = 0;
    audit.audit = true;
    OK(jc, journal_reader_open(&audit, NULL, &jr, &jc->err));
    OK(jc, journal_bounds(jr, jc->fence, 0, &first, &next, &jc->err));
    assign_one(jc, jr, jc->fence, first, next);
    for (const struct journal_record *rec; (rec = get(jc, jr)) != NULL;)
        n += rec->stray && rec->value != NULL;
    journal_reader_close(jr);
    return n;
}

static void put_fence(struct journal_case *jc, struct journal_writer *jw, const char *value)
{
    put(jc, jw, fence_stream(jc, jw), PIPELINE, value);
}

/* Whichever way the next one writes. */
static void check_late_fence(struct journal_case *jc, bool next_idempotent)
{
    struct journal_writer *one = open_writer(jc), *two;
    put_fence(jc, one, "0");
    OK(jc, journal_commit(one, &jc->err));
    put_fence(jc, one, "1");
    OK(jc, journal_commit(one, &jc->err));
    jc->config.idempotent = next_idempotent;
    two = open_writer(jc);
    put_fence(jc, one, "2");
    FAILS(jc, ERR_FENCED, journal_commit(one, &jc->err));
    check_count(jc, jc->fence, 2);
    put_fence(jc, two, "2");
    if (next_idempotent) { /* something of the first one's stands there: only opening anew shows where */
        FAILS(jc, ERR_CONNECT, journal_commit(two, &jc->err));
        journal_writer_close(two);
        two = open_writer(jc);
        put_fence(jc, two, "2");
    }
    OK(jc, journal_commit(two, &jc->err));
    check_count(jc, jc->fence, 3);
    assert_int_equal(count_strays(jc), next_idempotent ? 2 : 1);
    journal_writer_close(one);
    journal_writer_close(two);
    jc->config.idempotent = true;
}

static void a_late_fence_does_not_count(void **state)
{
    check_late_fence(*state, true);
}

static void a_late_fence_does_not_count_among_transactions(void **state)
{
    check_late_fence(*state, false);
}

/* Its open transaction would hold up readers for ten minutes. */
static void a_transactional_writer_is_ended(void **state)
{
    struct journal_case *jc = *state;
    jc->config.idempotent = false;
    struct journal_writer *one = open_writer(jc), *two;
    put_fence(jc, one, "0");
    put_numbered(jc, one, data_stream(jc, one, "a"), 0, 1);
    OK(jc, journal_commit(one, &jc->err));
    put_fence(jc, one, "7");
    const struct journal_range *ranges;
    size_t count;
    OK(jc, journal_flush(one, &ranges, &count, &jc->err));
    jc->config.idempotent = true;
    two = open_writer(jc);
    put_fence(jc, two, "1");
    OK(jc, journal_commit(two, &jc->err));
    check_count(jc, jc->fence, 2);
    FAILS(jc, ERR_FENCED, journal_commit(one, &jc->err));
    journal_writer_close(one);
    journal_writer_close(two);
}

/* --- all --- */

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(records_come_back_as_they_were, setup, teardown),
    cmocka_unit_test_setup_teardown(large_values, setup, teardown),
    cmocka_unit_test_setup_teardown(streams_are_listed, setup, teardown),
    cmocka_unit_test_setup_teardown(uncommitted_is_not_seen, setup, teardown),
    cmocka_unit_test_setup_teardown(flush_tells_what_the_unit_touched, setup, teardown),
    cmocka_unit_test_setup_teardown(large_units, setup, teardown),
    cmocka_unit_test_setup_teardown(ranges_of_fences_give_each_record_once, setup, teardown),
    cmocka_unit_test_setup_teardown(assign_in_the_middle, setup, teardown),
    cmocka_unit_test_setup_teardown(a_follower_gets_each_commit, setup, teardown),
    cmocka_unit_test_setup_teardown(idle_when_nothing_comes, setup, teardown),
    cmocka_unit_test_setup_teardown(positions_that_do_not_fit_are_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(another_pipeline_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(bad_arguments, setup, teardown),
    cmocka_unit_test_setup_teardown(one_writer_at_a_time, setup, teardown),
};

static const struct CMUnitTest without_units[] = {
    cmocka_unit_test_setup_teardown(records_come_back_as_they_were, setup, teardown),
    cmocka_unit_test_setup_teardown(large_values, setup, teardown),
    cmocka_unit_test_setup_teardown(streams_are_listed, setup, teardown),
    cmocka_unit_test_setup_teardown(flush_tells_what_the_unit_touched, setup, teardown),
    cmocka_unit_test_setup_teardown(ranges_of_fences_give_each_record_once, setup, teardown),
    cmocka_unit_test_setup_teardown(assign_in_the_middle, setup, teardown),
    cmocka_unit_test_setup_teardown(a_follower_gets_each_commit, setup, teardown),
    cmocka_unit_test_setup_teardown(idle_when_nothing_comes, setup, teardown),
    cmocka_unit_test_setup_teardown(positions_that_do_not_fit_are_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(another_pipeline_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(bad_arguments, setup, teardown),
    cmocka_unit_test_setup_teardown(ranges_give_their_writers_records, setup, teardown),
    cmocka_unit_test_setup_teardown(a_late_fence_does_not_count, setup, teardown),
    cmocka_unit_test_setup_teardown(a_late_fence_does_not_count_among_transactions, setup, teardown),
    cmocka_unit_test_setup_teardown(a_transactional_writer_is_ended, setup, teardown),
};

static int run(enum kind kind, const char *name)
{
    if (kind == KIND_KAFKA_IDEMPOTENT) {
        kind_now = kind;
        return _cmocka_run_group_tests(name, without_units, ARRAY_LEN(without_units), NULL, NULL);
    }
    kind_now = kind;
    return _cmocka_run_group_tests(name, tests, ARRAY_LEN(tests), NULL, NULL);
}

static bool wanted(int argc, char **argv, const char *name)
{
    return argc < 2 || strcmp(argv[1], name) == 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    kafka_bootstrap = getenv("CF_KAFKA_BOOTSTRAP");
    if (getenv("CF_TEST_FILTER") != NULL)
        cmocka_set_test_filter(getenv("CF_TEST_FILTER"));
    if (wanted(argc, argv, "lmdb"))
        failed += run(KIND_LMDB, "lmdb");
    if (wanted(argc, argv, "fault"))
        failed += run(KIND_FAULT, "fault over lmdb");
    if (kafka_bootstrap != NULL && wanted(argc, argv, "kafka"))
        failed += run(KIND_KAFKA, "kafka");
    if (kafka_bootstrap != NULL && wanted(argc, argv, "idempotent"))
        failed += run(KIND_KAFKA_IDEMPOTENT, "kafka without transactions");
    if (kafka_bootstrap == NULL)
        printf("kafka: not run, CF_KAFKA_BOOTSTRAP=host:port is not set\n");
    return failed != 0;
}
