/*
 * Narrowing a batch down to the rows that the target refuses, and the keys that are parked then: over a target in memory with
 * one table (id, v, u): u is unique (0 = null, checked row by row), and a negative v is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/batch.h"
#include "core/alloc.h"

#define IDS_MAX     4096
#define LETTERS_MAX 3000
#define REFUSED     (-1) /* as v: "22001" */
#define LOCKED      (-2) /* "55P03": nobody's fault */

/* --- the codec: records are the changes themselves --- */

struct wire {
    enum change_op op;
    int version; /* of the table's shape: 1 or 2; in 2 the key is an int8 */
    lsn_t lsn;
    uint64_t order;
    int id, v, u;
};

static struct field int4_fields[3] = {
    {.name = (char[]){"id"}, .phys = PHYS_INT32, .key = true, .source_type = (char[]){"INT4"}},
    {.name = (char[]){"v"}, .phys = PHYS_INT32},
    {.name = (char[]){"u"}, .phys = PHYS_INT32}};
static struct field int8_fields[3] = {
    {.name = (char[]){"id"}, .phys = PHYS_INT64, .key = true, .source_type = (char[]){"INT8"}},
    {.name = (char[]){"v"}, .phys = PHYS_INT32},
    {.name = (char[]){"u"}, .phys = PHYS_INT32}};
static size_t key_fields[1] = {0};
#define SHAPE(its_fields)                                                                                    \
    {                                                                                                        \
        .schema = (char[]){"public"}, .table = (char[]){"t"}, .fields = (its_fields), .field_count = 3,      \
        .key_fields = key_fields, .key_count = 1                                                             \
    }
static const struct table_schema shapes[2] = {SHAPE(int4_fields), SHAPE(int8_fields)};

static bool wire_decode(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                        size_t len, struct arena *arena, struct change *ret, struct err *err)
{
    struct wire w;
    assert_int_equal(len, sizeof w);
    memcpy(&w, value, sizeof w);
    struct datum *row = arena_alloc(arena, 3 * sizeof *row);
    assert_non_null(row);
    row[0] = (struct datum){.state = DATUM_VALUE, .i = w.id};
    row[1] = (struct datum){.state = DATUM_VALUE, .i = w.v};
    row[2] = (struct datum){.state = DATUM_VALUE, .i = w.u};
    *ret = (struct change){.op = w.op,
                           .schema = &shapes[w.version - 1],
                           .before = w.op == CHANGE_DELETE ? row : NULL,
                           .after = w.op == CHANGE_DELETE ? NULL : row,
                           .source = {.commit_lsn = w.lsn},
                           .total_order = w.order};
    return true;
}

static const struct codec_ops codec = {.name = "wire", .decode_value = wire_decode};

/* --- the target --- */

struct row {
    bool there;
    int v, u;
};

struct letter {
    int64_t id, chain;
    int row_id;
    char op;
    bool behind, held;
    char key[8], other_key[8], shape[40];
    size_t key_len, other_len;
};

static struct world {
    struct row rows[IDS_MAX];
    struct letter letters[LETTERS_MAX];
    size_t letter_count;
} now, saved, begun;
static size_t writes;

static bool fake_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                         struct target_table **ret, struct err *err)
{
    static struct target_table tables[2];
    for (size_t i = 0; i < count; i++) {
        ret[i] = &tables[schemas[i] == &shapes[1]];
        ret[i]->schema = schemas[i];
    }
    return true;
}

static bool refuse(struct err *err, enum err_code code, const char *sqlstate, int id)
{
    err_set(err, code, "id=%d is refused", id);
    memcpy(err->sqlstate, sqlstate, 6);
    return false;
}

static bool put_row(const struct datum *row, struct err *err)
{
    int id = (int)row[0].i, v = (int)row[1].i, u = (int)row[2].i;
    if (v == LOCKED)
        return refuse(err, ERR_TRANSIENT, "55P03", id);
    if (v < 0)
        return refuse(err, ERR_DATA, "22001", id);
    for (int i = 0; u != 0 && i < IDS_MAX; i++) {
        if (i != id && now.rows[i].there && now.rows[i].u == u)
            return refuse(err, ERR_DATA, "23505", id);
    }
    now.rows[id] = (struct row){.there = true, .v = v, .u = u};
    return true;
}

static void take_row(const struct target_row *r)
{
    const struct datum *key = r->op == TARGET_DELETE || r->old != NULL ? r->old : r->row;
    now.rows[key[0].i].there = false;
}

static bool is_pass(const struct target_row *r, enum target_mode mode, int pass)
{
    return mode == TARGET_ORDERED ? pass == 0 : pass == (r->op == TARGET_DELETE ? 0 : 1);
}

