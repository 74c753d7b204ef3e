/* target_conflict_ops against a real server: what is a conflict and what is not, and what stays of it. */
#include "apply_case.h"

#include "target/conflicts.h"

static struct pg_server server;

static const struct conflict_rule source_wins = {CONFLICT_SOURCE_WINS, NULL, "source_wins"};
static const struct conflict_rule halt_rule = {CONFLICT_HALT, NULL, "halt"};

struct fixture {
    struct apply_case ac;
    struct target *tgt;
    struct ac_table *t;
    struct target_table *table;
    const struct target_conflict_ops *ops;
    struct target_position position;
    struct conflict_counts counts;
    bool done[16];
    uint64_t open;
};

static const struct conflict_rule *rule_of(void *ctx, const char *schema, const char *table)
{
    assert_string_equal(schema, "public");
    assert_string_equal(table, "t");
    return ctx;
}

static void start(struct fixture *f, const struct conflict_rule *rule)
{
    bool begun = false;
    AC_OK(&f->ac, f->ops->start(f->tgt, rule_of, (void *)(uintptr_t)rule, rule != NULL, true, &begun,
                                &f->open, &f->ac.err));
    assert_true(begun);
}

/* Rows 1 to 3, filled by the pipeline; apply's hashes of them are there. */
static struct fixture *begin_case(void)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct apply_case *ac = &f->ac;
    ac_open(ac, &server, "avro");
    ac_sql(ac,
           "CREATE TABLE t (id int PRIMARY KEY, a numeric, big text); INSERT INTO t SELECT i, i, 'big' FROM "
           "generate_series(1, 3) i");
    f->t = ac_table(ac, "t", "id int4 key, a numeric, big text");
    const struct target_options options = {.url = ac->url, .pipeline = "t", .shard = "1/1"};
    bool found = true;
    AC_OK(ac, target_open(&options, &f->tgt, &ac->err));
    AC_OK(ac, target_position(f->tgt, &f->position, &found, &ac->err));
    f->ops = target_conflicts(f->tgt);
    ac_sql(ac, "INSERT INTO crossfade.loaded VALUES ('t', '1/1', 'public', 't', 1)");
    start(f, &source_wins);
    AC_OK(ac, target_prepare(f->tgt, f->t->schema, &f->table, &ac->err));
    return f;
}

static void end_case(struct fixture *f)
{
    target_close(f->tgt);
    ac_close(&f->ac);
    free(f);
}

struct step {
    uint32_t key;
    const char *id;
    const struct ac_row *row; /* NULL: deleted */
};

/* What the changes make of each key, one after the other. */
static bool check(struct fixture *f, const struct conflict_rule *rule, const struct step *steps, size_t count)
{
    struct conflict_state states[8] = {0};
    struct datum rows[8][AC_COLUMNS], keys[8][AC_COLUMNS];
    bool absent[8] = {false};
    struct conflict_batch batch = {
        .table = f->table, .rule = rule, .states = states, .count = count, .key_count = 0};
    memset(f->done, 0, sizeof f->done);
    f->counts = (struct conflict_counts){0};
    for (size_t i = 0; i < count; i++) {
        uint32_t key = steps[i].key;
        ac_datums(f->t, ROW(steps[i].id), true, keys[i]);
        if (steps[i].row != NULL)
            ac_datums(f->t, steps[i].row, false, rows[i]);
        absent[key] = absent[key] || steps[i].row == NULL;
        for (size_t k = 0; k < i; k++)
            states[k].last = states[k].last && states[k].key != key;
        states[i] = (struct conflict_state){.key = key,
                                            .base = key,
                                            .last = true,
                                            .was_absent = absent[key],
                                            .row = steps[i].row != NULL ? rows[i] : NULL,
                                            .key_values = keys[i],
                                            .commit_lsn = 0x100};
        batch.key_count = MAX_OF(batch.key_count, key + 1);
    }
    AC_OK(&f->ac, target_begin(f->tgt, 1, &f->ac.err));
    return f->ops->check(f->tgt, &batch, f->done, &f->counts, &f->ac.err);
}

static void commit(struct fixture *f)
{
    f->position.fence_id++;
    f->position.lsn++;
    AC_OK(&f->ac, target_commit(f->tgt, &f->position, &f->ac.err));
}

