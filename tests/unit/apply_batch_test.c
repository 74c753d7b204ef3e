/* A batch: order over partitions, duplicates, halves of key changes, runs of shapes. With a codec whose records are the
 * changes themselves, and a target that writes down what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "apply/batch_internal.h"
#include "control/tally.h"
#include "core/alloc.h"
#include "core/clock.h"

/* --- the codec --- */

struct wire {
    enum change_op op;
    int version; /* of the table's shape: 1 or 2 */
    lsn_t lsn;
    uint64_t order;
    int id;
};

static struct field fields[1] = {{.name = (char[]){"id"}, .phys = PHYS_INT32, .key = true}};
static size_t key_fields[1] = {0};
#define SHAPE                                                                                                \
    {                                                                                                        \
        .schema = (char[]){"public"}, .table = (char[]){"t"}, .fields = fields, .field_count = 1,            \
        .key_fields = key_fields, .key_count = 1                                                             \
    }
static const struct table_schema shapes[2] = {SHAPE, SHAPE};

static bool wire_decode(struct decoder *dec, const char *topic, uint32_t schema_id, const void *value,
                        size_t len, struct arena *arena, struct change *ret, struct err *err)
{
    struct wire w;
    assert_int_equal(len, sizeof w);
    memcpy(&w, value, sizeof w);
    struct datum *row = arena_alloc(arena, sizeof *row);
    assert_non_null(row);
    *row = (struct datum){.state = DATUM_VALUE, .i = w.id};
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

static char told[4000];

PRINTF_LIKE(1, 2) static void tell(const char *fmt, ...)
{
    size_t len = strlen(told);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(told + len, sizeof told - len, fmt, ap);
    va_end(ap);
}

static size_t prepare_calls, prepared;

static bool fake_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                         struct target_table **ret, struct err *err)
{
    static struct target_table tables[2];
    prepare_calls++;
    prepared += count;
    for (size_t i = 0; i < count; i++) {
        ret[i] = &tables[schemas[i] == &shapes[1]];
        ret[i]->schema = schemas[i];
    }
    return true;
}

static bool fake_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches,
                       size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        tell("[%sv%d", batches[i].truncate ? "truncate " : "",
             batches[i].table->schema == &shapes[1] ? 2 : 1);
        for (size_t k = 0; k < batches[i].row_count; k++) {
            const struct target_row *r = &batches[i].rows[k];
            static const char marks[] = {
                [TARGET_INSERT] = '+', [TARGET_UPSERT] = '=', [TARGET_UPDATE] = '~', [TARGET_DELETE] = '-'};
            tell(" %c%d", marks[r->op], (int)(r->row != NULL ? r->row : r->old)[0].i);
        }
        tell("]");
    }
    return true;
}

static const struct target_write_ops fake_writing = {.write = fake_write};
static const struct target_ops fake_ops = {.name = "fake", .prepare = fake_prepare, .writing = &fake_writing};
static struct target fake = {.ops = &fake_ops};

/* --- the tests --- */

struct fixture {
    struct batch *b;
    struct table_map *tables;
    struct err err;
};

static void begin(struct fixture *f, size_t max_bytes)
{
    told[0] = '\0';
    *f = (struct fixture){.b = batch_new(max_bytes), .tables = table_map_new(&fake)};
    batch_clear(f->b);
}

static void end(struct fixture *f)
{
    batch_free(f->b);
    table_map_free(f->tables);
}

static void add(struct fixture *f, int partition, enum change_op op, lsn_t lsn, uint64_t order, int id,
                int version, const char *header, int other, lsn_t drop_below)
{
    struct wire w = {.op = op, .version = version, .lsn = lsn, .order = order, .id = id};
    struct journal_record rec = {.stream = "t",
                                 .partition = partition,
                                 .key = &id,
                                 .key_len = sizeof id,
                                 .value = &w,
                                 .value_len = sizeof w};
    if (op == CHANGE_TRUNCATE)
        rec.key = NULL;
    if (header != NULL)
        rec.headers[rec.header_count++] = (struct journal_header){header, &other, sizeof other};
    assert_true(batch_add(f->b, &codec, NULL, &rec, drop_below, &f->err));
}