/* A move takes its old row away first, as one UPDATE does. */
static bool fake_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches,
                       size_t count, struct err *err)
{
    writes++;
    for (size_t i = 0; i < count; i++) {
        const struct target_batch *b = &batches[i];
        for (int id = 0; b->truncate && id < IDS_MAX; id++)
            now.rows[id].there = false;
        for (size_t k = 0; mode == TARGET_REPLACE && k < b->row_count; k++)
            take_row(&b->rows[k]);
        for (int pass = 0; pass < 2; pass++) {
            for (size_t k = 0; k < b->row_count; k++) {
                const struct target_row *r = &b->rows[k];
                if (!is_pass(r, mode, pass))
                    continue;
                if (r->op == TARGET_DELETE || r->op == TARGET_UPDATE)
                    take_row(r);
                if (r->op != TARGET_DELETE && !put_row(r->row, err))
                    return false;
            }
        }
    }
    return true;
}

static bool fake_begin(struct target *tgt, uint64_t attempt, struct err *err)
{
    now = begun;
    return true;
}

static bool fake_save(struct target *tgt, struct err *err)
{
    saved = now;
    return true;
}

static bool fake_restore(struct target *tgt, struct err *err)
{
    now = saved;
    return true;
}

static bool fake_settle(struct target *tgt, bool constraints, struct err *err)
{
    return true;
}

static bool letter_put(struct target *tgt, const struct dead_letter *l, int64_t *ret_id, struct err *err)
{
    assert_true(now.letter_count < LETTERS_MAX);
    struct letter *mine = &now.letters[now.letter_count++];
    *mine = (struct letter){.id = (int64_t)now.letter_count, .op = l->op, .behind = l->behind, .held = true};
    mine->chain = l->chain != 0 ? l->chain : mine->id;
    mine->key_len = l->key_len;
    mine->other_len = l->other_key_len;
    memcpy(mine->key, l->key, l->key_len);
    memcpy(&mine->row_id, l->key, sizeof mine->row_id);
    if (l->other_key != NULL)
        memcpy(mine->other_key, l->other_key, l->other_key_len);
    (void)snprintf(mine->shape, sizeof mine->shape, "%s", l->key_shape);
    *ret_id = mine->id;
    return true;
}

static bool letter_tie(struct target *tgt, int64_t from, int64_t into, struct err *err)
{
    for (size_t i = 0; i < now.letter_count; i++) {
        if (now.letters[i].held && now.letters[i].chain == from)
            now.letters[i].chain = into;
    }
    return true;
}

static bool letter_supersede(struct target *tgt, const char *schema_name, const char *table_name,
                             const char *reason, struct err *err)
{
    for (size_t i = 0; i < now.letter_count; i++)
        now.letters[i].held = false;
    return true;
}

static bool letter_each(struct target *tgt, enum letters_list what, int64_t chain,
                        bool (*each)(void *ctx, const struct dead_letter *letter, struct err *err), void *ctx,
                        struct err *err)
{
    for (size_t i = 0; i < now.letter_count; i++) {
        const struct letter *mine = &now.letters[i];
        struct dead_letter l = {.id = mine->id,
                                .chain = mine->chain,
                                .schema_name = "public",
                                .table_name = "t",
                                .op = mine->op,
                                .key = mine->key,
                                .key_len = mine->key_len,
                                .other_key = mine->other_len > 0 ? mine->other_key : NULL,
                                .other_key_len = mine->other_len,
                                .key_shape = mine->shape};
        if (mine->held && !each(ctx, &l, err))
            return false;
    }
    return true;
}

static const struct target_letters_ops letters_ops = {
    .put = letter_put, .tie = letter_tie, .supersede = letter_supersede, .each = letter_each};
static const struct target_write_ops writing = {.begin = fake_begin, .write = fake_write};
static const struct target_narrow_ops narrow = {
    .save = fake_save, .restore = fake_restore, .settle = fake_settle};
static const struct target_ops fake_ops = {
    .name = "fake", .prepare = fake_prepare, .writing = &writing, .narrow = &narrow, .letters = &letters_ops};
static struct target fake = {.ops = &fake_ops};

/* --- the tests --- */

struct fixture {
    struct batch *b;
    struct table_map *tables;
    struct letters *letters;
    uint64_t attempts;
    uint64_t order;
    lsn_t lsn;
    int version;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    memset(&begun, 0, sizeof begun);
    now = begun;
    writes = 0;
    f->b = batch_new((size_t)64 << 20);
    f->tables = table_map_new(&fake);
    f->letters = letters_new(&fake, LETTERS_MAX);
    f->version = 1;
    f->lsn = 100;
    batch_clear(f->b);
    batch_keep_records(f->b, true);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    letters_free(f->letters);
    batch_free(f->b);
    table_map_free(f->tables);
    free(f);
    return 0;
}

