/* Collapse and sequence against a model: random histories of a small source table, with key changes and
 * values that the source does not send. After the actions the modelled target must equal the source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/collapse.h"
#include "core/alloc.h"

#define KEYS      6
#define HISTORIES 60000
#define LONGEST   24

enum { COL_ID, COL_A, COL_BIG, COLUMNS };

struct model_row {
    bool there;
    int a;
    int big; /* number of the text */
};

struct model {
    struct model_row rows[KEYS];
};

struct history {
    struct model source;
    struct arena arena;
    struct item items[4 * LONGEST];
    size_t count;
    int next_value;
    uint64_t order;
    unsigned seed;
    char log[4000];
    size_t log_len;
};

static struct field fields[COLUMNS] = {
    [COL_ID] = {.name = (char[]){"id"}, .phys = PHYS_INT32, .key = true},
    [COL_A] = {.name = (char[]){"a"}, .phys = PHYS_INT32},
    [COL_BIG] = {.name = (char[]){"big"}, .phys = PHYS_INT32},
};
static size_t key_fields[1] = {COL_ID};
static const struct table_schema table = {.topic = (char[]){"t"},
                                          .schema = (char[]){"public"},
                                          .table = (char[]){"t"},
                                          .fields = fields,
                                          .field_count = COLUMNS,
                                          .key_fields = key_fields,
                                          .key_count = 1};

static int pick(struct history *h, int n)
{
    return (int)((unsigned)rand_r(&h->seed) % (unsigned)n);
}

static struct datum *make_row(struct history *h, int id, int a, int big, bool big_sent)
{
    struct datum *row = arena_alloc(&h->arena, COLUMNS * sizeof *row);
    assert_non_null(row);
    row[COL_ID] = (struct datum){.state = DATUM_VALUE, .i = id};
    row[COL_A] = (struct datum){.state = DATUM_VALUE, .i = a};
    row[COL_BIG] = (struct datum){.state = big_sent ? DATUM_VALUE : DATUM_UNAVAILABLE, .i = big};
    return row;
}

static const void *key_bytes(struct history *h, int id)
{
    const void *key = arena_copy(&h->arena, &id, sizeof id);
    assert_non_null(key);
    return key;
}

static void note(struct history *h, const char *what, int x, int y)
{
    h->log_len += (size_t)snprintf(h->log + h->log_len, sizeof h->log - h->log_len, " %s(%d,%d)", what, x, y);
}

static void add(struct history *h, enum change_op op, int id, const struct datum *row, int other)
{
    struct item *it = &h->items[h->count++];
    *it = (struct item){.schema = &table,
                        .op = op,
                        .commit_lsn = 100 + h->order / 3,
                        .total_order = ++h->order,
                        .seq = (uint32_t)h->count};
    if (op == CHANGE_TRUNCATE)
        return;
    it->key = key_bytes(h, id);
    it->key_len = sizeof(int);
    if (op == CHANGE_DELETE)
        it->old = make_row(h, id, 0, 0, true);
    else
        it->row = row;
    if (other >= 0) {
        it->other_key = key_bytes(h, other);
        it->other_key_len = sizeof(int);
    }
}

static void do_insert(struct history *h, int id)
{
    struct model_row *r = &h->source.rows[id];
    *r = (struct model_row){true, ++h->next_value, ++h->next_value};
    note(h, "insert", id, 0);
    add(h, CHANGE_INSERT, id, make_row(h, id, r->a, r->big, true), -1);
}

static void do_update(struct history *h, int id)
{
    struct model_row *r = &h->source.rows[id];
    bool big_changes = pick(h, 3) == 0;
    r->a = ++h->next_value;
    if (big_changes)
        r->big = ++h->next_value;
    note(h, "update", id, big_changes);
    add(h, CHANGE_UPDATE, id, make_row(h, id, r->a, r->big, big_changes), -1);
}

static void do_delete(struct history *h, int id)
{
    h->source.rows[id].there = false;
    note(h, "delete", id, 0);
    add(h, CHANGE_DELETE, id, NULL, -1);
}

static void do_move(struct history *h, int id, int to)
{
    bool big_changes = pick(h, 3) == 0;
    struct model_row r = h->source.rows[id];
    r.a = ++h->next_value;
    if (big_changes)
        r.big = ++h->next_value;
    h->source.rows[id].there = false;
    h->source.rows[to] = r;
    note(h, "move", id, to);
    add(h, CHANGE_DELETE, id, NULL, to);
    add(h, CHANGE_INSERT, to, make_row(h, to, r.a, r.big, big_changes), id);
}

