/* Where fences are cut in Debezium's topics: halves of key changes, ENDs, what has none, names of topics and tables. */
#include "apply_foreign_fixture.h"

/* Beyond what one fence is to hold, when the other half of a key change stands there. */
static void test_halves_beyond_the_budget(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .lsn = 10, .xid = 5);
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .lsn = 20, .xid = 6);
    feed->parts[0].segments[0].changes = 20000;
    feed->parts[0].segments[0].halves = 1;
    feed->parts[1].segments[0].halves = -1;
    be_idle();
    assert_int_equal(cut(NULL), 20001);
    PUT(.offset = 1, .id = 1, .lsn = 30, .xid = 7);
    feed->parts[0].segments[feed->parts[0].head].halves = 1;
    be_idle();
    assert_int_equal(cut(NULL), -1); /* it may be on its way */
    feed->halves_since_us = 1;
    assert_int_equal(cut(NULL), 1);
    close_feed();
}

/* MariaDB's have no END: what stands before them comes first, however late it is told. */
static void test_truncate_without_end(void **unused)
{
    (void)unused;
    open_feed(true);
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .gtid = "0-1-10", .file = "b.000001", .pos = 50, .order = 1);
    PUT(.offset = 0, .op = 't', .gtid = "0-1-11", .file = "b.000001", .pos = 100, .order = 1);
    be_idle();
    assert_int_equal(cut(NULL), -1);
    meta(0, "END", "0-1-10", "public.b", 1);
    be_idle();
    assert_int_equal(cut(NULL), 1);
    assert_int_equal(feed->parts[1].taken, 1);
    assert_int_equal(cut(NULL), 1);
    assert_int_equal(feed->parts[0].taken, 1);
    /* of two domains: the row is not read yet */
    PUT(.offset = 1, .op = 't', .gtid = "0-1-12", .file = "b.000001", .pos = 300, .order = 1);
    meta(1, "END", "1-1-5", "public.b", 1);
    be_idle();
    assert_int_equal(cut(NULL), -1);
    PUT(.topic = TOPIC_B, .offset = 1, .id = 2, .gtid = "1-1-5", .file = "b.000001", .pos = 200, .order = 1);
    be_idle();
    assert_int_equal(cut(NULL), 1);
    assert_int_equal(feed->parts[1].taken, 2);
    PUT(.topic = TOPIC_B, .offset = 2, .id = 3, .gtid = "1-1-6", .file = "b.000001", .pos = 400, .order = 1);
    meta(2, "END", "1-1-6", "public.b", 1);
    be_idle();
    assert_int_equal(cut(NULL), 1);
    assert_int_equal(feed->parts[0].taken, 2);
    assert_int_equal(cut(NULL), 1);
    close_feed();
}

static void test_renamed_topics(void **unused)
{
    (void)unused;
    static const char *const collections[] = {"public.orders", NULL};
    open_feed(true);
    REFUSED("source.debezium.collections", .offset = 0, .table = "orders", .id = 1, .lsn = 10, .xid = 5,
            .order = 1);
    close_feed();
    open_feed(true);
    settings.collections = collections;
    PUT(.offset = 0, .table = "orders", .id = 1, .lsn = 10, .xid = 5, .order = 1);
    meta(0, "END", "5:50", "public.orders", 1);
    meta(1, "END", "6:60", "public.other", 1);
    PUT(.offset = 1, .table = "orders", .id = 2, .lsn = 70, .xid = 7, .order = 1, .previous = 60);
    meta(2, "END", "7:80", "public.orders", 1);
    assert_int_equal(cut_all(), 2);
    REFUSED("which source.debezium.collections does not name", .offset = 2, .table = "x", .id = 1, .lsn = 90,
            .xid = 9, .order = 1);
    close_feed();
}

/* In one topic: what is kept of it does not grow with it, or its partition would be paused before it is whole. */
static void test_tables_that_take_turns(void **unused)
{
    (void)unused;
    static const char *const collections[] = {"public.x", "public.y", NULL};
    open_feed(true);
    settings.collections = collections;
    for (int i = 0; i < 6; i++)
        PUT(.offset = (uint64_t)i, .table = i % 2 == 0 ? "x" : "y", .id = i, .lsn = 10 * (i + 1), .xid = 5,
            .order = i + 1);
    PUT(.offset = 6, .table = "x", .id = 6, .lsn = 80, .xid = 6, .order = 1, .previous = 70);
    assert_int_equal(feed->parts[0].count, 3);
    meta(0, "END", "5:70", "public.x", 3);
    be_idle();
    assert_int_equal(cut(NULL), 6);
    assert_int_equal(feed->parts[0].taken, 6);
    assert_int_equal(feed->parts[0].at_taken.minor, 60);
    assert_int_equal(cut(NULL), -1);
    close_feed();
}

