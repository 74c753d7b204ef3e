/* apply over a journal that the test writes, into a real PostgreSQL: what is PostgreSQL's own. What holds for every target is in
 * apply_conformance_test.c. */
#include "apply_targets.h"

static void test_foreign_keys_and_triggers(void **state)
{
    struct apply_case *ac =
        begin_plain(state, "CREATE TABLE parent (id int PRIMARY KEY, n text); CREATE TABLE child "
                           "(id int PRIMARY KEY, p int NOT NULL REFERENCES "
                           "parent ON DELETE CASCADE); CREATE FUNCTION no() RETURNS trigger "
                           "LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION "
                           "'fired'; END$$; CREATE TRIGGER no BEFORE INSERT OR UPDATE OR DELETE "
                           "ON parent FOR EACH ROW EXECUTE FUNCTION no()");
    change_parent_and_child(ac);
    end_case(ac);
}

/* A role that may not set session_replication_role: order has to be right, foreign keys are checked. */
static void test_foreign_keys_without_replica_role(void **state)
{
    struct apply_case *ac = begin_plain(
        state, "CREATE TABLE parent (id int PRIMARY KEY, n text); CREATE TABLE child (id int PRIMARY "
               "KEY, p int NOT NULL REFERENCES "
               "parent); DO $$BEGIN CREATE ROLE plain LOGIN; EXCEPTION WHEN duplicate_object THEN END$$; "
               "GRANT ALL ON parent, child TO plain");
    struct ac_table *p = ac_table(ac, "parent", "id int4 key, n text");
    struct ac_table *c = ac_table(ac, "child", "id int4 key, p int4");
    char sql[200];
    (void)snprintf(sql, sizeof sql, "GRANT CREATE, TEMP ON DATABASE %s TO plain", ac->database);
    ac_sql(ac, sql);
    (void)snprintf(ac->url, sizeof ac->url, "postgresql://plain@127.0.0.1:%d/%s", postgres.port,
                   ac->database);
    ac_write_config(ac, "");
    empty_copy(ac);
    ac_begin(ac);
    for (int i = 1; i <= 100; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "%d", i);
        ac_insert(ac, p, ROW(id, "n"));
        ac_insert(ac, c, ROW(id, id));
    }
    ac_fence(ac, FENCE_STREAM);
    ac_begin(ac); /* sets cannot do this one: the child lets go of its parent by an update */
    ac_insert(ac, p, ROW("1000", "new"));
    ac_update(ac, c, NULL, ROW("1", "1000"));
    ac_delete(ac, p, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(p) FROM child", "100,6049");
    ac_expect(ac, "SELECT count(*), min(id), max(id) FROM parent", "100,2,1000");
    end_case(ac);
}

static void test_unique_swap_deferrable(void **state)
{
    struct apply_case *ac =
        begin_plain(state, "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE DEFERRABLE, big text)");
    rotate_uniques(ac);
    assert_false(ac_log_has(
        ac, "to=replace")); /* in replica role the recheck of deferrable constraints does not even fire */
    end_case(ac);
}

static void test_no_key_touches_one_of_equals(void **state)
{
    struct apply_case *ac = begin_plain(state, "CREATE TABLE t (a int, b text, n numeric, j json)");
    struct ac_table *t = ac_table(ac, "t", "a int4, b text, n numeric, j json");
    empty_copy(ac);
    ac_begin(ac);
    for (int i = 0; i < 3; i++)
        ac_insert(ac, t, ROW("1", NULL, "1.0", "{\"x\": 1}"));
    ac_insert(ac, t, ROW("1", NULL, "1.00", "{\"x\": 1}"));
    ac_insert(ac, t, ROW("2", "b", NULL, NULL));
    ac_fence(ac, FENCE_STREAM);
    ac_begin(ac);
    ac_delete(ac, t, ROW("1", NULL, "1.0", "{\"x\": 1}"));
    ac_update(ac, t, ROW("1", NULL, "1.0", "{\"x\": 1}"), ROW("5", "u", "1.0", UNSENT));
    ac_update(ac, t, ROW("2", "b", NULL, NULL), ROW("2", "c", NULL, NULL));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY a, n",
              "1,null,1.0,{\"x\": 1};1,null,1.00,{\"x\": 1};2,c,null,null;5,u,1.0,{\"x\": 1}");
    end_case(ac);
}

static void test_partitioned_identity_generated(void **state)
{
    struct apply_case *ac = begin_plain(
        state,
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, part int, a int, twice int GENERATED ALWAYS AS "
        "(a * 2) STORED, "
        "PRIMARY KEY (id, part)) PARTITION BY LIST (part); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); "
        "CREATE TABLE t2 PARTITION OF t DEFAULT");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, part int4 key, a int4, twice int4");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    for (int i = 1; i <= 100; i++) {
        char id[8], part[8];
        (void)snprintf(id, sizeof id, "%d", i);
        (void)snprintf(part, sizeof part, "%d", i % 2);
        ac_read(ac, t, ROW(id, part, "1", "2"));
    }
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_begin(ac);
    ac_insert(ac, t, ROW("200", "1", "5", "10"));
    ac_update(ac, t, NULL, ROW("1", "1", "7", "14"));
    ac_move(ac, t, ROW("2", "0"), ROW("2", "1", "1", "2"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a), sum(twice) FROM t1", "52,62,124");
    ac_expect(ac, "SELECT count(*), sum(a) FROM t2", "49,49");
    end_case(ac);
}

