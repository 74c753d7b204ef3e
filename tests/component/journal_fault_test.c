/* The fault: decorator, and with it the loop that fails the n-th call, n = 1, 2, …, until a run meets no
 * failure. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "journal_case.h"

/* Points the case's URL through a fault; the text before lives on in `plain`. */
static void use_fault(struct journal_case *jc, const char *plain, const char *slot, uint64_t n,
                      const char *action)
{
    (void)snprintf(jc->url, sizeof jc->url, "fault:%s:%llu:%s:%s", slot, (unsigned long long)n, action,
                   plain);
    jc->config.url = jc->url;
}

static void bad_urls_are_refused(void **state)
{
    struct journal_case *jc = *state;
    static const char *const urls[] = {"fault:",
                                       "fault:append",
                                       "fault:append:1:error",
                                       "fault:nothing:1:error:lmdb:/tmp/x",
                                       "fault:append:x:error:lmdb:/tmp/x",
                                       "fault:append::error:lmdb:/tmp/x",
                                       "fault:append:1:explode:lmdb:/tmp/x",
                                       "fault:append:1:delay=:lmdb:/tmp/x",
                                       "fault:append:1:error:redis:x"};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct journal_writer *jw = NULL;
        jc->config.url = urls[i];
        FAILS(jc, ERR_CONFIG, journal_writer_open(&jc->config, &jw, &jc->err));
    }
}

static void the_nth_call_fails_once(void **state)
{
    struct journal_case *jc = *state;
    char *plain = xstrdup(jc->url);
    use_fault(jc, plain, "append", 3, "error");
    struct journal_writer *jw = open_writer(jc);
    int a = data_stream(jc, jw, "a");
    struct journal_record rec = {.partition = 0, .value = "v", .value_len = 1};
    OK(jc, journal_append(jw, a, &rec, &jc->err));
    OK(jc, journal_append(jw, a, &rec, &jc->err));
    FAILS(jc, ERR_INJECTED, journal_append(jw, a, &rec, &jc->err));
    FAILS(jc, ERR_BUG, journal_commit(jw, &jc->err));
    journal_writer_close(jw);
    jw = open_writer(jc); /* the count goes on: no second failure */
    a = data_stream(jc, jw, "a");
    for (int i = 0; i < 5; i++)
        OK(jc, journal_append(jw, a, &rec, &jc->err));
    OK(jc, journal_commit(jw, &jc->err));
    journal_writer_close(jw);
    free(plain);
}

static void error_after_means_it_was_done(void **state)
{
    struct journal_case *jc = *state;
    char *plain = xstrdup(jc->url);
    use_fault(jc, plain, "commit", 1, "error_after");
    struct journal_writer *jw = open_writer(jc);
    put(jc, jw, data_stream(jc, jw, "a"), "k", "v");
    FAILS(jc, ERR_INJECTED, journal_commit(jw, &jc->err));
    journal_writer_close(jw);
    uint64_t first, next;
    struct journal_reader *jr = open_reader(jc, NULL);
    OK(jc, journal_bounds(jr, stream_name(jc, "a"), 0, &first, &next, &jc->err));
    assert_int_equal(next, 1);
    journal_reader_close(jr);
    free(plain);
}