/* The next change of the transaction at hand. header: of a key change, with the other key. */
static void add(struct fixture *f, enum change_op op, int id, int v, int u, const char *header, int other)
{
    struct wire w = {
        .op = op, .version = f->version, .lsn = f->lsn, .order = ++f->order, .id = id, .v = v, .u = u};
    int64_t key = id, other_key = other;
    size_t key_len = f->version == 1 ? 4 : 8;
    struct journal_record rec = {
        .stream = "t", .key = &key, .key_len = key_len, .value = &w, .value_len = sizeof w};
    if (op == CHANGE_TRUNCATE)
        rec.key = NULL;
    if (header != NULL)
        rec.headers[rec.header_count++] = (struct journal_header){header, &other_key, key_len};
    assert_true(batch_add(f->b, &codec, NULL, &rec, 0, &f->err));
}

static void commit(struct fixture *f)
{
    f->lsn += 10;
    f->order = 0;
}

static void insert(struct fixture *f, int id, int v)
{
    add(f, CHANGE_INSERT, id, v, 0, NULL, 0);
}

static void move(struct fixture *f, int from, int to, int v, int u)
{
    add(f, CHANGE_DELETE, from, 0, 0, HEADER_NEW_KEY, to);
    add(f, CHANGE_INSERT, to, v, u, HEADER_OLD_KEY, from);
}

/* As apply does it (step.c). */
static bool isolate(struct fixture *f, bool halts)
{
    return fake_begin(&fake, 0, &f->err) && letters_begin(f->letters, 1, &f->err) &&
           batch_divert(f->b, f->letters, &f->err) &&
           batch_write_isolating(f->b, f->tables, &fake, f->letters, halts, &f->attempts, &f->err);
}

static void isolated(struct fixture *f)
{
    if (!isolate(f, false))
        fail_msg("%s", f->err.text);
    letters_committed(f->letters);
    begun = now;
    batch_clear(f->b);
}

/* "c3 u3" of what is held: op and key; behind another one: in brackets. */
static void expect_held(const char *want)
{
    char got[1000] = "";
    for (size_t i = 0; i < now.letter_count; i++) {
        const struct letter *l = &now.letters[i];
        size_t len = strlen(got);
        if (l->held)
            (void)snprintf(got + len, sizeof got - len, l->behind ? "%s(%c%d)" : "%s%c%d", len > 0 ? " " : "",
                           l->op, l->row_id);
    }
    assert_string_equal(got, want);
}

static void test_one_row_of_many_takes_two_tries_a_halving(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2048; i++) {
        insert(f, i, i == 700 ? REFUSED : 1);
        commit(f);
    }
    isolated(f);
    expect_held("c700");
    for (int i = 0; i < 2048; i++)
        assert_int_equal(now.rows[i].there, i != 700);
    assert_in_range(f->attempts, 11, 2 * 11 + 2);
    assert_in_range(writes, 11, 2 * 11 + 2);
}

static void test_what_follows_a_held_row_waits_behind_it(void **state)
{
    struct fixture *f = *state;
    insert(f, 1, 1);
    insert(f, 2, REFUSED);
    commit(f);
    add(f, CHANGE_UPDATE, 2, 5, 0, NULL, 0);
    add(f, CHANGE_UPDATE, 1, 6, 0, NULL, 0);
    commit(f);
    add(f, CHANGE_DELETE, 2, 0, 0, NULL, 0);
    isolated(f);
    expect_held("c2 (u2) (d2)");
    assert_int_equal(now.rows[1].v, 6);
    assert_false(now.rows[2].there);
    insert(f, 2, 1); /* another batch */
    insert(f, 3, 1);
    isolated(f);
    expect_held("c2 (u2) (d2) (c2)");
    for (size_t i = 0; i < now.letter_count; i++)
        assert_int_equal(now.letters[i].chain, 1);
    assert_true(now.rows[3].there);
}

static void test_halting_names_the_row_and_holds_nothing(void **state)
{
    struct fixture *f = *state;
    insert(f, 1, 1);
    commit(f);
    insert(f, 7, REFUSED);
    assert_false(isolate(f, true));
    assert_non_null(strstr(f->err.text, "id=7"));
    assert_int_equal(now.letter_count, 0);
}

static void test_what_is_no_rows_fault_ends_it(void **state)
{
    struct fixture *f = *state;
    for (int i = 1; i <= 8; i++) {
        insert(f, i, i == 5 ? LOCKED : 1);
        commit(f);
    }
    assert_false(isolate(f, false));
    assert_string_equal(f->err.sqlstate, "55P03");
    assert_int_equal(now.letter_count, 0);
}

