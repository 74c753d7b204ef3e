/*
 * For apply's component tests: the servers of a program, one of each kind, started when a test first wants them, and a
 * case on the one that the test's state names. And what both PostgreSQL's own tests and the suite of all targets do.
 */
#ifndef SUPPORT_APPLY_TARGETS_H
#define SUPPORT_APPLY_TARGETS_H

#include "apply_case.h"

static struct pg_server postgres;
static struct mariadb_server mariadb;

/* A test's state: which target it is for, "mariadb…" or anything else (also none) for PostgreSQL. */
#define ON(test, target)                                                                                     \
    {                                                                                                        \
#test "/" target, test, NULL, NULL, (void *)(uintptr_t)target                                        \
    }
static const char *const on_mariadb = "mariadb";

static UNUSED struct apply_case *begin_as(void **state, const char *format, const char *ddl)
{
    struct apply_case *ac = xmalloc(sizeof *ac);
    if (*state != NULL && strncmp(*state, on_mariadb, strlen(on_mariadb)) == 0) {
        if (mariadb.port == 0)
            mariadb_server_start(&mariadb);
        ac_open_mariadb(ac, &mariadb, format);
    } else {
        if (postgres.port == 0)
            pg_server_start(&postgres);
        ac_open(ac, &postgres, format);
    }
    ac_sql(ac, ddl);
    return ac;
}

static UNUSED struct apply_case *begin_plain(void **state, const char *ddl)
{
    return begin_as(state, "avro", ddl);
}

static UNUSED void end_case(struct apply_case *ac)
{
    ac_close(ac);
    free(ac);
}

/* An empty copy, so that streams can begin. */
static UNUSED void empty_copy(struct apply_case *ac)
{
    ac_fence(ac, FENCE_SNAPSHOT_BEGIN);
    ac_begin(ac);
    ac_fence(ac, FENCE_STREAM);
}

static UNUSED void run_to_end(struct apply_case *ac)
{
    ac_start(ac, NULL);
    ac_wait(ac);
    ac_stop(ac);
}

/* A group's teardown. */
static UNUSED int stop_servers(void **state)
{
    (void)state;
    if (postgres.port != 0)
        pg_server_stop(&postgres);
    if (mariadb.port != 0)
        mariadb_server_stop(&mariadb);
    return 0;
}

/* --- shared flows --- */

/* Tables parent (id, n) and child (id, p): rows come and go in an order that the foreign key allows, then all of them. */
static UNUSED void change_parent_and_child(struct apply_case *ac)
{
    struct ac_table *p = ac_table(ac, "parent", "id int4 key, n text");
    struct ac_table *c = ac_table(ac, "child", "id int4 key, p int4");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, p, ROW("1", "one"));
    ac_insert(ac, c, ROW("10", "1"));
    ac_insert(ac, c, ROW("11", "1"));
    ac_fence(ac, FENCE_STREAM);
    ac_begin(ac);
    ac_insert(ac, p, ROW("2", "two"));
    ac_update(ac, c, NULL, ROW("10", "2"));
    ac_delete(ac, c, ROW("11"));
    ac_delete(ac, p, ROW("1"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM parent", "2,two");
    ac_expect(ac, "SELECT * FROM child", "10,2");
    ac_begin(ac);
    ac_truncate(ac, p);
    ac_truncate(ac, c);
    ac_insert(ac, p, ROW("3", "three"));
    ac_insert(ac, c, ROW("30", "3"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT p.id, c.id FROM parent p JOIN child c ON c.p = p.id", "3,30");
}

/* Table t (id, u, big), u unique: three rows take each other's u, two of them without their large value. */
static UNUSED void rotate_uniques(struct apply_case *ac)
{
    struct ac_table *t = ac_table(ac, "t", "id int4 key, u int4, big text");
    empty_copy(ac);
    ac_begin(ac);
    ac_insert(ac, t, ROW("1", "10", "big"));
    ac_insert(ac, t, ROW("2", "20", "big"));
    ac_insert(ac, t, ROW("3", "30", "big"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_begin(ac);
    ac_update(ac, t, NULL, ROW("1", "20", UNSENT));
    ac_update(ac, t, NULL, ROW("2", "30", UNSENT));
    ac_update(ac, t, NULL, ROW("3", "10", "new"));
    ac_fence(ac, FENCE_STREAM);
    run_to_end(ac);
    ac_expect(ac, "SELECT * FROM t ORDER BY id", "1,20,big;2,30,big;3,10,new");
}

#endif
