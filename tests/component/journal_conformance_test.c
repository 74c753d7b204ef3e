/*
 * One suite for every journal: what journal.h promises of records, streams, units and refusals. (Of reading by ranges:
 * journal_ranges_test.c.) How it is run: journal_suite.h.
 */
#include "journal_suite.h"

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
    ON_FRESH(records_come_back_as_they_were),
    ON_FRESH(large_values),
    ON_FRESH(streams_are_listed),
    ON_FRESH(uncommitted_is_not_seen),
    ON_FRESH(flush_tells_what_the_unit_touched),
    ON_FRESH(large_units),
    ON_FRESH(positions_that_do_not_fit_are_refused),
    ON_FRESH(another_pipeline_is_refused),
    ON_FRESH(bad_arguments),
    ON_FRESH(one_writer_at_a_time),
};

static const struct CMUnitTest without_units[] = {
    ON_FRESH(records_come_back_as_they_were),
    ON_FRESH(large_values),
    ON_FRESH(streams_are_listed),
    ON_FRESH(flush_tells_what_the_unit_touched),
    ON_FRESH(positions_that_do_not_fit_are_refused),
    ON_FRESH(another_pipeline_is_refused),
    ON_FRESH(bad_arguments),
    ON_FRESH(ranges_give_their_writers_records),
    ON_FRESH(a_late_fence_does_not_count),
    ON_FRESH(a_late_fence_does_not_count_among_transactions),
    ON_FRESH(a_transactional_writer_is_ended),
};

int main(int argc, char **argv)
{
    return run_suite(argc, argv, tests, ARRAY_LEN(tests), without_units, ARRAY_LEN(without_units));
}
