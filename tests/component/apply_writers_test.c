/* Several writers of one batch (lib/target/crew.h), on both kinds of target: what they write, what a kill between the steps of the
 * two-phase commit leaves, and what keeps a batch with one of them. */
#include "apply_targets.h"
#include "target/target.h"

#define ROWS 300

static struct apply_case *begin_case(void **state, const char *ddl)
{
    struct apply_case *ac = begin_plain(state, ddl);
    ac->always = "writers: 3, writer_rows: 50";
    ac_write_config(ac, "");
    return ac;
}

/* Nothing is left prepared, and nothing is pending. */
static void expect_settled(struct apply_case *ac)
{
    if (ac->mariadb != NULL) {
        ac_expect(ac, "XA RECOVER", "");
        ac_expect(ac, "SELECT count(*) FROM crossfade_position WHERE pending IS NOT NULL", "0");
    } else {
        ac_expect(ac, "SELECT count(*) FROM pg_prepared_xacts", "0");
        ac_expect(ac, "SELECT count(*) FROM crossfade.position WHERE pending IS NOT NULL", "0");
    }
}

static const char DDL[] =
    "CREATE TABLE t (id int PRIMARY KEY, a int, big text); CREATE TABLE u (id int PRIMARY KEY, "
    "place int UNIQUE); CREATE TABLE bare (a int, b text)";

struct three {
    struct ac_table *t, *u, *bare;
};

static struct three declare(struct apply_case *ac)
{
    return (struct three){.t = ac_table(ac, "t", "id int4 key, a int4, big text"),
                          .u = ac_table(ac, "u", "id int4 key, place int4"),
                          .bare = ac_table(ac, "bare", "a int4, b text")};
}

/* The copy is empty; then rows come in one transaction. */
static struct three fill(struct apply_case *ac)
{
    struct three s = declare(ac);
    char id[16];
    empty_copy(ac);
    ac_begin(ac);
    for (int i = 1; i <= ROWS; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, s.t, ROW(id, "1", "x"));
        ac_insert(ac, s.u, ROW(id, id));
        ac_insert(ac, s.bare, ROW("7", "twin"));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    expect_settled(ac);
    return s;
}

/* Updates (some without the large value), deletes, new rows, and twins of which some go: one transaction. */
static void change(struct apply_case *ac, const struct three *s)
{
    char id[16], to[16];
    ac_begin(ac);
    for (int i = 1; i <= ROWS; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        (void)snprintf(to, sizeof to, "%d", i + ROWS);
        if (i % 3 == 0)
            ac_delete(ac, s->t, ROW(id));
        else
            ac_update(ac, s->t, NULL, ROW(id, "2", i % 3 == 1 ? UNSENT : "y"));
        ac_insert(ac, s->t, ROW(to, "3", "z"));
        ac_update(ac, s->u, NULL, ROW(id, to));
        if (i % 2 == 0)
            ac_delete(ac, s->bare, ROW("7", "twin"));
    }
    ac_fence(ac, FENCE_STREAM);
}

static void expect_filled(struct apply_case *ac)
{
    ac_expect(ac, "SELECT count(*), sum(a), min(big), max(big) FROM t", "300,300,x,x");
    ac_expect(ac, "SELECT count(*), sum(place - id) FROM u", "300,0");
    ac_expect(ac, "SELECT count(*), min(b) FROM bare", "300,twin");
}

static void expect_changed(struct apply_case *ac)
{
    ac_expect(ac, "SELECT a, big, count(*), sum(id) FROM t GROUP BY a, big ORDER BY a, big",
              "2,x,100,14950;2,y,100,15050;3,z,300,135150");
    ac_expect(ac, "SELECT count(*), sum(place - id) FROM u", "300,90000");
    ac_expect(ac, "SELECT count(*), min(b) FROM bare", "150,twin");
}

static void test_one_batch(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    struct three s = fill(ac);
    expect_filled(ac);
    change(ac, &s);
    run_to_end(ac);
    expect_changed(ac);
    expect_settled(ac);
    assert_false(ac_log_has(ac, "batch_again") || ac_log_has(ac, "batch_retry") ||
                 ac_log_has(ac, "session_lost"));
    end_case(ac);
}

