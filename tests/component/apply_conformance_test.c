/* apply over a journal that the test writes, into a real server of every kind of target: one suite, each test once for each
 * implementation of target_ops. What only one of them has is in apply_target_test.c and apply_mariadb_test.c. */
#include "apply_targets.h"

static const char *const more_writers = "3 writers";

static struct apply_case *begin_case(void **state, const char *ddl)
{
    struct apply_case *ac = begin_plain(state, ddl);
    if (strstr(*state, more_writers) != NULL) {
        ac->always = "writers: 3, writer_rows: 1";
        ac_write_config(ac, "");
    }
    return ac;
}

/* A query of the position, in a buffer that the next call overwrites. */
static const char *position_sql(const struct apply_case *ac, const char *what)
{
    static char sql[300];
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM crossfade%cposition", what,
                   ac->mariadb != NULL ? '_' : '.');
    return sql;
}

/* How a message names the row with this id. */
static const char *key_named(struct apply_case *ac, const char *id)
{
    static char text[100];
    char sql[100];
    (void)snprintf(sql, sizeof sql, "SELECT LEFT(SHA2('%s', 256), 16)", id);
    if (ac->mariadb != NULL)
        (void)snprintf(text, sizeof text, "key_hash=%s", ac_rows(ac, sql));
    else
        (void)snprintf(text, sizeof text, "id=%s", id);
    return text;
}

static void test_copy_and_stream(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big text");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    for (int i = 1; i <= 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "%d", i);
        ac_read(ac, t, ROW(id, "1", "x"));
    }
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_start(ac, NULL);
    ac_wait(ac);
    ac_expect(ac, "SELECT count(*), sum(a) FROM t", "5,5");
    ac_expect(ac, position_sql(ac, "CASE WHEN complete THEN 't' ELSE 'f' END, attempt, fence_id"), "f,1,2");
    ac_begin(ac);
    ac_insert(ac, t, ROW("6", "6", NULL));
    ac_update(ac, t, NULL, ROW("1", "11", UNSENT));
    ac_update(ac, t, NULL, ROW("2", "22", "y"));
    ac_delete(ac, t, ROW("3"));
    ac_move(ac, t, ROW("4"), ROW("40", "4", UNSENT));
    ac_fence(ac, FENCE_STREAM);
    ac_wait(ac);
    ac_stop(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,11,x;2,22,y;5,1,x;6,6,null;40,4,x");
    ac_expect(ac,
              position_sql(ac, "CASE WHEN complete THEN 't' ELSE 'f' END, fence_id, lsn, source_system_id"),
              "t,3,0/1000180,7300000000000000001");
    end_case(ac);
}

/* The same through staging: more rows than go as single statements. */
static void test_large_sets(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big text");
    char id[16], to[16];
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    for (int i = 1; i <= 1000; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_read(ac, t, ROW(id, "1", "x"));
    }
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_begin(ac);
    for (int i = 1; i <= 1000; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        (void)snprintf(to, sizeof to, "%d", i + 10000);
        if (i % 5 == 0)
            ac_delete(ac, t, ROW(id));
        else if (i % 5 == 1)
            ac_update(ac, t, NULL, ROW(id, "2", UNSENT));
        else if (i % 5 == 2)
            ac_update(ac, t, NULL, ROW(id, "3", NULL));
        else if (i % 5 == 3)
            ac_move(ac, t, ROW(id), ROW(to, "4", UNSENT));
        else
            ac_move(ac, t, ROW(id), ROW(to, "5", "z"));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT a, coalesce(big, '-'), count(*), min(id), max(id) FROM t GROUP BY 1, 2 ORDER BY 1",
              "2,x,200,1,996;3,-,200,2,997;4,x,200,10003,10998;5,z,200,10004,10999");
    assert_false(ac_log_has(ac, "batch_again"));
    end_case(ac);
}

static void test_unique_swap_not_deferrable(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, big text)");
    rotate_uniques(ac);
    assert_true(ac_log_has(ac, "from=plain to=ordered"));
    assert_true(ac_log_has(ac, "from=ordered to=replace"));
    end_case(ac);
}

