/* One suite for every journal: what journal.h promises of reading by ranges, as fences name them, and of following. How it is
 * run: journal_suite.h. */
#include <pthread.h>
#include <stdatomic.h>

#include "journal_suite.h"

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
    _Atomic bool follows, ended;
    int want;
};

static void *follow_all(struct follower *f)
{
    struct err err = ERR_INIT;
    struct journal_reader *jr = NULL;
    struct journal_record rec;
    struct journal_range range = {.stream = f->jc->fence, .next_offset = JOURNAL_FOLLOW};
    if (!journal_reader_open(&f->jc->config, NULL, &jr, &err) || !journal_assign(jr, &range, 1, &err))
        return xstrdup(err.text);
    atomic_store(&f->follows, true);
    int64_t until = clock_mono_us() + 180000000;
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

/* NULL: got all, or time is up. */
static void *follow(void *arg)
{
    struct follower *f = arg;
    void *fault = follow_all(f);
    atomic_store(&f->ended, true);
    return fault;
}

/* The follower is there before the stream is. */
static void a_follower_gets_each_commit(void **state)
{
    struct journal_case *jc = *state;
    struct journal_writer *jw = open_writer(jc);
    struct follower f = {.jc = jc, .want = 20};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, follow, &f), 0);
    while (!atomic_load(&f.follows) &&
           !atomic_load(&f.ended)) /* records of ours would make the stream somebody else's */
        usleep(200);
    int id = fence_stream(jc, jw);
    for (int n = 0; n < f.want; n++) {
        put_numbered(jc, jw, id, (uint64_t)n, (uint64_t)n + 1);
        OK(jc, journal_commit(jw, &jc->err));
        while (n % 2 == 0 && atomic_load(&f.got) <= n && !atomic_load(&f.ended))
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
    assert_in_range(clock_mono_us() - begin, 40000, 60000000);
    assert_int_equal(journal_next(jr, 0, &rec, &jc->err), JOURNAL_IDLE);
    put_numbered(jc, jw, id, 2, 3);
    OK(jc, journal_commit(jw, &jc->err));
    assert_non_null(get(jc, jr));
    journal_reader_close(jr);
    journal_writer_close(jw);
}

/* --- all --- */

static const struct CMUnitTest tests[] = {
    ON_FRESH(ranges_of_fences_give_each_record_once),
    ON_FRESH(assign_in_the_middle),
    ON_FRESH(a_follower_gets_each_commit),
    ON_FRESH(idle_when_nothing_comes),
};

int main(int argc, char **argv)
{
    return run_suite(argc, argv, tests, ARRAY_LEN(tests), tests, ARRAY_LEN(tests));
}