static void reader_slots_fail(void **state)
{
    struct journal_case *jc = *state;
    char *plain = xstrdup(jc->url);
    struct journal_writer *jw = open_writer(jc);
    put(jc, jw, data_stream(jc, jw, "a"), "k", "v");
    OK(jc, journal_commit(jw, &jc->err));
    journal_writer_close(jw);
    struct journal_reader *jr = NULL;
    uint64_t first, next;
    use_fault(jc, plain, "read", 1, "error");
    FAILS(jc, ERR_INJECTED, journal_reader_open(&jc->config, NULL, &jr, &jc->err));
    use_fault(jc, plain, "bounds", 1, "error");
    jr = open_reader(jc, NULL);
    FAILS(jc, ERR_INJECTED, journal_bounds(jr, stream_name(jc, "a"), 0, &first, &next, &jc->err));
    OK(jc, journal_bounds(jr, stream_name(jc, "a"), 0, &first, &next, &jc->err));
    journal_reader_close(jr);
    use_fault(jc, plain, "next", 2, "error");
    jr = open_reader(jc, NULL);
    struct journal_record rec;
    assign_one(jc, jr, stream_name(jc, "a"), 0, 1);
    assert_non_null(get(jc, jr));
    assert_int_equal(journal_next(jr, 0, &rec, &jc->err), JOURNAL_ERROR);
    assert_int_equal(jc->err.code, ERR_INJECTED);
    err_clear(&jc->err);
    journal_reader_close(jr);
    free(plain);
}

static void delay_delays(void **state)
{
    struct journal_case *jc = *state;
    char *plain = xstrdup(jc->url);
    use_fault(jc, plain, "flush", 1, "delay=60");
    struct journal_writer *jw = open_writer(jc);
    const struct journal_range *ranges;
    size_t count;
    int64_t begin_us = clock_mono_us();
    OK(jc, journal_flush(jw, &ranges, &count, &jc->err));
    assert_true(clock_mono_us() - begin_us >= 60000);
    journal_writer_close(jw);
    free(plain);
}

/* --- across processes --- */

static void read_counter(const char *path, uint64_t counter[2])
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fread(counter, sizeof *counter, 2, f), 2);
    (void)fclose(f);
}

static pid_t write_units_in_child(struct journal_case *jc)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct journal_writer *jw;
    int a;
    if (!journal_writer_open(&jc->config, &jw, &jc->err) ||
        !journal_stream(jw, stream_name(jc, "a"), STREAM_DATA, &a, &jc->err))
        _exit(1);
    struct journal_record rec = {.partition = 0, .value = "v", .value_len = 1};
    for (int i = 0; i < 5; i++) {
        if (!journal_append(jw, a, &rec, &jc->err) || !journal_commit(jw, &jc->err))
            _exit(2);
    }
    journal_writer_close(jw);
    _exit(0);
}

static void a_counter_file_counts_across_processes(void **state)
{
    struct journal_case *jc = *state;
    char *plain = xstrdup(jc->url), action[128], path[100];
    uint64_t counter[2];
    int status;
    (void)snprintf(path, sizeof path, "%s/counter", jc->folder);
    (void)snprintf(action, sizeof action, "kill@%s", path);
    use_fault(jc, plain, "commit", 3, action);
    waitpid(write_units_in_child(jc), &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    read_counter(path, counter);
    assert_int_equal(counter[0], 3);
    assert_int_equal(counter[1], 1);
    waitpid(write_units_in_child(jc), &status, 0); /* started again it is not killed again */
    assert_int_equal(status, 0);
    read_counter(path, counter);
    assert_int_equal(counter[0], 8);
    assert_int_equal(counter[1], 1);
    free(plain);
}

/* --- the loop --- */

#define UNITS 4

/* What capture does: finds where it stands by the last fence, then goes on. False: the journal failed. */
static bool write_on(struct journal_case *jc)
{
    struct journal_writer *jw = NULL;
    struct journal_reader *jr = NULL;
    uint64_t first = 0, done = 0;
    int a = 0, b = 0, fence = 0;
    bool ok = journal_writer_open(&jc->config, &jw, &jc->err) &&
              journal_reader_open(&jc->config, "apply", &jr, &jc->err) &&
              journal_bounds(jr, jc->fence, 0, &first, &done, &jc->err) &&
              journal_stream(jw, stream_name(jc, "a"), STREAM_DATA, &a, &jc->err) &&
              journal_stream(jw, stream_name(jc, "b"), STREAM_DATA, &b, &jc->err) &&
              journal_stream(jw, jc->fence, STREAM_FOREVER, &fence, &jc->err);
    for (uint64_t u = done; ok && u < UNITS; u++) {
        char value[32];
        const struct journal_range *ranges;
        size_t count;
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)u);
        struct journal_record rec = {
            .partition = -1, .key = "k", .key_len = 1, .value = value, .value_len = strlen(value)};
        for (int i = 0; ok && i < 3; i++)
            ok = journal_append(jw, i == 1 ? b : a, &rec, &jc->err);
        ok = ok && journal_flush(jw, &ranges, &count, &jc->err) &&
             journal_append(jw, fence, &rec, &jc->err) && journal_commit(jw, &jc->err) &&
             journal_trim(jw, &jc->err);
    }
    journal_reader_close(jr);
    journal_writer_close(jw);
    return ok;
}