/* Keys that rotate, with values that only the old rows hold. */
static void test_key_rotation(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big text");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1", "one"));
    ac_insert(ac, t, ROW("2", "2", "two"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_begin(ac);
    ac_move(ac, t, ROW("1"), ROW("9", "1", UNSENT));
    ac_move(ac, t, ROW("2"), ROW("1", "2", UNSENT));
    ac_move(ac, t, ROW("9"), ROW("2", "1", UNSENT));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,2,two;2,1,one");
    end_case(ac);
}

static void test_no_key_row_that_is_missing(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (a int)");
    struct ac_table *t = ac_table(ac, "t", "a int4");
    empty_copy(ac);
    ac_begin(ac);
    ac_delete(ac, t, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "lsn=0/1000200", "0 rows were found");
    end_case(ac);
}

static void test_missing_table_writes_nothing(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key");
    struct ac_table *gone = ac_table(ac, "gone", "id int4 key");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1"));
    ac_insert(ac, gone, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.gone");
    ac_expect(ac, "SELECT count(*) FROM t", "0");
    ac_sql(ac, "CREATE TABLE gone (id int PRIMARY KEY)");
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*) FROM t, gone", "1");
    end_case(ac);
}

static void test_value_that_does_not_fit_is_named(void **state)
{
    struct apply_case *ac =
        begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a text CHECK (a <> 'bad'))");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a text");
    empty_copy(ac);
    ac_begin(ac);
    for (int i = 1; i <= 200; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, t, ROW(id, i == 150 ? "bad" : "good"));
    }
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", key_named(ac, "150"), "lsn=0/1000200", "23514");
    ac_expect(ac, "SELECT count(*) FROM t", "0");
    end_case(ac);
}

static void test_update_of_missing_row_is_named(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big text");
    empty_copy(ac);
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("17", "1", UNSENT));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", key_named(ac, "17"), "0 rows were found");
    ac_expect(ac, position_sql(ac, "fence_id"), "1");
    end_case(ac);
}

/* Few rows go as single statements, many through staging; a strict update beside them still has to find its row. */
static void test_update_beside_a_copy_may_miss(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big text");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_read(ac, t, ROW("1", "1", "x"));
    ac_read(ac, t, ROW("2", "1", "y"));
    ac_fence(ac, FENCE_SNAPSHOT);
    for (int round = 0; round < 2; round++) {
        ac_begin(ac);
        ac_update_copying(ac, t, ROW("1", "11", UNSENT));
        ac_delete(ac, t, ROW("2"));
        ac_update_copying(ac, t, ROW("2", "22", UNSENT));
        for (int i = 0; i < (round == 0 ? 3 : 300); i++) {
            char id[16];
            (void)snprintf(id, sizeof id, "%d", 1000 + i);
            ac_update_copying(ac, t, ROW(id, "5", UNSENT));
        }
        ac_fence(ac, FENCE_SNAPSHOT);
    }
    ac_start(ac, NULL);
    ac_wait(ac);
    ac_expect(ac, "SELECT * FROM t", "1,11,x");
    ac_begin(ac);
    ac_update_copying(ac, t, ROW("7", "7", UNSENT));
    ac_update(ac, t, NULL, ROW("8", "8", UNSENT));
    ac_fence(ac, FENCE_STREAM);
    HALTS(ac, 5, "table=public.t", key_named(ac, "8"), "0 rows were found");
    end_case(ac);
}

static void test_foreign_keys(void **state)
{
    struct apply_case *ac = begin_case(
        state,
        "CREATE TABLE parent (id int PRIMARY KEY, n text); CREATE TABLE child "
        "(id int PRIMARY KEY, p int NOT NULL, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)");
    change_parent_and_child(ac);
    end_case(ac);
}