static void random_step(struct history *h)
{
    int id = pick(h, KEYS), to = pick(h, KEYS);
    if (pick(h, 40) == 0) {
        memset(&h->source, 0, sizeof h->source);
        note(h, "truncate", 0, 0);
        add(h, CHANGE_TRUNCATE, 0, NULL, -1);
    } else if (!h->source.rows[id].there) {
        do_insert(h, id);
    } else if (pick(h, 4) == 0) {
        do_delete(h, id);
    } else if (pick(h, 2) == 0 && !h->source.rows[to].there) {
        do_move(h, id, to);
    } else {
        do_update(h, id);
    }
}

static void history_init(struct history *h, unsigned seed, struct model *target)
{
    h->seed = seed;
    h->count = h->order = h->log_len = 0;
    h->log[0] = '\0';
    h->next_value = 0;
    memset(&h->source, 0, sizeof h->source);
    arena_clear(&h->arena);
    for (int i = 0; i < KEYS; i++) {
        if (pick(h, 2) == 0)
            h->source.rows[i] = (struct model_row){true, ++h->next_value, ++h->next_value};
    }
    *target = h->source;
    int steps = 1 + pick(h, LONGEST);
    for (int i = 0; i < steps; i++)
        random_step(h);
}

static struct model_row patched(const struct history *h, struct model_row old, const struct datum *row,
                                bool complete)
{
    if (complete && row[COL_BIG].state != DATUM_VALUE)
        fail_msg("an incomplete row is said to be complete:%s", h->log);
    old.there = true;
    old.a = (int)row[COL_A].i;
    if (row[COL_BIG].state == DATUM_VALUE)
        old.big = (int)row[COL_BIG].i;
    return old;
}

static int key_of(const struct target_row *r)
{
    const struct datum *values = r->old != NULL ? r->old : r->row;
    return (int)values[COL_ID].i;
}

/* All at once, as one statement of each kind would do it if keys were checked at its end. */
static void run_set(const struct history *h, struct model *t, const struct action_list *list)
{
    struct model moved = {0};
    int seen[KEYS] = {0};
    if (list->truncate)
        memset(t, 0, sizeof *t);
    for (size_t i = 0; i < list->count; i++) {
        if (list->rows[i].op == TARGET_DELETE)
            t->rows[key_of(&list->rows[i])].there = false;
    }
    struct model before = *t;
    for (size_t i = 0; i < list->count; i++) {
        const struct target_row *r = &list->rows[i];
        if (r->op != TARGET_UPDATE)
            continue;
        int from = key_of(r), to = (int)r->row[COL_ID].i;
        if (!before.rows[from].there)
            fail_msg("update of a row that is not there (%d):%s", from, h->log);
        moved.rows[to] = patched(h, before.rows[from], r->row, false);
        t->rows[from].there = false;
    }
    for (int k = 0; k < KEYS; k++) {
        if (!moved.rows[k].there)
            continue;
        if (t->rows[k].there)
            fail_msg("moved onto a row (%d):%s", k, h->log);
        t->rows[k] = moved.rows[k];
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct target_row *r = &list->rows[i];
        if (r->op != TARGET_UPSERT && r->op != TARGET_INSERT)
            continue;
        int to = (int)r->row[COL_ID].i;
        if (seen[to]++ > 0)
            fail_msg("two rows for one key (%d):%s", to, h->log);
        if (r->op == TARGET_INSERT && t->rows[to].there)
            fail_msg("a row that is there is inserted (%d):%s", to, h->log);
        t->rows[to] = patched(h, (struct model_row){0}, r->row, true);
    }
}

static void run_one(const struct history *h, struct model *t, const struct target_row *r)
{
    struct model_row old;
    switch (r->op) {
    case TARGET_DELETE:
        t->rows[key_of(r)].there = false;
        break;
    case TARGET_UPDATE:
        old = t->rows[key_of(r)];
        if (!old.there)
            fail_msg("update of a row that is not there (%d):%s", key_of(r), h->log);
        t->rows[key_of(r)].there = false;
        if (t->rows[r->row[COL_ID].i].there)
            fail_msg("moved onto a row:%s", h->log);
        t->rows[r->row[COL_ID].i] = patched(h, old, r->row, false);
        break;
    case TARGET_UPSERT:
    case TARGET_INSERT:
        t->rows[r->row[COL_ID].i] = patched(h, (struct model_row){0}, r->row, true);
        break;
    case TARGET_OP_UNKNOWN:
        fail_msg("no operation");
    }
}

static void assert_same(const struct history *h, const struct model *target, unsigned seed)
{
    for (int k = 0; k < KEYS; k++) {
        const struct model_row *s = &h->source.rows[k], *t = &target->rows[k];
        if (s->there != t->there || (s->there && (s->a != t->a || s->big != t->big)))
            fail_msg("seed %u: key %d is (%d, %d, %d), should be (%d, %d, %d):%s", seed, k, t->there, t->a,
                     t->big, s->there, s->a, s->big, h->log);
    }
}

