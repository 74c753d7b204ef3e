/*
 * For the suites that run on every journal: lmdb, fault: over lmdb, and Kafka with and without transactions when
 * CF_KAFKA_BOOTSTRAP=host:port names a broker (tests/system/test_journal_kafka.py starts one and sets it).
 *
 *   journal_…_test [lmdb|fault|kafka|idempotent]    (default: all that can run)
 */
#ifndef SUPPORT_JOURNAL_SUITE_H
#define SUPPORT_JOURNAL_SUITE_H

#include "journal_case.h"

/* Bounds of partition 0 once all `records` are visible (Kafka: a moment after the commit). */
static inline void wait_bounds(struct journal_case *jc, struct journal_reader *jr, const char *name,
                               uint64_t records, uint64_t *first, uint64_t *next)
{
    int64_t until_us = clock_mono_us() + 10000000;
    do
        OK(jc, journal_bounds(jr, stream_name(jc, name), 0, first, next, &jc->err));
    while (*next - *first < records && clock_mono_us() < until_us);
    assert_true(*next - *first >= records);
}

/* Reads [0, bounds) of the stream; checks that the values are 0, 1, 2, … */
static inline uint64_t count_once(struct journal_case *jc, const char *stream)
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
static inline void check_count(struct journal_case *jc, const char *stream, uint64_t want)
{
    uint64_t n = count_once(jc, stream);
    int64_t until_us = clock_mono_us() + 10000000;
    while (n < want && jc->kind >= KIND_KAFKA && clock_mono_us() < until_us)
        n = count_once(jc, stream);
    assert_int_equal(n, want);
}

static inline void put_numbered(struct journal_case *jc, struct journal_writer *jw, int id, uint64_t from,
                                uint64_t to)
{
    char value[32];
    for (uint64_t n = from; n < to; n++) {
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)n);
        put(jc, jw, id, "k", value);
    }
}

/* --- running --- */

static inline int run_on(enum kind kind, const char *name, const struct CMUnitTest *tests, size_t count)
{
    kind_now = kind;
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

static inline bool wanted(int argc, char **argv, const char *name)
{
    return argc < 2 || strcmp(argv[1], name) == 0;
}

/* without_units: the tests for a journal without transactions. The process's exit code. */
static inline int run_suite(int argc, char **argv, const struct CMUnitTest *tests, size_t count,
                            const struct CMUnitTest *without_units, size_t without_count)
{
    int failed = 0;
    const char *kafka_bootstrap = getenv("CF_KAFKA_BOOTSTRAP");
    if (getenv("CF_TEST_FILTER") != NULL)
        cmocka_set_test_filter(getenv("CF_TEST_FILTER"));
    if (wanted(argc, argv, "lmdb"))
        failed += run_on(KIND_LMDB, "lmdb", tests, count);
    if (wanted(argc, argv, "fault"))
        failed += run_on(KIND_FAULT, "fault over lmdb", tests, count);
    if (kafka_bootstrap != NULL && wanted(argc, argv, "kafka"))
        failed += run_on(KIND_KAFKA, "kafka", tests, count);
    if (kafka_bootstrap != NULL && wanted(argc, argv, "idempotent"))
        failed += run_on(KIND_KAFKA_IDEMPOTENT, "kafka without transactions", without_units, without_count);
    if (kafka_bootstrap == NULL)
        printf("kafka: not run, CF_KAFKA_BOOTSTRAP=host:port is not set\n");
    return failed != 0;
}

#endif