#define CHECK(f, rule, ...)                                                                                  \
    check(f, rule, (const struct step[]){__VA_ARGS__},                                                       \
          sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

static const char COUNT[] = "SELECT count(*) FROM crossfade.conflict";

static void test_echoes_are_none(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    ac_sql(&f->ac,
           "UPDATE t SET a = 10 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 4)");
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "10", "big")}, {1, "2", NULL},
                        {2, "4", ROW("4", "4", NULL)}, {3, "3", ROW("3", "30", "big")}));
    assert_true(f->done[0] && f->done[1] && f->done[2] && !f->done[3]);
    commit(f);
    /* the target is in the middle of what the batch does: it is the same application, which is not done yet */
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "11", "big")}, {0, "1", ROW("1", "12", "big")}));
    assert_false(f->done[0]);
    commit(f);
    ac_sql(&f->ac, "UPDATE t SET a = 13 WHERE id = 1; DELETE FROM t WHERE id = 3");
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "13", "big")}, {0, "1", ROW("1", "14", "big")},
                        {1, "3", NULL}, {1, "3", ROW("3", "31", "x")}));
    commit(f);
    ac_expect(&f->ac, COUNT, "0");
    ac_expect(&f->ac, "SELECT * FROM t WHERE id = 3", "3,31,x"); /* new rows are made at once */
    end_case(f);
}

static void test_once_and_only_with_the_batch(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    ac_sql(&f->ac, "UPDATE t SET a = 10 WHERE id = 1");
    for (int round = 0; round < 3; round++) { /* each is rolled back by the next */
        AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "20", "big")}));
        assert_false(f->done[0]);
        assert_int_equal(f->counts.source, 1);
        ac_expect(&f->ac, COUNT, "0");
    }
    commit(f);
    ac_expect(
        &f->ac,
        "SELECT kind, decision, state, key, source_row ->> 'a', target_row ->> 'a' FROM crossfade.conflict",
        "update,source,decided,{\"id\": 1},20,10");
    /* nobody has written the row (this test does not): it is another's still */
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "21", "big")}));
    assert_int_equal(f->counts.source, 1);
    end_case(f);
}

static void test_values_that_are_missing(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    ac_sql(&f->ac, "UPDATE t SET a = 10 WHERE id = 1; DELETE FROM t WHERE id = 2");
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "10", UNSENT)}, {1, "3", ROW("3", "30", UNSENT)}));
    assert_true(f->done[0] && !f->done[1]);
    assert_int_equal(f->counts.source, 0);
    assert_false(CHECK(f, &source_wins, {0, "2", ROW("2", "20", UNSENT)}));
    assert_non_null(strstr(f->ac.err.text, "REPLICA IDENTITY FULL"));
    assert_true(f->ops->halted(f->tgt));
    end_case(f);
}

static void test_halt_and_answer(void **state)
{
    struct fixture *f = begin_case();
    const struct conflicts_query query = {.url = f->ac.url, .pipeline = "t"};
    const int64_t id = 1;
    int64_t count = 0;
    (void)state;
    ac_sql(&f->ac, "UPDATE t SET a = 10 WHERE id = 1");
    for (int round = 0; round < 2; round++) {
        assert_false(CHECK(f, &halt_rule, {0, "1", ROW("1", "20", "big")}));
        assert_int_equal(f->ac.err.code, ERR_SQL);
        assert_true(f->ops->halted(f->tgt));
        AC_OK(&f->ac, f->ops->give_up(f->tgt, round > 0, &f->ac.err));
        assert_false(f->ops->halted(f->tgt));
        ac_expect(&f->ac, COUNT, round > 0 ? "1" : "0");
    }
    AC_OK(&f->ac, target_conflicts_answer(&query, &id, 1, "target", &count, &f->ac.err));
    assert_int_equal(count, 1);
    start(f, &halt_rule);
    assert_int_equal(f->open, 1);
    /* the row is another one than the one that was answered for: the question is open again */
    ac_sql(&f->ac, "UPDATE t SET a = 11 WHERE id = 1");
    const char *first[2], *second[2];
    assert_false(CHECK(f, &halt_rule, {0, "1", ROW("1", "20", "big")}));
    assert_true(f->ops->halted_row(f->tgt, 0, first) && !f->ops->halted_row(f->tgt, 1, second));
    AC_OK(&f->ac, f->ops->give_up(f->tgt, true, &f->ac.err));
    ac_expect(&f->ac, "SELECT state, request, target_row ->> 'a' FROM crossfade.conflict", "open,null,11");
    AC_OK(&f->ac, target_conflicts_answer(&query, &id, 1, "target", &count, &f->ac.err));
    AC_OK(&f->ac, CHECK(f, &halt_rule, {0, "1", ROW("1", "20", "big")}));
    assert_true(f->done[0]);
    assert_int_equal(f->counts.settled, 1);
    commit(f);
    ac_expect(&f->ac,
              "SELECT state, decision, source_row ->> 'a', target_row ->> 'a' FROM crossfade.conflict",
              "resolved,target,20,11");
    end_case(f);
}

