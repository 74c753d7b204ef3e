/* apply's life: kills at every named point, copies begun anew, markers, positions that do not fit the
 * journal, large fences, lost connections. */
#include "apply_targets.h"

static const char *number(int n)
{
    static char text[8][16];
    static unsigned at;
    char *out = text[at++ % 8];
    (void)snprintf(out, 16, "%d", n);
    return out;
}

static void copy_rows(struct apply_case *ac, struct ac_table *t, int from, int to, const char *a)
{
    for (int i = from; i <= to; i++)
        ac_read(ac, t, ROW(number(i), a, "text"));
}

#define TABLE "CREATE TABLE t (id int PRIMARY KEY, a int, big text)"
#define SHAPE "id int4 key, a int4, big text"

/* Whatever point apply dies at: the next run ends in the same state, and the sum shows that nothing came
 * twice. */
static void test_killed_at_every_point(void **state)
{
    static const char *const points[] = {"apply.before_write", "apply.copy",          "apply.mid_write",
                                         "apply.after_part",   "apply.after_write",   "apply.before_commit",
                                         "apply.after_commit", "apply.before_confirm"};
    for (size_t p = 0; p < ARRAY_LEN(points); p++) {
        for (int n = 1; n <= 3; n++) {
            char failpoint[64];
            (void)snprintf(failpoint, sizeof failpoint, "%s:%d", points[p], n);
            struct apply_case *ac = begin_plain(state, TABLE "; CREATE TABLE k (a int)");
            struct ac_table *t = ac_table(ac, "t", SHAPE), *k = ac_table(ac, "k", "a int4");
            if (n > 1)
                ac_write_config(
                    ac, "batch_max_changes: 150"); /* a batch is a fence: the next one is read ahead */
            ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
            copy_rows(ac, t, 1, 100, "1");
            ac_fence(ac, FENCE_SNAPSHOT);
            copy_rows(ac, t, 101, 200, "1");
            ac_fence(ac, FENCE_SNAPSHOT);
            ac_start(ac, failpoint);
            for (int round = 1; round <= 4; round++) {
                ac_begin(ac);
                for (int i = 1; i <= 100; i++)
                    ac_update(ac, t, NULL, ROW(number(i), number(round), UNSENT));
                ac_insert(ac, k, ROW(number(round)));
                ac_fence(ac, FENCE_STREAM);
            }
            int64_t until = clock_mono_us() + 5 * 1000000;
            int status = 0;
            pid_t ended = 0;
            while (ended == 0 && clock_mono_us() < until && !ac_position_is(ac, ac->fence_id))
                ended = waitpid(ac->pid, &status, WNOHANG);
            if (ended != 0) { /* (with n = 3 the point may not have been passed so often) */
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
                ac->pid = 0;
            } else if (n == 1) {
                fail_msg("%s was never passed", points[p]);
            } else {
                kill(ac->pid, SIGKILL);
                (void)ac_wait_exit(ac);
            }
            ac_begin(ac);
            ac_fence(ac, FENCE_STREAM);
            run_to_end(ac);
            ac_expect(ac, "SELECT count(*), sum(a), count(big) FROM t", "200,500,200");
            ac_expect(ac, "SELECT count(*), sum(a) FROM k", "4,10");
            end_case(ac);
        }
    }
}

static void test_copy_begun_anew_removes_rows(void **state)
{
    struct apply_case *ac =
        begin_plain(state, TABLE "; CREATE TABLE s (id int PRIMARY KEY, a int, big text); "
                                 "CREATE TABLE outside (id int REFERENCES t)");
    struct ac_table *t = ac_table(ac, "t", SHAPE), *s = ac_table(ac, "s", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 1, 200, "1");
    copy_rows(ac, s, 1, 200, "1");
    ac_fence(ac, FENCE_SNAPSHOT);
    run_to_end(ac);
    ac_expect(ac, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM s)", "200,200");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 100, 299, "2");
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_begin(ac);
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), min(id), max(a) FROM t", "200,100,2");
    ac_expect(ac, "SELECT count(*) FROM s", "0");
    ac_expect(ac, "SELECT table_name, attempt FROM crossfade.loaded", "t,2");
    end_case(ac);
}

/* A new target begins at the newest copy, not at what came before. */
static void test_new_target_skips_old_copies(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 1, 10, "1");
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 5, 6, "2");
    ac_fence(ac, FENCE_SNAPSHOT);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), max(a) FROM t", "2,2");
    ac_expect(ac, "SELECT attempt FROM crossfade.position", "2");
    end_case(ac);
}