/* Killed between any two steps: the next one finds all of the batch or nothing of it, and settles what was left prepared. */
static void test_kill_between_steps(void **state)
{
    static const struct {
        const char *point;
        bool decided, left; /* something is left prepared for certain */
    } steps[] = {{"apply.writers_prepared:1", false, true},      {"apply.writers_prepared:2", false, true},
                 {"apply.writers_before_decision", false, true}, {"apply.writers_decided", true, true},
                 {"apply.writers_committed:1", true, false},     {"apply.writers_committed:2", true, false},
                 {"apply.writers_before_finish", true, false}};
    struct apply_case *ac = begin_case(state, DDL);
    struct three s = fill(ac);
    const char *position = ac->mariadb != NULL
                               ? "SELECT fence_id, pending IS NULL FROM crossfade_position"
                               : "SELECT fence_id, (pending IS NULL)::int FROM crossfade.position";
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        char want[32];
        change(ac, &s);
        ac_start(ac, steps[i].point);
        assert_int_equal(ac_wait_exit(ac), 1000 + SIGKILL);
        /* the position is still that of the fence before, and says whether the one behind it is decided */
        (void)snprintf(want, sizeof want, "%llu,%d", (unsigned long long)ac->fence_id - 1, !steps[i].decided);
        ac_expect(ac, position, want);
        /* what was prepared is settled by the next start, killed once more while it does so */
        if (steps[i].left) {
            ac_start(ac, "apply.writers_recover");
            assert_int_equal(ac_wait_exit(ac), 1000 + SIGKILL);
        }
        run_to_end(ac);
        expect_changed(ac);
        expect_settled(ac);
        /* back to where it was */
        ac_begin(ac);
        char id[16], to[16];
        for (int k = 1; k <= ROWS; k++) {
            (void)snprintf(id, sizeof id, "%d", k);
            (void)snprintf(to, sizeof to, "%d", k + ROWS);
            if (k % 3 == 0)
                ac_insert(ac, s.t, ROW(id, "1", "x"));
            else
                ac_update(ac, s.t, NULL, ROW(id, "1", "x"));
            ac_delete(ac, s.t, ROW(to));
            ac_update(ac, s.u, NULL, ROW(id, id));
            if (k % 2 == 0)
                ac_insert(ac, s.bare, ROW("7", "twin"));
        }
        ac_fence(ac, FENCE_STREAM);
        run_to_end(ac);
        expect_filled(ac);
    }
    end_case(ac);
}

/* What an earlier run with several writers left is settled by one that has one, too. */
static void test_fewer_writers_settle(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    struct three s = fill(ac);
    change(ac, &s);
    ac_start(ac, "apply.writers_decided");
    assert_int_equal(ac_wait_exit(ac), 1000 + SIGKILL);
    ac->always = NULL;
    ac_write_config(ac, "");
    run_to_end(ac);
    expect_changed(ac);
    expect_settled(ac);
    end_case(ac);
}

/* A table that is written by all, then emptied in the same batch, and one whose keys move: by one writer, without waiting. */
static void test_batches_that_may_not_be_parted(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    struct three s = fill(ac);
    char id[16], to[16];
    ac_begin(ac);
    for (int i = 1; i <= ROWS; i++) { /* every row moves, its large value is not sent */
        (void)snprintf(id, sizeof id, "%d", i);
        (void)snprintf(to, sizeof to, "%d", i + ROWS);
        ac_move(ac, s.t, ROW(id), ROW(to, "4", UNSENT));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT min(id), max(id), sum(a), count(big) FROM t", "301,600,1200,300");
    ac_begin(ac);
    ac_truncate(ac, s.t);
    for (int i = 1; i <= ROWS; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, s.t, ROW(id, "5", NULL));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a), count(big) FROM t", "300,1500,0");
    expect_settled(ac);
    assert_false(ac_log_has(ac, "session_lost"));
    end_case(ac);
}

/* A column was added inside of a batch: rows of the old shape are split; one of the new shape moves, so that its rows are of one writer, which
 * has to see what the others have inserted. */
static void test_two_shapes_in_one_batch(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    struct three s = fill(ac);
    char id[16];
    ac_sql(ac, "ALTER TABLE t ADD more int");
    ac_begin(ac);
    for (int i = 1; i < ROWS + 20; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        if (i < ROWS)
            ac_update(ac, s.t, NULL, ROW(id, "2", "y"));
        else if (i > ROWS)
            ac_insert(ac, s.t, ROW(id, "2", "y"));
    }
    struct ac_table *wider = ac_table(ac, "t", "id int4 key, a int4, big text, more int4");
    ac_move(ac, wider, ROW("300"), ROW("1001", "3", UNSENT, "4"));
    for (int i = ROWS + 1; i < ROWS + 20; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_delete(ac, wider, ROW(id));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT a, count(*), min(id), sum(more) FROM t GROUP BY a ORDER BY a",
              "2,299,1,null;3,1,1001,4");
    expect_settled(ac);
    assert_false(ac_log_has(ac, "session_lost"));
    end_case(ac);
}

/* PostgreSQL alone: others have prepared so many that one of the writers finds no room: the first one writes it all. */
static void test_no_room_to_prepare(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    struct three s = fill(ac);
    char sql[80];
    for (int i = 0; i < 19; i++) { /* of 20 */
        (void)snprintf(sql, sizeof sql, "BEGIN; PREPARE TRANSACTION 'other %d'", i);
        ac_sql(ac, sql);
    }
    change(ac, &s);
    run_to_end(ac);
    expect_changed(ac);
    ac_expect(ac, "SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'crossfade%'", "0");
    assert_false(ac_log_has(ac, "session_lost"));
    assert_true(ac_log_has(ac, "maximum number of prepared transactions"));
    for (int i = 0; i < 19; i++) {
        (void)snprintf(sql, sizeof sql, "ROLLBACK PREPARED 'other %d'", i);
        ac_sql(ac, sql);
    }
    expect_settled(ac);
    end_case(ac);
}