static struct history *history_new(void)
{
    struct history *h = xcalloc(1, sizeof *h);
    arena_init(&h->arena, 64 << 10, 64 << 20);
    return h;
}

static void history_free(struct history *h)
{
    arena_release(&h->arena);
    free(h);
}

static void check_collapse(enum rows_new rows_new, size_t *ret_inserts)
{
    struct history *h = history_new();
    *ret_inserts = 0;
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        struct model target;
        struct action_list list;
        struct err err = ERR_INIT;
        history_init(h, seed, &target);
        if (!collapse_items(h->items, h->count, rows_new, &h->arena, &list, &err))
            fail_msg("seed %u: %s:%s", seed, err.text, h->log);
        run_set(h, &target, &list);
        assert_same(h, &target, seed);
        for (size_t i = 0; i < list.count; i++)
            *ret_inserts += list.rows[i].op == TARGET_INSERT;
    }
    history_free(h);
}

static void test_collapse_equals_history(void **state)
{
    size_t inserts = 0;
    check_collapse(ROWS_NEW_READ, &inserts);
    assert_int_equal(inserts, 0);
    check_collapse(ROWS_NEW_CREATED, &inserts);
    assert_true(inserts > HISTORIES);
}

static void test_sequence_equals_history(void **state)
{
    struct history *h = history_new();
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        struct model target;
        struct action_list list;
        struct err err = ERR_INIT;
        history_init(h, seed, &target);
        for (size_t from = 0, end; from < h->count; from = end) {
            if (h->items[from].op == CHANGE_TRUNCATE) {
                memset(&target, 0, sizeof target);
                end = from + 1;
                continue;
            }
            for (end = from; end < h->count && h->items[end].op != CHANGE_TRUNCATE; end++) {
            }
            assert_true(sequence_items(h->items + from, end - from, &h->arena, &list, &err));
            for (size_t i = 0; i < list.count; i++)
                run_one(h, &target, &list.rows[i]);
        }
        assert_same(h, &target, seed);
    }
    history_free(h);
}

static void expect_actions_when(struct history *h, enum rows_new rows_new, const char *want)
{
    struct action_list list;
    struct err err = ERR_INIT;
    char got[200] = "";
    static const char *const names[] = {[TARGET_INSERT] = "insert",
                                        [TARGET_UPSERT] = "upsert",
                                        [TARGET_UPDATE] = "update",
                                        [TARGET_DELETE] = "delete"};
    assert_true(collapse_items(h->items, h->count, rows_new, &h->arena, &list, &err));
    for (size_t i = 0; i < list.count; i++)
        (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s %d", i > 0 ? ", " : "",
                       names[list.rows[i].op], key_of(&list.rows[i]));
    assert_string_equal(got, want);
}

static void expect_actions(struct history *h, const char *want)
{
    expect_actions_when(h, ROWS_NEW_READ, want);
}

static void test_chain_of_moves_keeps_first_key(void **state)
{
    struct history *h = history_new();
    add(h, CHANGE_DELETE, 1, NULL, 2);
    add(h, CHANGE_INSERT, 2, make_row(h, 2, 5, 0, false), 1);
    add(h, CHANGE_DELETE, 2, NULL, 3);
    add(h, CHANGE_INSERT, 3, make_row(h, 3, 6, 0, false), 2);
    expect_actions(h, "delete 2, delete 3, update 1");
    history_free(h);
}

static void test_only_last_state_is_written(void **state)
{
    struct history *h = history_new();
    for (int i = 0; i < 5; i++)
        add(h, CHANGE_UPDATE, 1, make_row(h, 1, i, i, true), -1);
    add(h, CHANGE_UPDATE, 1, make_row(h, 1, 9, 0, false), -1);
    expect_actions(h, "upsert 1");
    history_free(h);
}

static void test_reads_are_inserts(void **state)
{
    struct history *h = history_new();
    add(h, CHANGE_READ, 1, make_row(h, 1, 1, 1, true), -1);
    add(h, CHANGE_READ, 2, make_row(h, 2, 1, 1, true), -1);
    expect_actions(h, "insert 1, insert 2");
    add(h, CHANGE_UPDATE, 2, make_row(h, 2, 1, 1, true), -1);
    expect_actions(h, "insert 1, upsert 2");
    history_free(h);
}