static void put(struct fixture *f, int partition, enum change_op op, lsn_t lsn, uint64_t order, int id)
{
    add(f, partition, op, lsn, order, id, 1, NULL, 0, 0);
}

static void expect(struct fixture *f, enum target_mode mode, const char *want)
{
    assert_true(batch_write(f->b, f->tables, &fake, mode, ROWS_NEW_READ, &f->err));
    assert_string_equal(told, want);
    end(f);
}

static void test_partitions_are_merged_by_commit_order(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    put(&f, 0, CHANGE_INSERT, 10, 1, 1);
    put(&f, 0, CHANGE_INSERT, 30, 1, 3);
    put(&f, 1, CHANGE_INSERT, 10, 2, 2);
    put(&f, 1, CHANGE_DELETE, 40, 1, 3);
    put(&f, 2, CHANGE_INSERT, 20, 1, 5);
    expect(&f, TARGET_ORDERED, "[v1 =1 =2 =5 =3 -3]");
}

static void test_duplicates_of_a_partition_are_dropped(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    put(&f, 0, CHANGE_INSERT, 10, 1, 1);
    put(&f, 0, CHANGE_DELETE, 10, 2, 1);
    put(&f, 0, CHANGE_INSERT, 10, 1, 1); /* comes again */
    put(&f, 0, CHANGE_DELETE, 10, 2, 1);
    put(&f, 1, CHANGE_INSERT, 10, 1, 2); /* another partition: no duplicate */
    put(&f, 0, CHANGE_INSERT, 10, 3, 3);
    assert_int_equal(batch_counts(f.b)->duplicates, 2);
    expect(&f, TARGET_ORDERED, "[v1 =1 =2 -1 =3]");
}

static void test_changes_below_the_position_are_dropped(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    add(&f, 0, CHANGE_INSERT, 10, 1, 1, 1, NULL, 0, 20);
    add(&f, 0, CHANGE_READ, 10, 0, 2, 1, NULL, 0, 20); /* rows of a copy are outside of the order */
    add(&f, 0, CHANGE_INSERT, 20, 1, 3, 1, NULL, 0, 20);
    assert_int_equal(batch_counts(f.b)->duplicates, 1);
    expect(&f, TARGET_ORDERED, "[v1 =2 =3]");
}

static void test_halves_of_a_key_change_may_share_an_ordinal(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    add(&f, 0, CHANGE_DELETE, 10, 1, 1, 1, HEADER_NEW_KEY, 2, 0);
    add(&f, 0, CHANGE_INSERT, 10, 1, 2, 1, HEADER_OLD_KEY, 1, 0);
    assert_int_equal(batch_counts(f.b)->changes, 2);
    expect(&f, TARGET_ORDERED, "[v1 ~2]");
}

static void test_rows_of_a_copy_keep_their_place(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    put(&f, 0, CHANGE_UPDATE, 50, 1, 1);
    put(&f, 0, CHANGE_READ, 10, 0, 1); /* a resumed copy: read after that update */
    put(&f, 0, CHANGE_UPDATE, 60, 1, 2);
    expect(&f, TARGET_ORDERED, "[v1 =1 =1 =2]");
}

static void test_full_only_between_key_changes(void **state)
{
    struct fixture f;
    begin(&f, 64 << 10);
    int id = 0;
    while (!batch_is_full(f.b)) {
        put(&f, 0, CHANGE_INSERT, 10, (uint64_t)id + 1, id);
        id++;
    }
    assert_in_range(id, 20, 400);
    add(&f, 0, CHANGE_DELETE, 20, 1, 1, 1, HEADER_NEW_KEY, 9000, 0);
    assert_false(batch_is_full(f.b));
    add(&f, 0, CHANGE_INSERT, 20, 2, 9000, 1, HEADER_OLD_KEY, 1, 0);
    assert_true(batch_is_full(f.b));
    assert_false(batch_is_over(f.b));
    end(&f);
}

