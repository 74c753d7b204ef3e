/* A batch of Debezium's records: the order within a partition is that of arrival, whatever their places in the log say. */
#include "apply_foreign_fixture.h"

#include "apply/collapse.h"

/* --- a target that writes down what it is told --- */

static char told[1000];

static bool fake_prepare(struct target *tgt, const struct table_schema *const *schemas, size_t count,
                         struct target_table **ret, struct err *why)
{
    (void)tgt, (void)why;
    static struct target_table table;
    for (size_t i = 0; i < count; i++)
        ret[i] = &table;
    table.schema = schemas[0];
    return true;
}

static bool fake_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches,
                       size_t count, struct err *why)
{
    static const char marks[] = {
        [TARGET_INSERT] = '+', [TARGET_UPSERT] = '=', [TARGET_UPDATE] = '~', [TARGET_DELETE] = '-'};
    (void)tgt, (void)mode, (void)why;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < batches[i].row_count; k++) {
            const struct target_row *r = &batches[i].rows[k];
            size_t len = strlen(told);
            (void)snprintf(told + len, sizeof told - len, "%s%c%d", len > 0 ? " " : "", marks[r->op],
                           (int)(r->row != NULL ? r->row : r->old)[0].i);
        }
    }
    return true;
}

static const struct target_write_ops fake_writing = {.write = fake_write};
static const struct target_ops fake_ops = {.name = "fake", .prepare = fake_prepare, .writing = &fake_writing};
static struct target fake = {.ops = &fake_ops};

static int begin(void **unused)
{
    (void)unused;
    told[0] = '\0';
    dec = foreign_decoder_open(&(struct foreign_options){.avro = false});
    into = batch_new(1 << 20);
    batch_decode_foreign(into, dec);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    batch_free(into);
    into = NULL;
    foreign_decoder_close(dec);
    return 0;
}

static const char *written(void)
{
    struct table_map *tables = table_map_new(&fake);
    if (!batch_write(into, tables, &fake, TARGET_SET, ROWS_NEW_NONE, &err))
        fail_msg("%s", err.text);
    table_map_free(tables);
    return told;
}

/* PostgreSQL's first transaction does not tell the commit before it: its places are not before those of the snapshot's rows. */
static void test_first_transaction(void **unused)
{
    (void)unused;
    PUT(SNAP, .id = 1, .offset = 0, .snapshot = "last");
    PUT(.op = 'c', .id = 2, .offset = 1, .lsn = 110, .xid = 8);
    PUT(.op = 'd', .id = 2, .offset = 2, .lsn = 120, .xid = 8);
    PUT(.op = 'c', .id = 3, .offset = 3, .lsn = 90, .xid = 8);
    PUT(.op = 'd', .id = 3, .offset = 4, .lsn = 95, .xid = 8);
    assert_string_equal(written(), "=1 -2 -3");
}

/* MariaDB's GTIDs go on across servers, places in files do not. */
static void test_places_of_another_server(void **unused)
{
    (void)unused;
    PUT(.op = 'c', .id = 1, .offset = 0, .gtid = "0-1-10", .file = "b.000009", .pos = 500);
    PUT(.op = 'c', .id = 2, .offset = 1, .gtid = "0-2-11", .file = "b.000001", .pos = 400);
    PUT(.op = 'd', .id = 2, .offset = 2, .gtid = "0-2-12", .file = "b.000001", .pos = 500);
    PUT(.op = 'd', .id = 1, .offset = 3, .gtid = "0-2-13", .file = "b.000001", .pos = 600);
    PUT(.op = 'c', .id = 1, .offset = 4, .gtid = "0-2-14", .file = "b.000001", .pos = 700);
    assert_string_equal(written(), "=1 -2");
}

/* Letters come in the order that holds, whatever their partitions. */
static void test_replay(void **unused)
{
    (void)unused;
    batch_take_repeats(into, true);
    PUT(.op = 'c', .id = 1, .offset = 7, .lsn = 200, .xid = 9, .previous = 150);
    PUT(SNAP, .id = 2, .offset = 1, .partition = 1, .snapshot = "incremental");
    PUT(.op = 'd', .id = 1, .offset = 8, .lsn = 210, .xid = 9, .previous = 150);
    PUT(.op = 'd', .id = 2, .offset = 2, .partition = 1, .lsn = 120, .xid = 8, .previous = 110);
    assert_string_equal(written(), "-1 -2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_transaction, begin, end),
        cmocka_unit_test_setup_teardown(test_places_of_another_server, begin, end),
        cmocka_unit_test_setup_teardown(test_replay, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