static void test_tables_come_and_go(void **state)
{
    struct fixture *f = begin_case();
    static const char known[] = "SELECT (SELECT count(*) FROM crossfade.dual_write), (SELECT count(*) FROM "
                                "crossfade.applied)";
    (void)state;
    ac_expect(&f->ac, known, "1,3");
    start(f, NULL);
    ac_expect(&f->ac, known, "0,0");
    ac_sql(&f->ac, "UPDATE t SET a = 10 WHERE id = 1"); /* what is there at the next start is the beginning */
    start(f, &source_wins);
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "20", "big")}));
    assert_int_equal(f->counts.source, 0);
    commit(f);
    end_case(f);
}

/* Rows are known from before the first batch, by columns and a key that the pipeline does not have: what the target has changed since
 * is a conflict all the same, and nothing else is. */
static void test_another_shape(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    start(f, NULL);
    ac_sql(&f->ac, "ALTER TABLE t ADD extra int DEFAULT 7; INSERT INTO t VALUES (4, 4, 'big')");
    start(f, &source_wins);
    ac_sql(&f->ac, "UPDATE t SET a = 10 WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE t SET a = 30 WHERE "
                   "id = 3; INSERT INTO t VALUES (5, 5, 'target')");
    for (int round = 0; round < 2; round++) { /* the first is rolled back */
        AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "20", "big")}, {1, "2", ROW("2", "20", "big")},
                            {2, "3", ROW("3", "30", "big")}, {3, "4", ROW("4", "40", "big")},
                            {4, "5", ROW("5", "50", "big")}));
        assert_int_equal(f->counts.source, 3);
    }
    commit(f);
    ac_expect(&f->ac, "SELECT string_agg(kind, ' ' ORDER BY key ->> 'id') FROM crossfade.conflict",
              "update target_deleted insert");
    /* a type of which the values look different */
    start(f, NULL);
    ac_sql(&f->ac, "ALTER TABLE t ALTER a TYPE numeric(12,4)");
    start(f, &source_wins);
    ac_sql(&f->ac, "ALTER TABLE t ALTER a TYPE numeric USING trim_scale(a)");
    AC_OK(&f->ac, target_prepare(f->tgt, f->t->schema, &f->table, &f->ac.err));
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "1", ROW("1", "21", "big")}, {1, "3", ROW("3", "31", "big")}));
    assert_int_equal(f->counts.source, 0);
    ac_expect(&f->ac, "SELECT count(*) FROM crossfade.dual_write", "1");
    end_case(f);
}

/* The key of the pipeline is not the primary key. */
static void test_another_key(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    start(f, NULL);
    ac_sql(&f->ac,
           "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD UNIQUE (id), ADD PRIMARY KEY (a) INCLUDE (big)");
    start(f, &source_wins);
    ac_expect(&f->ac, "SELECT columns::jsonb ->> 'key' FROM crossfade.dual_write", "[\"a\"]");
    ac_sql(&f->ac, "UPDATE t SET big = 'target' WHERE id = 1");
    AC_OK(&f->ac,
          CHECK(f, &source_wins, {0, "1", ROW("1", "1", "source")}, {1, "2", ROW("2", "2", "source")}));
    assert_int_equal(f->counts.source, 1);
    AC_OK(&f->ac, f->ops->give_up(f->tgt, false, &f->ac.err));
    ac_sql(&f->ac, "UPDATE crossfade.dual_write SET columns = 'other'");
    assert_false(CHECK(f, &source_wins, {0, "1", ROW("1", "1", "source")}));
    assert_int_equal(f->ac.err.code, ERR_SCHEMA);
    assert_non_null(strstr(f->ac.err.text, "cannot be read"));
    assert_false(f->ops->halted(f->tgt));
    end_case(f);
}

static void test_constraints_that_are_checked_late(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    ac_sql(&f->ac, "ALTER TABLE t ADD UNIQUE (a) DEFERRABLE INITIALLY DEFERRED");
    AC_OK(&f->ac, CHECK(f, &source_wins, {0, "4", ROW("4", "4", "big")}));
    assert_false(f->done[0]); /* the batch writes it */
    commit(f);
    end_case(f);
}

static void test_what_is_not_there_costs_nothing(void **state)
{
    struct fixture *f = begin_case();
    (void)state;
    ac_sql(&f->ac, "DROP TABLE crossfade.conflict, crossfade.applied, crossfade.dual_write");
    start(f, NULL);
    ac_expect(&f->ac, "SELECT to_regclass('crossfade.dual_write') IS NULL", "t");
    end_case(f);
}

static int start_server(void **state)
{
    (void)state;
    pg_server_start(&server);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    pg_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echoes_are_none),
        cmocka_unit_test(test_once_and_only_with_the_batch),
        cmocka_unit_test(test_values_that_are_missing),
        cmocka_unit_test(test_halt_and_answer),
        cmocka_unit_test(test_tables_come_and_go),
        cmocka_unit_test(test_another_shape),
        cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_constraints_that_are_checked_late),
        cmocka_unit_test(test_what_is_not_there_costs_nothing),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