static void test_filled_table_is_refused_or_emptied(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE "; INSERT INTO t VALUES (7, 7, 'mine')");
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 1, 100, "1");
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "apply.on_nonempty");
    ac_expect(ac, "SELECT * FROM t", "7,7,mine");
    ac_write_config(ac, "on_nonempty: truncate");
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a) FROM t", "100,100");
    end_case(ac);
}

static void test_rows_of_a_copy_may_be_there(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 1, 100, "1");
    ac_fence(ac, FENCE_SNAPSHOT);
    run_to_end(ac);
    copy_rows(ac, t, 50, 200, "2");
    ac_fence(ac, FENCE_SNAPSHOT);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a) FROM t", "200,351");
    assert_true(ac_log_has(ac, "from=plain to=set"));
    end_case(ac);
}

static void test_compare_marker_waits(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1", NULL));
    ac_fence(ac, FENCE_STREAM);
    ac_fence_marked(ac, FENCE_STREAM, MARKER_COMPARE, "nonce-1", 60000);
    uint64_t cut = ac->fence_id;
    ac_begin(ac);
    ac_insert(ac, t, ROW("2", "2", NULL));
    ac_fence(ac, FENCE_STREAM);
    uint64_t end = ac->fence_id;
    ac_start(ac, NULL);
    ac->fence_id = cut;
    ac_wait(ac);
    ac_expect(ac, "SELECT marker_kind, marker_nonce FROM crossfade.position", "compare,nonce-1");
    ac_stop(ac); /* while it waits */
    ac_start(ac, NULL);
    int64_t until = clock_mono_us() + 30 * 1000000;
    while (!ac_log_has(ac, "waiting_for_release") && clock_mono_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    ac_expect(ac, "SELECT count(*) FROM t", "1");
    ac_sql(ac, "INSERT INTO crossfade.release (pipeline, nonce) VALUES ('t', 'nonce-1')");
    ac->fence_id = end;
    ac_wait(ac);
    ac_fence_marked(ac, FENCE_STREAM, MARKER_COMPARE, "nonce-2", 50); /* nobody releases this one */
    ac_begin(ac);
    ac_insert(ac, t, ROW("3", "3", NULL));
    ac_fence_marked(ac, FENCE_STREAM, MARKER_FINAL, "nonce-3", 0);
    ac_begin(ac);
    ac_insert(ac, t, ROW("4", "3", NULL));
    ac_fence(ac, FENCE_STREAM);
    ac_wait(ac);
    ac_stop(ac);
    assert_true(ac_log_has(ac, "release_deadline"));
    ac_expect(ac, "SELECT count(*) FROM t", "4");
    end_case(ac);
}

static void test_other_source_is_refused(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    empty_copy(ac);
    run_to_end(ac);
    ac->system_id++;
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "source system");
    end_case(ac);
}

static void test_missing_fence_is_a_gap(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    empty_copy(ac);
    ac->fence_id++;
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "fences are missing");
    end_case(ac);
}

/* A fence that names a change which the journal does not give: nothing of it is committed. */
static void test_missing_change_is_a_gap(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    empty_copy(ac);
    ac_begin(ac);
    ac->changes++;
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "name 1 changes, the journal gave 0");
    end_case(ac);
}

/* Two ways in which a topic shows that it is not the one that the fences were written over. */
static void test_recreated_topic_is_refused(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    for (int i = 1; i <= 2; i++) {
        ac_begin(ac);
        ac_insert(ac, t, ROW(number(i), "1", "x"));
        ac->recreated = i == 2;
        ac_fence(ac, FENCE_STREAM);
    }
    ac_start(ac, NULL);
    HALTS(ac, 5, "the topic was recreated");
    end_case(ac);

    ac = begin_plain(state, TABLE);
    t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1", "x"));
    ac->lsn -= 0x90; /* the fence now stands before the change */
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "were recreated or written to by somebody else");
    ac_expect(ac, "SELECT count(*) FROM t", "0");
    end_case(ac);
}

static void test_position_of_another_journal_is_refused(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    empty_copy(ac);
    run_to_end(ac);
    ac_sql(ac, "UPDATE crossfade.position SET fence_offset = 1000, fence_id = 1001");
    ac_start(ac, NULL);
    HALTS(ac, 5, "not the journal");
    ac_sql(ac, "UPDATE crossfade.position SET fence_offset = 0");
    ac_start(ac, NULL);
    HALTS(ac, 5, "not the journal");
    end_case(ac);
}