static void test_waiting_is_told(void **unused)
{
    (void)unused;
    open_feed(true);
    PUT(.offset = 0, .id = 1, .lsn = 10, .xid = 5, .order = 1);
    be_idle();
    assert_int_equal(cut(NULL), -1);
    feed->waiting_since_us = 1; /* for long */
    feed->told_us = -1000000000;
    assert_int_equal(cut(NULL), -1);
    assert_non_null(
        strstr(foreign_feed_notice(feed), "topic=" TOPIC_A " partition=0 offset=0: " ENDS " has no END"));
    PUT(.offset = 1, .id = 2, .lsn = 60, .xid = 6, .order = 1, .previous = 50);
    meta(0, "END", "6:70", "public.a", 1); /* that of 5 is lost */
    be_idle();
    feed->waiting_since_us = 1;
    assert_int_equal(cut(NULL), -2);
    assert_non_null(strstr(err.text, "is of a transaction whose END is not in " ENDS));
    close_feed();
}

static void mysql(uint64_t offset, const char *gtid, int64_t pos)
{
    PUT(.offset = offset, .id = (int)offset, .gtid = gtid, .file = "b.000001", .pos = pos, .order = 1);
    meta(2 * offset, "BEGIN", gtid, NULL, 0);
    meta(2 * offset + 1, "END", gtid, "public.a", 1);
}

static void test_gtids_of_mysql(void **unused)
{
    (void)unused;
    static const char uuid[] = "3e11fa47-71ca-11e1-9e33-c80aa9429562:";
    char *one CLEANUP(free_ptr) = xasprintf("%s5", uuid),
              *two CLEANUP(free_ptr) = xasprintf("%s1000007", uuid),
              *three CLEANUP(free_ptr) = xasprintf("%s6", uuid),
              *tagged CLEANUP(free_ptr) = xasprintf("%sbatch:6", uuid);
    open_feed(true);
    mysql(0, one, 100);
    mysql(1, two, 200);
    mysql(2, three, 300); /* numbers of a group's members: they do not rise */
    mysql(3, tagged, 400);
    mysql(4, "0-1-7", 500);
    be_idle();
    for (int i = 0; i < 5; i++)
        assert_int_equal(cut(NULL), 1);    /* each is a transaction of its own */
    meta(20, "END", three, "public.a", 1); /* again */
    assert_int_equal(feed->end_count, 0);
    close_feed();
}

static struct part *part_of(const char *topic)
{
    return foreign_part_find(feed, topic, 0);
}

/* Tombstones and offsets of no record: the target's place goes on, though nothing is brought. */
static void test_the_place_goes_on(void **unused)
{
    (void)unused;
    struct fence fence;
    open_feed(true);
    meta(0, "BEGIN", "5:10", NULL, 0);
    PUT(.offset = 0, .op = 'd', .id = 1, .lsn = 10, .xid = 5, .order = 1);
    meta(1, "END", "5:50", "public.a", 1);
    assert_int_equal(cut(NULL), 1);
    assert_true(foreign_scan(feed, &(struct journal_record){.stream = TOPIC_A, .offset = 1}, &err));
    meta(2, "BEGIN", "6:60", NULL, 0);
    assert_int_equal(cut(NULL), -1); /* more may come, and take it along */
    be_idle();
    assert_int_equal(cut(&fence), 0);
    assert_int_equal(fence.range_count, 0);
    fence_release(&fence);
    assert_int_equal(part_of(TOPIC_A)->taken, 2);
    assert_int_equal(part_of(ENDS)->taken, 2); /* not behind a BEGIN without END */
    assert_int_equal(cut(NULL), -1);
    meta(3, "END", "6:70", "other.table", 3);
    assert_int_equal(cut(NULL), 0);
    assert_int_equal(part_of(ENDS)->taken, 4);
    assert_int_equal(cut(NULL), -1);
    /* with what comes in another topic, and not before a change that waits */
    assert_true(foreign_scan(feed, &(struct journal_record){.stream = TOPIC_A, .offset = 2}, &err));
    meta(4, "BEGIN", "7:80", NULL, 0);
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .lsn = 80, .xid = 7, .order = 1);
    be_idle();
    assert_int_equal(cut(NULL), 0);
    assert_int_equal(part_of(TOPIC_A)->taken, 3);
    assert_int_equal(part_of(TOPIC_B)->taken, 0);
    assert_true(foreign_scan(feed, &(struct journal_record){.stream = TOPIC_A, .offset = 3}, &err));
    meta(5, "END", "7:90", "public.b", 1);
    assert_int_equal(cut(&fence), 1);
    assert_int_equal(fence.range_count, 1);
    fence_release(&fence);
    assert_int_equal(part_of(TOPIC_A)->taken, 4);
    assert_int_equal(part_of(TOPIC_B)->taken, 1);
    assert_int_equal(part_of(ENDS)->taken, 6);
    close_feed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves_beyond_the_budget), cmocka_unit_test(test_truncate_without_end),
        cmocka_unit_test(test_renamed_topics),           cmocka_unit_test(test_tables_that_take_turns),
        cmocka_unit_test(test_waiting_is_told),          cmocka_unit_test(test_the_place_goes_on),
        cmocka_unit_test(test_gtids_of_mysql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