/* A key whose first change is an insert is not on the target, whatever comes behind; one that a move brings may be. */
static void test_created_rows_are_inserts(void **state)
{
    struct history *h = history_new();
    add(h, CHANGE_INSERT, 1, make_row(h, 1, 1, 1, true), -1);
    add(h, CHANGE_UPDATE, 1, make_row(h, 1, 2, 0, false), -1);
    add(h, CHANGE_INSERT, 2, make_row(h, 2, 1, 1, true), -1);
    add(h, CHANGE_DELETE, 2, NULL, -1);
    add(h, CHANGE_INSERT, 2, make_row(h, 2, 1, 1, true), -1);
    add(h, CHANGE_DELETE, 3, NULL, -1);
    add(h, CHANGE_INSERT, 3, make_row(h, 3, 1, 1, true), -1);
    add(h, CHANGE_DELETE, 4, NULL, 5);
    add(h, CHANGE_INSERT, 5, make_row(h, 5, 1, 1, true), 4);
    expect_actions_when(h, ROWS_NEW_CREATED, "insert 1, insert 2, upsert 3, delete 4, upsert 5");
    expect_actions(h, "upsert 1, upsert 2, upsert 3, delete 4, upsert 5");
    history_free(h);
}

/* Beside a copy: an update whose row is gone means nothing, one whose row may be elsewhere says so. */
static void test_updates_beside_a_copy(void **state)
{
    struct history *h = history_new();
    struct action_list list;
    struct err err = ERR_INIT;
    add(h, CHANGE_DELETE, 1, NULL, -1);
    add(h, CHANGE_UPDATE, 1, make_row(h, 1, 1, 1, false), -1);
    add(h, CHANGE_UPDATE, 2, make_row(h, 2, 1, 1, false), -1);
    add(h, CHANGE_UPDATE, 3, make_row(h, 3, 1, 1, false), -1);
    h->items[1].may_miss = h->items[2].may_miss = true;
    expect_actions(h, "delete 1, update 2, update 3");
    assert_true(collapse_items(h->items, h->count, ROWS_NEW_READ, &h->arena, &list, &err));
    assert_true(!list.rows[0].may_miss && list.rows[1].may_miss && !list.rows[2].may_miss);
    assert_true(sequence_items(h->items, h->count, &h->arena, &list, &err));
    assert_true(!list.rows[0].may_miss && list.rows[1].may_miss && list.rows[2].may_miss &&
                !list.rows[3].may_miss);
    history_free(h);
}

/* A half of a key change whose other one is in another batch, or was never written. */
static void test_sequence_of_halves(void **state)
{
    struct history *h = history_new();
    struct action_list list;
    struct err err = ERR_INIT;
    add(h, CHANGE_DELETE, 1, NULL, 2);
    add(h, CHANGE_DELETE, 3, NULL, 4);
    add(h, CHANGE_INSERT, 4, make_row(h, 4, 1, 1, false), 3);
    add(h, CHANGE_INSERT, 5, make_row(h, 5, 1, 1, true), 0);
    add(h, CHANGE_DELETE, 2, NULL, 5);
    assert_true(sequence_items(h->items, h->count, &h->arena, &list, &err));
    assert_int_equal(list.count, 4);
    assert_true(list.rows[0].op == TARGET_DELETE && list.rows[0].old[COL_ID].i == 1);
    assert_true(list.rows[1].op == TARGET_UPDATE && list.rows[1].old[COL_ID].i == 3);
    assert_true(list.rows[2].op == TARGET_UPSERT && list.rows[2].old == NULL);
    assert_true(list.rows[3].op == TARGET_DELETE && list.rows[3].old[COL_ID].i == 2);
    history_free(h);
}

static void test_impossible_history_is_refused(void **state)
{
    struct history *h = history_new();
    struct action_list list;
    struct err err = ERR_INIT;
    add(h, CHANGE_DELETE, 1, NULL, -1);
    add(h, CHANGE_UPDATE, 1, make_row(h, 1, 1, 1, false), -1);
    assert_false(collapse_items(h->items, h->count, ROWS_NEW_READ, &h->arena, &list, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_non_null(strstr(err.text, "table=public.t"));
    h->count = 0;
    err_clear(&err);
    add(h, CHANGE_INSERT, 2, make_row(h, 2, 1, 1, false), 1);
    assert_false(collapse_items(h->items, h->count, ROWS_NEW_READ, &h->arena, &list, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    history_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collapse_equals_history),
        cmocka_unit_test(test_sequence_equals_history),
        cmocka_unit_test(test_chain_of_moves_keeps_first_key),
        cmocka_unit_test(test_only_last_state_is_written),
        cmocka_unit_test(test_reads_are_inserts),
        cmocka_unit_test(test_created_rows_are_inserts),
        cmocka_unit_test(test_updates_beside_a_copy),
        cmocka_unit_test(test_sequence_of_halves),
        cmocka_unit_test(test_impossible_history_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