/* A target restored to an earlier backup has an earlier position: it goes on from there. */
static void test_earlier_position_is_taken(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 1, 10, "1");
    ac_begin(ac);
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_sql(ac, "CREATE TABLE saved AS TABLE crossfade.position; CREATE TABLE saved_t AS TABLE t");
    for (int i = 1; i <= 5; i++) {
        ac_begin(ac);
        ac_update(ac, t, NULL, ROW(number(i), "5", UNSENT));
        ac_fence(ac, FENCE_STREAM);
    }
    run_to_end(ac);
    ac_sql(ac, "TRUNCATE t, crossfade.position; INSERT INTO t TABLE saved_t; INSERT INTO crossfade.position "
               "TABLE saved");
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a) FROM t", "10,30");
    end_case(ac);
}

/* Fences larger than memory: parts of one transaction, also through key changes and TRUNCATE. */
static void test_fence_larger_than_memory(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE "; CREATE TABLE k (a int)");
    struct ac_table *t = ac_table(ac, "t", SHAPE), *k = ac_table(ac, "k", "a int4");
    ac_write_config(ac, "batch_max_bytes: 64KiB");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    copy_rows(ac, t, 1, 3000, "1");
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_begin(ac);
    for (int i = 1; i <= 3000; i++) {
        ac_move(ac, t, ROW(number(i)), ROW(number(i + 10000), "2", UNSENT));
        ac_insert(ac, k, ROW(number(i)));
    }
    for (int i = 1; i <= 1000; i++) {
        ac_delete(ac, t, ROW(number(i + 10000)));
        ac_insert(ac, t, ROW(number(i + 20000), "3", "new"));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT a, big, count(*), min(id), max(id) FROM t GROUP BY 1, 2 ORDER BY 1",
              "2,text,2000,11001,13000;3,new,1000,20001,21000");
    ac_expect(ac, "SELECT count(*), count(DISTINCT a) FROM k", "3000,3000");
    ac_begin(ac);
    for (int i = 1; i <= 1000; i++)
        ac_insert(ac, t, ROW(number(i), "4", "gone"));
    ac_truncate(ac, t);
    for (int i = 1; i <= 500; i++)
        ac_insert(ac, t, ROW(number(i), "5", "kept"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT a, count(*) FROM t GROUP BY 1", "5,500");
    end_case(ac);
}

/* Larger than memory and in conflict: replay in exact order, through a spool. */
static void test_large_fence_with_conflicts(void **state)
{
    struct apply_case *ac = begin_plain(state, "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, big text)");
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_write_config(ac, "batch_max_bytes: 64KiB");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    for (int i = 1; i <= 1000; i++)
        ac_read(ac, t, ROW(number(i), number(i), "text"));
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_begin(ac);
    for (int i = 1; i <= 1000; i += 2) { /* neighbours swap, by way of a third value */
        ac_update(ac, t, NULL, ROW(number(i), number(-i), UNSENT));
        ac_update(ac, t, NULL, ROW(number(i + 1), number(i), UNSENT));
        ac_update(ac, t, NULL, ROW(number(i), number(i + 1), UNSENT));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum((a = id + (id % 2) * 2 - 1)::int), count(big) FROM t",
              "1000,1000,1000");
    assert_true(ac_log_has(ac, "fence_spooled"));
    end_case(ac);
}

static void test_table_changes_its_shape(void **state)
{
    struct apply_case *ac =
        begin_plain(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big text, extra text)");
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1", "x"));
    ac_insert(ac, t, ROW("2", "1", "x"));
    struct ac_table *wider = ac_table(ac, "t", SHAPE ", extra text");
    ac_begin(ac);
    ac_update(ac, wider, NULL, ROW("1", "2", UNSENT, "e"));
    ac_insert(ac, wider, ROW("3", "3", "y", "f"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,2,x,e;2,1,x,null;3,3,y,f");
    end_case(ac);
}

static void test_second_apply_does_not_write(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    empty_copy(ac);
    ac_start(ac, NULL);
    ac_wait(ac);
    pid_t first = ac->pid;
    ac->pid = 0;
    ac_start(ac, NULL);
    int64_t until = clock_mono_us() + 30 * 1000000;
    while (!ac_log_has(ac, "another apply of pipeline t") && clock_mono_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    assert_true(ac_log_has(ac, "another apply of pipeline t"));
    ac_stop(ac);
    ac->pid = first;
    ac_sql(ac, "UPDATE crossfade.position SET fence_id = fence_id + 100"); /* a zombie's view */
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1", NULL));
    ac_fence(ac, FENCE_STREAM);
    HALTS(ac, 5, "another apply has taken over");
    ac_expect(ac, "SELECT count(*) FROM t", "0");
    end_case(ac);
}

static void test_lost_connections_and_answers(void **state)
{
    static const char *const faults[] = {"commit:2:lost",   "commit:2:error", "write:3:transient",
                                         "write:3:lost",    "begin:2:error",  "prepare:1:transient",
                                         "position:1:lost", "open:1:lost"};
    for (size_t f = 0; f < ARRAY_LEN(faults); f++) {
        char url[200];
        struct apply_case *ac = begin_plain(state, TABLE "; CREATE TABLE k (a int)");
        struct ac_table *t = ac_table(ac, "t", SHAPE), *k = ac_table(ac, "k", "a int4");
        (void)snprintf(url, sizeof url, "fault:%s:postgresql://postgres@127.0.0.1:%d/%s", faults[f],
                       postgres.port, ac->database);
        memcpy(ac->url, url, sizeof url);
        ac_write_config(ac, "");
        ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
        copy_rows(ac, t, 1, 100, "1");
        ac_fence(ac, FENCE_SNAPSHOT);
        ac_start(ac, NULL);
        for (int i = 1; i <= 5; i++) {
            ac_begin(ac);
            ac_update(ac, t, NULL, ROW(number(i), "2", UNSENT));
            ac_insert(ac, k, ROW(number(i)));
            ac_fence(ac, FENCE_STREAM);
            ac_wait(ac);
        }
        ac_stop(ac);
        ac_expect(ac, "SELECT count(*), sum(a) FROM t", "100,105");
        ac_expect(ac, "SELECT count(*), sum(a) FROM k", "5,15");
        assert_true(ac_log_has(ac, "injected"));
        end_case(ac);
    }
}

static void test_ended_backend_is_survived(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE "; CREATE TABLE k (a int)");
    struct ac_table *k = ac_table(ac, "k", "a int4");
    empty_copy(ac);
    ac_start(ac, NULL);
    ac_wait(ac);
    for (int i = 1; i <= 4; i++) {
        ac_sql(ac, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                   "'crossfade apply t'");
        ac_begin(ac);
        ac_insert(ac, k, ROW(number(i)));
        ac_fence(ac, FENCE_STREAM);
        ac_wait(ac);
    }
    ac_stop(ac);
    ac_expect(ac, "SELECT count(*), sum(a) FROM k", "4,10");
    end_case(ac);
}

/* A lock on the target holds the batch up: a stop still ends apply within its grace, at a clean position. */
static void test_stop_while_a_lock_is_waited_for(void **state)
{
    struct apply_case *ac = begin_plain(state, TABLE);
    struct ac_table *t = ac_table(ac, "t", SHAPE);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1", NULL));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_sql(ac, "BEGIN; LOCK TABLE t IN EXCLUSIVE MODE");
    ac_start(ac, NULL);
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("1", "2", NULL));
    ac_fence(ac, FENCE_STREAM);
    int64_t until = clock_mono_us() + 30 * 1000000;
    while (strcmp(ac_rows(ac, "SELECT count(*) FROM pg_locks WHERE NOT granted"), "0") == 0 &&
           clock_mono_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    int64_t asked = clock_mono_us();
    ac_stop(ac);
    assert_true(clock_mono_us() - asked < 10 * 1000000);
    ac_sql(ac, "COMMIT");
    ac_expect(ac, "SELECT a FROM t", "1");
    run_to_end(ac);
    ac_expect(ac, "SELECT a FROM t", "2");
    end_case(ac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_begun_anew_removes_rows),
        cmocka_unit_test(test_new_target_skips_old_copies),
        cmocka_unit_test(test_filled_table_is_refused_or_emptied),
        cmocka_unit_test(test_rows_of_a_copy_may_be_there),
        cmocka_unit_test(test_compare_marker_waits),
        cmocka_unit_test(test_other_source_is_refused),
        cmocka_unit_test(test_missing_fence_is_a_gap),
        cmocka_unit_test(test_missing_change_is_a_gap),
        cmocka_unit_test(test_recreated_topic_is_refused),
        cmocka_unit_test(test_position_of_another_journal_is_refused),
        cmocka_unit_test(test_earlier_position_is_taken),
        cmocka_unit_test(test_fence_larger_than_memory),
        cmocka_unit_test(test_large_fence_with_conflicts),
        cmocka_unit_test(test_table_changes_its_shape),
        cmocka_unit_test(test_second_apply_does_not_write),
        cmocka_unit_test(test_lost_connections_and_answers),
        cmocka_unit_test(test_ended_backend_is_survived),
        cmocka_unit_test(test_stop_while_a_lock_is_waited_for),
        cmocka_unit_test(test_killed_at_every_point),
    };
    return cmocka_run_group_tests(tests, NULL, stop_servers);
}