static void test_a_batch_that_goes_on_in_a_file(void **state)
{
    struct fixture f;
    char want[400] = "[v1";
    begin(&f, 64 << 10);
    for (int turn = 0; turn < 2; turn++) {
        int changes = 0;
        for (; !batch_is_full(f.b); changes++)
            put(&f, 0, CHANGE_INSERT, 10, (uint64_t)changes + 1, changes % 50);
        assert_true(batch_overflow(f.b, &f.err));
        assert_false(batch_is_full(f.b));
        for (int i = 0; i < 20000; i++, changes++)
            put(&f, i % 2, CHANGE_UPDATE, 20, (uint64_t)changes + 1, i % 50);
        assert_false(batch_is_full(f.b) || batch_is_over(f.b));
        assert_int_equal(batch_counts(f.b)->changes, changes);
        for (int i = 0; turn == 0 && i < 50; i++)
            (void)snprintf(want + strlen(want), sizeof want - strlen(want), " =%d", i);
        if (turn == 0)
            (void)strcat(want, "]");
        told[0] = '\0';
        assert_true(batch_write(f.b, f.tables, &fake, TARGET_SET, ROWS_NEW_NONE, &f.err));
        assert_string_equal(told, want);
        batch_clear(f.b);
    }
    put(&f, 0, CHANGE_INSERT, 10, 1, 1);
    told[0] = '\0';
    expect(&f, TARGET_SET, "[v1 =1]");
}