static void test_deferrable_key_and_identity_beside_the_key(void **state)
{
    struct apply_case *ac =
        begin_plain(state, "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, a int); "
                           "CREATE TABLE s (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, a int)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, a int4");
    struct ac_table *s = ac_table(ac, "s", "id int4 key, n int4, a int4");
    empty_copy(ac);
    for (int round = 0; round < 2; round++) {
        ac_begin(ac);
        for (int i = 1; i <= 100; i++) {
            char id[8], n[8], a[8];
            (void)snprintf(id, sizeof id, "%d", i);
            (void)snprintf(n, sizeof n, "%d", i + 1000 * (round + 1));
            (void)snprintf(a, sizeof a, "%d", round);
            ac_delete(ac, t, ROW(id));
            ac_insert(ac, t, ROW(id, a));
            ac_delete(ac, s, ROW(id));
            ac_insert(ac, s, ROW(id, n, a));
        }
        ac_fence(ac, FENCE_STREAM);
        run_to_end(ac);
    }
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("1", "77"));
    ac_delete(ac, s, ROW("1"));
    ac_insert(ac, s, ROW("1", "5000", "78"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), sum(a), max(a) FROM t", "100,176,77");
    ac_expect(ac, "SELECT count(*), sum(a), min(n), max(n) FROM s", "100,177,2002,5000");
    end_case(ac);
}

static void test_control_tables_of_an_older_build(void **state)
{
    struct apply_case *ac =
        begin_plain(state, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key");
    struct ac_table *u = ac_table(ac, "u", "id int4 key");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_sql(
        ac,
        "ALTER TABLE crossfade.loaded DROP COLUMN table_oid; ALTER TABLE crossfade.dead_letter DROP COLUMN "
        "key_shape, DROP COLUMN begun");
    ac_begin(ac);
    ac_insert(ac, u, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*) FROM t, u", "1");
    end_case(ac);
}

static void test_json_records(void **state)
{
    struct apply_case *ac = begin_as(state, "json", "CREATE TABLE t (id int PRIMARY KEY, n numeric, b text)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, n numeric, b text");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_read(ac, t, ROW("1", "1.50", "x"));
    ac_fence(ac, FENCE_SNAPSHOT);
    ac_begin(ac);
    ac_move(ac, t, ROW("1"), ROW("2", "2.50", UNSENT));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t", "2,2.50,x");
    end_case(ac);
}

/* A record is not trusted to hold what its column's type says. In rows of a copy, in sets, and one by one. */
static void test_what_does_not_fit_goes_by_rule(void **state)
{
    struct apply_case *ac =
        begin_plain(state, "CREATE TABLE t (id int PRIMARY KEY, b varchar(3), c varchar(3) NOT NULL)");
    struct ac_table *t = ac_table(ac, "t", "id int4 key, b varchar3, c varchar3");
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_read(ac, t, ROW("1", "too long", "c"));
    ac_fence(ac, FENCE_SNAPSHOT);
    for (int i = 0; i < 2; i++) {
        ac_begin(ac);
        for (int k = 0; k < (i == 0 ? 1 : 200); k++) {
            char id[16];
            (void)snprintf(id, sizeof id, "%d", 10 + 1000 * i + k);
            ac_insert(ac, t, ROW(id, "far too long", "c"));
        }
        ac_fence(ac, FENCE_STREAM);
    }
    ac_start(ac, NULL);
    HALTS(ac, 5, "table=public.t", "column=b", "more characters");
    ac->target_more = ", unfit_columns: {public.t: \"null\"}";
    ac_write_config(ac, "");
    run_to_end(ac);
    ac_expect(ac, "SELECT count(*), count(b), min(c) FROM t", "202,0,c");
    assert_true(ac_log_has(ac, "value_changed"));
    ac_begin(ac);
    ac_insert(ac, t, ROW("5", "b", "too long")); /* the column takes no null */
    ac_fence(ac, FENCE_STREAM);
    ac_start(ac, NULL);
    HALTS(ac, 5, "column=c", "more characters");
    end_case(ac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_keys_and_triggers),
        cmocka_unit_test(test_foreign_keys_without_replica_role),
        cmocka_unit_test(test_unique_swap_deferrable),
        cmocka_unit_test(test_no_key_touches_one_of_equals),
        cmocka_unit_test(test_partitioned_identity_generated),
        cmocka_unit_test(test_deferrable_key_and_identity_beside_the_key),
        cmocka_unit_test(test_control_tables_of_an_older_build),
        cmocka_unit_test(test_json_records),
        cmocka_unit_test(test_what_does_not_fit_goes_by_rule),
    };
    return cmocka_run_group_tests(tests, NULL, stop_servers);
}
