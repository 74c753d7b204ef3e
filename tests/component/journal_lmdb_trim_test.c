/* Trimming the embedded journal: what goes, what stays, and that the file stays small. */
#include "lmdb_case.h"

static void trim_keeps_what_a_reader_needs(void **state)
{
    struct journal_case *jc = *state;
    uint64_t first, next;
    jc->config.retention_ms = 0;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a"), b = data_stream(jc, jw, "b");
    unit(jc, jw, a, 5000);              /* fence 0 */
    unit(jc, jw, b, 3000);              /* fence 1 */
    unit(jc, jw, a, 5000);              /* fence 2 */
    OK(jc, journal_trim(jw, &jc->err)); /* nobody registered: nothing goes */
    bounds(jc, stream_name(jc, "a"), &first, &next);
    assert_int_equal(first, 0);
    assert_int_equal(next, 10000);
    confirm(jc, "apply", 0);
    trim_all(jc, jw, stream_name(jc, "a"), 5000);
    bounds(jc, stream_name(jc, "b"), &first, &next);
    assert_int_equal(first, 0);
    struct journal_reader *slow = open_reader(jc, "slow"); /* registered, has confirmed nothing */
    confirm(jc, "apply", 2);
    for (int i = 0; i < 5; i++)
        OK(jc, journal_trim(jw, &jc->err));
    bounds(jc, stream_name(jc, "b"), &first, &next);
    assert_int_equal(first, 0);
    OK(jc, journal_confirm(slow, NULL, 0, 1, &jc->err));
    journal_reader_close(slow);
    trim_all(jc, jw, stream_name(jc, "b"), 3000);
    bounds(jc, stream_name(jc, "a"), &first, &next);
    assert_int_equal(first, 5000);
    bounds(jc, jc->fence, &first, &next); /* fences stay */
    assert_int_equal(first, 0);
    assert_int_equal(next, 3);
    journal_writer_close(jw);
}

/* A pipeline that runs for years: fences go as well, but for the newest thousand and the one that the slowest reader stands at. */
static void fences_follow_their_changes(void **state)
{
    struct journal_case *jc = *state;
    uint64_t first, next;
    jc->config.retention_ms = 0;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    for (int i = 0; i < 2500; i++)
        unit(jc, jw, a, 2);
    struct journal_reader *early = open_reader(jc, NULL), *slow = open_reader(jc, "slow");
    assign_one(jc, early, jc->fence, 0, 2500);
    confirm(jc, "apply", 2499);
    OK(jc, journal_confirm(slow, NULL, 0, 700, &jc->err));
    journal_reader_close(slow);
    trim_all(jc, jw, jc->fence, 700);
    bounds(jc, stream_name(jc, "a"), &first, &next);
    assert_int_equal(first, 1402); /* what fence 700 stands for is gone, and it is still there */
    confirm(jc, "slow", 2499);
    trim_all(jc, jw, jc->fence, 1500);
    bounds(jc, jc->fence, &first, &next);
    assert_int_equal(next, 2500);
    struct journal_record rec;
    assert_int_equal(journal_next(early, 1000, &rec, &jc->err), JOURNAL_ERROR); /* trimmed after assign */
    assert_int_equal(jc->err.code, ERR_GAP);
    err_clear(&jc->err);
    journal_reader_close(early);
    journal_writer_close(jw);
    jw = open_writer(jc); /* and it goes on */
    unit(jc, jw, data_stream(jc, jw, "a"), 2);
    struct journal_reader *jr = open_reader(jc, NULL);
    struct journal_range range = {.stream = jc->fence, .first_offset = 1499, .next_offset = 2501};
    FAILS(jc, ERR_GAP, journal_assign(jr, &range, 1, &jc->err));
    assign_one(jc, jr, jc->fence, 1500, 2501);
    for (int i = 1500; i < 2501; i++)
        assert_int_equal(get(jc, jr)->offset, i);
    assert_null(get(jc, jr));
    journal_reader_close(jr);
    journal_writer_close(jw);
}