/* (A limit on file sizes stands for a full disk.) */
static void test_a_full_disk_is_told_as_such(void **state)
{
    struct fixture f;
    struct rlimit was, low;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    begin(&f, 64 << 10);
    assert_true(batch_overflow(f.b, &f.err));
    for (int i = 0; i < 200000; i++)
        put(&f, 0, CHANGE_INSERT, 10, (uint64_t)i + 1, i);
    low = (struct rlimit){.rlim_cur = 1, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    bool ok = batch_write(f.b, f.tables, &fake, TARGET_SET, ROWS_NEW_NONE, &f.err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_false(ok);
    assert_non_null(strstr(f.err.text, "temporary file in "));
    err_clear(&f.err);
    end(&f);
}

static void test_shapes_are_written_one_after_the_other(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    add(&f, 0, CHANGE_INSERT, 10, 1, 1, 1, NULL, 0, 0);
    add(&f, 0, CHANGE_INSERT, 20, 1, 1, 2, NULL, 0, 0);
    expect(&f, TARGET_SET, "[v1 =1][v2 =1]");
}

/* All that a batch brings in one call, each once; what is known is not asked about again. */
static void test_shapes_are_prepared_together(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    prepare_calls = prepared = 0;
    for (int i = 0; i < 4; i++)
        add(&f, 0, CHANGE_INSERT, 10 + (lsn_t)i, 1, i, 1 + i % 2, NULL, 0, 0);
    assert_true(batch_write(f.b, f.tables, &fake, TARGET_ORDERED, ROWS_NEW_READ, &f.err));
    assert_int_equal(prepare_calls, 1);
    assert_int_equal(prepared, 2);
    batch_clear(f.b);
    put(&f, 0, CHANGE_INSERT, 20, 1, 9);
    assert_true(batch_write(f.b, f.tables, &fake, TARGET_SET, ROWS_NEW_READ, &f.err));
    assert_int_equal(prepare_calls, 1);
    end(&f);
}

/* Of 10,000 tables that were seen a batch has one: it is written and counted alone, and costs as if there were no others. */
static void test_small_batches_out_of_many_tables(void **state)
{
    struct fixture f;
    struct tally *tally = tally_new();
    char stream[16];
    int64_t began_us = 0;
    begin(&f, 1 << 20);
    for (int i = 0; i < 12000; i++) {
        struct wire w = {.op = CHANGE_INSERT, .version = 1, .lsn = 10 + (lsn_t)i, .order = 1, .id = i};
        struct journal_record rec = {
            .stream = stream, .key = &w.id, .key_len = sizeof w.id, .value = &w, .value_len = sizeof w};
        if (i == 10000)
            began_us = clock_mono_us();
        (void)snprintf(stream, sizeof stream, "t%d", i % 10000);
        told[0] = '\0';
        batch_clear(f.b);
        assert_true(batch_add(f.b, &codec, NULL, &rec, 0, &f.err));
        assert_true(batch_write(f.b, f.tables, &fake, TARGET_SET, ROWS_NEW_NONE, &f.err));
        char wanted[24];
        (void)snprintf(wanted, sizeof wanted, "[v1 =%d]", i);
        assert_string_equal(told, wanted);
        assert_int_equal(f.b->touched_count, 1); /* what batch_clear() and the tally go through */
        batch_tally(f.b, tally);
    }
    print_message("%.2f us for each batch\n", (double)(clock_mono_us() - began_us) / 2000);
    struct tally_view view;
    tally_look(tally, &view);
    uint64_t rows = 0;
    for (size_t i = 0; i < view.table_count; i++)
        rows += view.tables[i].rows[TALLY_INSERT];
    assert_int_equal(rows, 12000);
    tally_view_release(&view);
    tally_free(tally);
    end(&f);
}

static void test_truncate_drops_what_came_before(void **state)
{
    struct fixture f;
    begin(&f, 1 << 20);
    put(&f, 0, CHANGE_INSERT, 10, 1, 1);
    put(&f, 0, CHANGE_TRUNCATE, 10, 2, 0);
    put(&f, 0, CHANGE_INSERT, 10, 3, 2);
    expect(&f, TARGET_SET, "[truncate v1 =2]");
    begin(&f, 1 << 20);
    put(&f, 0, CHANGE_INSERT, 10, 1, 1);
    put(&f, 0, CHANGE_TRUNCATE, 10, 2, 0);
    put(&f, 0, CHANGE_INSERT, 10, 3, 2);
    expect(&f, TARGET_ORDERED, "[v1 =1][truncate v1 =2]");
}

static void test_key_and_schema_must_agree(void **state)
{
    struct fixture f;
    struct wire w = {.op = CHANGE_INSERT, .version = 1, .lsn = 1, .order = 1, .id = 1};
    struct journal_record rec = {.stream = "t", .value = &w, .value_len = sizeof w, .offset = 77};
    begin(&f, 1 << 20);
    assert_false(batch_add(f.b, &codec, NULL, &rec, 0, &f.err));
    assert_int_equal(f.err.code, ERR_PROTOCOL);
    assert_non_null(strstr(f.err.text, "offset=77"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partitions_are_merged_by_commit_order),
        cmocka_unit_test(test_duplicates_of_a_partition_are_dropped),
        cmocka_unit_test(test_changes_below_the_position_are_dropped),
        cmocka_unit_test(test_halves_of_a_key_change_may_share_an_ordinal),
        cmocka_unit_test(test_rows_of_a_copy_keep_their_place),
        cmocka_unit_test(test_full_only_between_key_changes),
        cmocka_unit_test(test_a_batch_that_goes_on_in_a_file),
        cmocka_unit_test(test_a_full_disk_is_told_as_such),
        cmocka_unit_test(test_shapes_are_written_one_after_the_other),
        cmocka_unit_test(test_small_batches_out_of_many_tables),
        cmocka_unit_test(test_shapes_are_prepared_together),
        cmocka_unit_test(test_truncate_drops_what_came_before),
        cmocka_unit_test(test_key_and_schema_must_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