static void test_values_change_places_beside_a_bad_row(void **state)
{
    struct fixture *f = *state;
    begun.rows[1] = (struct row){.there = true, .v = 1, .u = 1};
    begun.rows[2] = (struct row){.there = true, .v = 1, .u = 2};
    add(f, CHANGE_UPDATE, 1, 1, 2, NULL, 0);
    add(f, CHANGE_UPDATE, 2, 1, 1, NULL, 0);
    insert(f, 3, REFUSED);
    isolated(f);
    expect_held("c3");
    assert_int_equal(now.rows[1].u, 2);
    assert_int_equal(now.rows[2].u, 1);
}

static void test_a_key_change_is_held_as_a_whole_and_parks_both_keys(void **state)
{
    struct fixture *f = *state;
    begun.rows[1].there = begun.rows[2].there = true;
    move(f, 1, 9, REFUSED, 0);
    commit(f);
    move(f, 2, 1, 4, 0);
    commit(f);
    insert(f, 2, 8);
    insert(f, 3, 8);
    isolated(f);
    expect_held("d1 c9 (d2) (c1) (c2)");
    for (size_t i = 0; i < now.letter_count; i++)
        assert_int_equal(now.letters[i].chain, now.letters[0].chain);
    assert_true(now.rows[1].there && now.rows[2].there && now.rows[3].there && !now.rows[9].there);
}

/* More rows in each other's way than are set aside; the last place would be for one half of a key change. */
static void test_a_key_change_is_not_parted_where_no_more_is_set_aside(void **state)
{
    struct fixture *f = *state;
    enum { ASIDE_MAX = 1000, TAKEN = 2000, OLD = 3000, NEW = 3001 };
    for (int i = 0; i < ASIDE_MAX; i++)
        begun.rows[TAKEN + i] = (struct row){.there = true, .v = 1, .u = TAKEN + i};
    begun.rows[OLD] = (struct row){.there = true, .v = 77};
    for (int i = 0; i < ASIDE_MAX - 1; i++)
        add(f, CHANGE_INSERT, i, 1, TAKEN + i, NULL, 0);
    move(f, OLD, NEW, 1, TAKEN);
    add(f, CHANGE_UPDATE, NEW, 5, 0, NULL, 0);
    isolated(f);
    assert_true(now.rows[OLD].there && now.rows[OLD].v == 77); /* as long as its new row is held */
    assert_false(now.rows[NEW].there);
    size_t of_move = 0;
    for (size_t i = 0; i < now.letter_count; i++)
        of_move += now.letters[i].row_id == OLD || now.letters[i].row_id == NEW;
    assert_int_equal(of_move, 3);
    assert_int_equal(now.letter_count, ASIDE_MAX - 1 + 3);
}

static void test_truncate_makes_letters_void(void **state)
{
    struct fixture *f = *state;
    insert(f, 1, REFUSED);
    isolated(f);
    commit(f);
    insert(f, 2, REFUSED);
    add(f, CHANGE_TRUNCATE, 0, 0, 0, NULL, 0);
    insert(f, 1, 4);
    isolated(f);
    expect_held("");
    assert_int_equal(now.rows[1].v, 4);
}

/* ALTER TABLE … ALTER id TYPE bigint: the same key has other bytes. */
static void test_another_type_of_the_key_parks_the_table(void **state)
{
    struct fixture *f = *state;
    insert(f, 1, REFUSED);
    insert(f, 2, REFUSED);
    insert(f, 3, 1);
    isolated(f);
    expect_held("c1 c2");
    assert_int_not_equal(now.letters[0].chain, now.letters[1].chain);
    f->version = 2;
    for (int i = 0; i < 2; i++) {
        commit(f);
        add(f, CHANGE_UPDATE, 1, 5, 0, NULL, 0);
        add(f, CHANGE_UPDATE, 3, 5, 0, NULL, 0);
        isolated(f);
        letters_stale(f->letters); /* the second time all is read from the target */
    }
    expect_held("c1 c2 (u1) (u3) (u1) (u3)");
    assert_int_equal(now.rows[3].v, 1);
    for (size_t i = 0; i < now.letter_count; i++)
        assert_int_equal(now.letters[i].chain, now.letters[0].chain);
}

static void test_as_many_as_allowed(void **state)
{
    struct fixture *f = *state;
    letters_free(f->letters);
    f->letters = letters_new(&fake, 1);
    insert(f, 1, REFUSED);
    isolated(f);
    commit(f);
    insert(f, 2, REFUSED);
    assert_false(isolate(f, false));
    assert_non_null(strstr(f->err.text, "max_dead_letters"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_row_of_many_takes_two_tries_a_halving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_follows_a_held_row_waits_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_halting_names_the_row_and_holds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_rows_fault_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_change_places_beside_a_bad_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_change_is_held_as_a_whole_and_parks_both_keys, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_change_is_not_parted_where_no_more_is_set_aside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_truncate_makes_letters_void, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_type_of_the_key_parks_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_as_many_as_allowed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