/* An upsert must not change a row that a second unique index finds. */
static void test_upsert_meets_another_unique_index(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, u int4, big text");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "10", "one"));
    ac_insert(ac, t, ROW("2", "20", "two"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_begin(ac); /* whole rows, so upserts: 2 takes what 1 lets go of */
    ac_update(ac, t, NULL, ROW("1", "30", "one"));
    ac_update(ac, t, NULL, ROW("2", "10", "two"));
    ac_update(ac, t, NULL, ROW("1", "20", "one again"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,20,one again;2,10,two");
    ac_sql(ac, "INSERT INTO t VALUES (7, 70, 'of the target alone')");
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("2", "70", "two"));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "23505");
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,20,one again;2,10,two;7,70,of the target alone");
    end_case(ac);
}

static void test_no_key_touches_one_of_equals(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (a int, b text)");
    struct ac_table *t = ac_table(ac, "t", "a int4, b text");
    empty_copy(ac);
    ac_begin(ac);
    for (int i = 0; i < 3; i++)
        ac_insert(ac, t, ROW("1", "x"));
    ac_insert(ac, t, ROW("1", "X"));
    ac_insert(ac, t, ROW("1", "x "));
    ac_insert(ac, t, ROW("2", NULL));
    ac_fence(ac, FENCE_STREAM);
    ac_begin(ac);
    ac_delete(ac, t, ROW("1", "x"));
    ac_update(ac, t, ROW("1", "x"), ROW("5", "u"));
    ac_update(ac, t, ROW("2", NULL), ROW("2", "c"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT a, b, length(b) FROM t ORDER BY a, length(b), b", "1,X,1;1,x,1;1,x ,2;2,c,1;5,u,1");
    end_case(ac);
}

static void test_truncate_beside_rows(void **state)
{
    struct apply_case *ac =
        begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE TABLE s (id int PRIMARY KEY)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4");
    struct ac_table *s = ac_table(ac, "s", "id int4 key");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1"));
    ac_insert(ac, s, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_begin(ac);
    ac_insert(ac, s, ROW("2"));
    ac_truncate(ac, t);
    ac_insert(ac, t, ROW("2", "2"));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, "apply.before_commit:1"); /* what was emptied is back after a kill */
    assert_int_equal(ac_wait_exit(ac), 1000 + SIGKILL);
    ac_expect(ac, "SELECT * FROM t", "1,1");
    ac_expect(ac, "SELECT count(*) FROM s", "1");
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t", "2,2");
    ac_expect(ac, "SELECT count(*) FROM s", "2");
    end_case(ac);
}

/* A second copy empties what the first has filled. */
static void test_copy_again(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4");
    for (int round = 0; round < 2; round++) {
        ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
        ac_read(ac, t, ROW(round == 0 ? "1" : "2", "1"));
        ac_fence(ac, FENCE_SNAPSHOT);
        run_to_end(ac);
    }
    ac_expect(ac, "SELECT * FROM t", "2,1");
    end_case(ac);
}

static void test_nonempty_table_halts(void **state)
{
    struct apply_case *ac =
        begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (7, 7)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_read(ac, t, ROW("1", "1"));
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "on_nonempty");
    ac_expect(ac, "SELECT * FROM t", "7,7");
    ac_write_config(ac, "on_nonempty: truncate");
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t", "1,1");
    end_case(ac);
}

static void test_second_apply_is_refused(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    (void)ac_table(ac, "t", "id int4 key, a int4");
    empty_copy(ac);
    ac_start(ac, NULL);
    ac_wait(ac);
    pid_t first = ac->pid;
    ac->pid = 0;
    ac_start(ac, NULL);
    int64_t until = clock_mono_us() + 60 * 1000000;
    while (!ac_log_has(ac, "another apply of pipeline t") && clock_mono_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    assert_true(ac_log_has(ac, "another apply of pipeline t"));
    kill(ac->pid, SIGKILL);
    (void)ac_wait_exit(ac);
    ac->pid = first;
    ac_stop(ac);
    end_case(ac);
}

/* Somebody has moved the position: whatever was read then is not what is written on. */
static void test_moved_position_fences_off(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4");
    empty_copy(ac);
    ac_start(ac, NULL);
    ac_wait(ac);
    ac_sql(ac, ac->mariadb != NULL ? "UPDATE crossfade_position SET fence_id = 99"
                                   : "UPDATE crossfade.position SET fence_id = 99");
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1"));
    ac_fence(ac, FENCE_STREAM);
    HALTS(ac, 5, "another apply has taken over");
    ac_expect(ac, "SELECT count(*) FROM t", "0");
    end_case(ac);
}

static void expect_unfit(void **state, const char *ddl, const char *text)
{
    struct apply_case *ac = begin_case(state, ddl);
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int8");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "1"));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", text);
    end_case(ac);
}

static void test_unfit_tables_are_named(void **state)
{
    expect_unfit(state, "CREATE TABLE t (id int PRIMARY KEY)", "column a");
    expect_unfit(state, "CREATE TABLE t (id int PRIMARY KEY, a int)", "a");
    expect_unfit(state, "CREATE TABLE t (id int, a bigint)", "unique index");
    expect_unfit(state, "CREATE TABLE t (id int PRIMARY KEY, a bigint, b int NOT NULL)", "b");
    expect_unfit(state, "CREATE VIEW t AS SELECT 1 AS id, 1 AS a", "no table");
}

/* The server's answer to a COMMIT is lost: what it says when it is asked again decides, nothing comes twice. */
static void test_lost_commit_is_looked_up(void **state)
{
    struct apply_case *ac =
        begin_case(state, "CREATE TABLE t (a int); CREATE TABLE s (id int PRIMARY KEY, n int)");
    struct ac_table *t = ac_table(ac, "t", "a int4");
    struct ac_table *s = ac_table(ac, "s", "id int4 key, n int4");
    char *url = xasprintf("fault:commit:3:lost:%s", ac->url);
    assert_true(strlen(url) < sizeof ac->url);
    memcpy(ac->url, url, strlen(url) + 1);
    free(url);
    ac_write_config(ac, "");
    empty_copy(ac);
    ac_start(ac, NULL);
    ac_wait(ac);
    for (int round = 0; round < 3; round++) {
        ac_begin(ac);
        ac_insert(ac, t, ROW("1"));
        if (round > 0)
            ac_delete(ac, s, ROW("1"));
        ac_insert(ac, s, ROW("1", round == 2 ? "2" : "1"));
        ac_fence(ac, FENCE_STREAM);
        ac_wait(ac);
    }
    ac_stop(ac);
    assert_true(ac_log_has(ac, "session_lost"));
    ac_expect(ac, "SELECT count(*) FROM t", "3");
    ac_expect(ac, "SELECT * FROM s", "1,2");
    end_case(ac);
}

static void test_written_on_both_sides(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4");
    ac_write_config(ac, "conflicts: { \"*.t\": target_wins }, dual_write_until: \"2999-01-01T00:00Z\"");
    empty_copy(ac);
    ac_insert(ac, t, ROW("1", "1"));
    ac_insert(ac, t, ROW("2", "2"));
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    ac_wait(ac);
    ac_wait_log(ac, " dual_write "); /* from here on the application may write the target */
    ac_stop(ac);
    ac_sql(ac, "UPDATE t SET a = a + 10");
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("1", "5"));
    ac_update(ac, t, NULL, ROW("2", "12")); /* an echo */
    ac_insert(ac, t, ROW("3", "3"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,11;2,12;3,3");
    ac_expect(ac,
              ac->mariadb != NULL ? "SELECT `key`, kind, decision FROM crossfade_conflict"
                                  : "SELECT key, kind, decision FROM crossfade.conflict",
              "{\"id\": 1},update,target");
    /* a new copy begins with empty tables, and is nobody else's */
    ac_start(ac, NULL);
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_read(ac, t, ROW("1", "7"));
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_wait(ac);
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("1", "8"));
    ac_fence(ac, FENCE_STREAM);
    ac_wait(ac);
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("1", "9"));
    ac_fence(ac, FENCE_STREAM);
    ac_wait(ac);
    ac_stop(ac);
    ac_expect(ac, "SELECT * FROM t", "1,9");
    ac_expect(
        ac,
        ac->mariadb != NULL
            ? "SELECT (SELECT count(*) FROM crossfade_conflict), (SELECT count(*) FROM crossfade_applied)"
            : "SELECT (SELECT count(*) FROM crossfade.conflict), (SELECT count(*) FROM crossfade.applied)",
        "1,1");
    end_case(ac);
}

#define ALL(test)                                                                                            \
    ON(test, "postgresql"), ON(test, "mariadb"), ON(test, "postgresql, 3 writers"),                          \
        ON(test, "mariadb, 3 writers")

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(test_copy_and_stream),
        ALL(test_large_sets),
        ALL(test_unique_swap_not_deferrable),
        ALL(test_key_rotation),
        ALL(test_no_key_row_that_is_missing),
        ALL(test_missing_table_writes_nothing),
        ALL(test_value_that_does_not_fit_is_named),
        ALL(test_update_of_missing_row_is_named),
        ALL(test_update_beside_a_copy_may_miss),
        ALL(test_foreign_keys),
        ALL(test_upsert_meets_another_unique_index),
        ALL(test_no_key_touches_one_of_equals),
        ALL(test_truncate_beside_rows),
        ALL(test_copy_again),
        ALL(test_nonempty_table_halts),
        ALL(test_second_apply_is_refused),
        ALL(test_moved_position_fences_off),
        ALL(test_unfit_tables_are_named),
        ALL(test_lost_commit_is_looked_up),
        ON(test_written_on_both_sides, "postgresql"),
        ON(test_written_on_both_sides, "mariadb"),
    };
    return cmocka_run_group_tests(tests, NULL, stop_servers);
}