/* Each unit exactly once: a holds 0 0 1 1 2 2 …, b and the fences 0 1 2 …. */
static bool read_all(struct journal_case *jc)
{
    struct journal_reader *jr = NULL;
    struct journal_range ranges[] = {{stream_name(jc, "a"), 0, 0, 2 * UNITS, false, 0},
                                     {stream_name(jc, "b"), 0, 0, UNITS, false, 0},
                                     {jc->fence, 0, 0, UNITS, false, 0}};
    struct journal_record rec;
    enum journal_next got = JOURNAL_ERROR;
    uint64_t records = 0;
    if (journal_reader_open(&jc->config, "apply", &jr, &jc->err) && journal_assign(jr, ranges, 3, &jc->err)) {
        while ((got = journal_next(jr, 1000, &rec, &jc->err)) == JOURNAL_RECORD) {
            bool is_a = strcmp(rec.stream, stream_name(jc, "a")) == 0;
            char want[32];
            (void)snprintf(want, sizeof want, "%llu",
                           (unsigned long long)(is_a ? rec.offset / 2 : rec.offset));
            assert_true(text_is(rec.value, rec.value_len, want));
            records++;
        }
        if (got == JOURNAL_END && !journal_confirm(jr, NULL, 0, UNITS - 1, &jc->err))
            got = JOURNAL_ERROR;
    }
    journal_reader_close(jr);
    if (got == JOURNAL_ERROR)
        return false;
    assert_int_equal(got, JOURNAL_END);
    assert_int_equal(records, 4 * UNITS);
    return true;
}

static void fail_each_call(struct journal_case *jc, const char *plain, const char *slot, const char *action)
{
    bool failed = true;
    uint64_t n = 0;
    while (failed) {
        struct journal_case here = *jc;
        char inner[300];
        n++;
        (void)snprintf(inner, sizeof inner, "%s-%s-%s-%llu", plain, slot, action, (unsigned long long)n);
        use_fault(&here, inner, slot, n, action);
        failed = false;
        for (int tries = 0; !write_on(&here) || !read_all(&here); tries++) {
            if (here.err.code != ERR_INJECTED || tries > 2)
                fail_msg("%s: %s", here.url, here.err.text);
            err_clear(&here.err);
            failed = true;
        }
        assert_true(n < 1000);
    }
    assert_true(n > 1); /* else nothing was tried */
}

static void any_call_may_fail(void **state)
{
    struct journal_case *jc = *state;
    char *plain = xstrdup(jc->url);
    static const char *const slots[] = {"any", "open", "commit", "read"};
    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        fail_each_call(jc, plain, slots[i], "error");
        fail_each_call(jc, plain, slots[i], "error_after");
    }
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_FRESH(bad_urls_are_refused),
        ON_FRESH(the_nth_call_fails_once),
        ON_FRESH(error_after_means_it_was_done),
        ON_FRESH(reader_slots_fail),
        ON_FRESH(delay_delays),
        ON_FRESH(a_counter_file_counts_across_processes),
        ON_FRESH(any_call_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