static void trimmed_ranges_are_a_gap(void **state)
{
    struct journal_case *jc = *state;
    jc->config.retention_ms = 0;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    unit(jc, jw, a, 1000);
    unit(jc, jw, a, 1000);
    struct journal_reader *jr = open_reader(jc, NULL), *early = open_reader(jc, NULL);
    assign_one(jc, early, stream_name(jc, "a"), 10, 500);
    confirm(jc, "apply", 0);
    trim_all(jc, jw, stream_name(jc, "a"), 1000);
    struct journal_range range = {.stream = stream_name(jc, "a"), .first_offset = 999, .next_offset = 1100};
    FAILS(jc, ERR_GAP, journal_assign(jr, &range, 1, &jc->err));
    struct journal_record rec;
    assert_int_equal(journal_next(early, 1000, &rec, &jc->err), JOURNAL_ERROR); /* trimmed after assign */
    assert_int_equal(jc->err.code, ERR_GAP);
    err_clear(&jc->err);
    assign_one(jc, jr, stream_name(jc, "a"), 1000, 2000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(get(jc, jr)->offset, 1000 + i);
    assert_null(get(jc, jr));
    journal_reader_close(jr);
    journal_reader_close(early);
    journal_writer_close(jw);
}

static void keep_holds_young_entries(void **state)
{
    struct journal_case *jc = *state;
    uint64_t first, next;
    jc->config.retention_ms = 3600000;
    struct journal_writer *jw = open_writer(jc);
    unit(jc, jw, data_stream(jc, jw, "a"), 1000);
    confirm(jc, "apply", 0);
    OK(jc, journal_trim(jw, &jc->err));
    bounds(jc, stream_name(jc, "a"), &first, &next);
    assert_int_equal(first, 0);
    journal_writer_close(jw);
}

/* Written and trimmed over and over, the file stays as large as what is kept. */
static void trimmed_space_is_used_again(void **state)
{
    struct journal_case *jc = *state;
    jc->config.retention_ms = 0;
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    unit(jc, jw, a, 10000);
    struct journal_reader *stuck = open_reader(jc, NULL); /* one that reads a little and stops pins nothing */
    assign_one(jc, stuck, stream_name(jc, "a"), 0, 10000);
    assert_non_null(get(jc, stuck));
    for (uint64_t round = 1; round < 25; round++) {
        unit(jc, jw, a, 10000); /* about 2.5 MB */
        confirm(jc, "apply", round);
        trim_all(jc, jw, stream_name(jc, "a"), (round + 1) * 10000);
    }
    assert_in_range(file_bytes(jc), 1 << 20, 16 << 20);
    journal_reader_close(stuck);
    journal_writer_close(jw);
}

/* Ten million changes (a fifth of that unless CF_CHECK_MODE=full), a reader that follows three fences behind: the file grows to what is
 * written in the second or so between two looks at how far the reader is, and no further (2.5 GB are written in all). What is read is what was written, in order. */
static void a_soak_stays_bounded(void **state)
{
    enum { UNIT = 20000, BEHIND = 3 };
    struct journal_case *jc = *state;
    const char *mode = getenv("CF_CHECK_MODE");
    uint64_t changes = mode != NULL && strcmp(mode, "full") == 0 ? 10000000 : 2000000;
    uint64_t units = changes / UNIT, read = 0;
    int64_t most = 0, early = 0;
    jc->config.retention_ms = 0;
    struct journal_writer *jw = open_writer(jc);
    struct journal_reader *jr = open_reader(jc, "apply");
    int a = data_stream(jc, jw, "a");
    for (uint64_t n = 0; n < units; n++) {
        unit(jc, jw, a, UNIT);
        if (n >= BEHIND) {
            assign_one(jc, jr, stream_name(jc, "a"), read, read + UNIT);
            for (int i = 0; i < UNIT; i++, read++)
                assert_int_equal(get(jc, jr)->offset, read);
            assert_null(get(jc, jr));
            OK(jc, journal_confirm(jr, NULL, 0, n - BEHIND, &jc->err));
        }
        OK(jc, journal_trim(jw, &jc->err));
        most = file_bytes(jc) > most ? file_bytes(jc) : most;
        early = n == units / 5 ? most : early;
    }
    print_message("%llu changes: the file grew to %lld KiB, %lld KiB after a fifth of them\n",
                  (unsigned long long)(units * UNIT), (long long)most / 1024, (long long)early / 1024);
    assert_in_range(most, 1 << 20, 400 << 20);
    journal_reader_close(jr);
    journal_writer_close(jw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_FRESH(trim_keeps_what_a_reader_needs), ON_FRESH(fences_follow_their_changes),
        ON_FRESH(trimmed_ranges_are_a_gap),       ON_FRESH(keep_holds_young_entries),
        ON_FRESH(trimmed_space_is_used_again),    ON_FRESH(a_soak_stays_bounded),
    };
    if (getenv("CF_TEST_FILTER") != NULL)
        cmocka_set_test_filter(getenv("CF_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