/* A row that is refused: nothing of the batch stays, and the row is named as by one writer. */
static void test_refused_row(void **state)
{
    struct apply_case *ac =
        begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a < 1000), big text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big text");
    char id[16];
    empty_copy(ac);
    run_to_end(ac);
    ac_begin(ac);
    for (int i = 1; i <= ROWS; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, t, ROW(id, i == 255 ? "5000" : "1", "x"));
    }
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "23514");
    ac_expect(ac, "SELECT count(*) FROM t", "0");
    ac_sql(ac,
           ac->mariadb != NULL ? "ALTER TABLE t MODIFY a int" : "ALTER TABLE t DROP CONSTRAINT t_a_check");
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), max(a) FROM t", "300,5000");
    expect_settled(ac);
    end_case(ac);
}

/* A batch larger than its memory goes in parts; its rows stay with their writers. */
static void test_many_parts(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    ac_write_config(ac, "batch_max_bytes: 64KiB");
    struct three s = fill(ac);
    expect_filled(ac);
    change(ac, &s);
    run_to_end(ac);
    expect_changed(ac);
    expect_settled(ac);
    assert_false(ac_log_has(ac, "session_lost"));
    end_case(ac);
}

/* PostgreSQL alone: foreign keys fire for a role without rights on session_replication_role: one writer. */
static void test_triggers_fire(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE p (id int PRIMARY KEY, a int); CREATE TABLE c "
                                              "(id int PRIMARY KEY, p int REFERENCES p)");
    char role[600], id[16];
    (void)snprintf(
        role, sizeof role,
        "CREATE ROLE plain_%s LOGIN; GRANT CREATE ON DATABASE %s TO plain_%s; ALTER TABLE p OWNER TO "
        "plain_%s; ALTER TABLE c OWNER TO plain_%s",
        ac->database, ac->database, ac->database, ac->database, ac->database);
    ac_sql(ac, role);
    (void)snprintf(ac->url, sizeof ac->url, "postgresql://plain_%s@127.0.0.1:%d/%s", ac->database,
                   postgres.port, ac->database);
    ac_write_config(ac, "");
    struct ac_table *p = ac_table(ac, "p", "id int4 key, a int4");
    struct ac_table *c = ac_table(ac, "c", "id int4 key, p int4");
    empty_copy(ac);
    ac_begin(ac);
    for (int i = 1; i <= ROWS; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, p, ROW(id, "1"));
        ac_insert(ac, c, ROW(id, id));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c)", "300,300");
    assert_true(ac_log_has(ac, "writers_idle"));
    end_case(ac);
}

/* PostgreSQL alone: what a column does not hold becomes null by its rule also where the rows of a writer beside the first travel as arrays. */
static void test_what_does_not_fit_in_arrays(void **state)
{
    struct apply_case *ac = begin_case(state, "CREATE TABLE t (id int PRIMARY KEY, a int, big varchar(3))");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4, big varchar3");
    char id[16];
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_begin(ac);
    ac_fence(ac, FENCE_STREAM);
    ac_begin(ac);
    for (int i = 1; i <= 3 * ROWS; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, t, ROW(id, "1", "x"));
    }
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_begin(ac);
    for (int i = 1; i <= 3 * ROWS; i++) { /* each writer has more rows than go one by one */
        (void)snprintf(id, sizeof id, "%d", i);
        ac_update(ac, t, NULL, ROW(id, "2", i % 2 == 0 ? "too long" : "y"));
    }
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "column=big", "more characters");
    ac_expect(ac, "SELECT count(*), sum(a), count(big) FROM t", "900,900,900");
    ac->target_more = ", unfit: \"null\"";
    ac_write_config(ac, "");
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a), count(big), min(big) FROM t", "900,1800,450,y");
    expect_settled(ac);
    end_case(ac);
}

/* PostgreSQL alone: all shards together need room for what they prepare. */
static void test_room_for_all_shards(void **state)
{
    struct apply_case *ac = begin_case(state, DDL);
    struct target_options options = {
        .url = ac->url, .pipeline = "sharded", .shard = "1/11", .writers = 3, .writer_rows = 50};
    struct target *tgt = NULL;
    struct err err = ERR_INIT;
    assert_false(target_open(&options, &tgt, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "3 in 11 shards need max_prepared_transactions of at least 22"));
    assert_non_null(strstr(err.text, "where it is 20"));
    options.shard = "1/10";
    AC_OK(ac, target_open(&options, &tgt, &ac->err));
    target_close(tgt);
    end_case(ac);
}

#define BOTH(test) ON(test, "postgresql"), ON(test, "mariadb")

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_one_batch),
        BOTH(test_kill_between_steps),
        BOTH(test_fewer_writers_settle),
        BOTH(test_batches_that_may_not_be_parted),
        BOTH(test_refused_row),
        BOTH(test_many_parts),
        BOTH(test_two_shapes_in_one_batch),
        ON(test_no_room_to_prepare, "postgresql"),
        ON(test_triggers_fire, "postgresql"),
        ON(test_what_does_not_fit_in_arrays, "postgresql"),
        ON(test_room_for_all_shards, "postgresql"),
    };
    return cmocka_run_group_tests(tests, NULL, stop_servers);
}
