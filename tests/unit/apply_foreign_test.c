/*
 * Streams of records as Debezium's connectors write them when they are killed, moved to another server or set up in
 * unusual ways: what the feed hands out, passes over and refuses. Records are made here, in the form of JsonConverter.
 */
#include "apply_foreign_fixture.h"
#include "config/config.h"

/* --- 1: snapshots --- */

static void test_snapshot_that_begins_anew(void **unused)
{
    (void)unused;
    struct fence fence;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .snapshot = "first", SNAP);
    PUT(.offset = 1, .id = 2, .snapshot = "true", SNAP);
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .snapshot = "first_in_data_collection", SNAP);
    assert_int_equal(cut_all(), 3);
    PUT(.offset = 2, .id = 3, .snapshot = "true", SNAP); /* read, not handed out */
    PUT(.offset = 3, .id = 1, .snapshot = "first", SNAP2);
    be_idle();
    assert_int_equal(cut(&fence), 0);
    assert_int_equal(fence.kind, FENCE_SNAPSHOT_BEGIN); /* the target is emptied */
    assert_int_equal(fence.attempt, 2);
    fence_release(&fence);
    PUT(.topic = TOPIC_B, .offset = 1, .id = 2, .snapshot = "true",
        SNAP); /* of the attempt that was given up */
    PUT(.topic = TOPIC_B, .offset = 2, .id = 9, .snapshot = "last", SNAP2);
    assert_true(foreign_feed_skips(feed, &(struct journal_record){.stream = TOPIC_B, .offset = 1}));
    assert_int_equal(cut_all(), 2);
    assert_true(feed->complete);
    reopen(); /* the attempt is known to the target */
    assert_int_equal(foreign_snapshot(feed, UINT64_MAX - 1)->attempt, 2);
    PUT(.offset = 4, .id = 4, .snapshot = "true", SNAP2);
    assert_int_equal(cut_all(), 1);
    close_feed();
}

/* Killed between the last fence of the first attempt and the emptying: that comes all the same. */
static void test_attempt_is_kept_with_its_fence(void **unused)
{
    (void)unused;
    struct fence before;
    const char *state;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .snapshot = "first", SNAP);
    be_idle();
    assert_int_equal(cut(&before), 1);
    PUT(.offset = 1, .id = 1, .snapshot = "first", SNAP2);
    assert_true(foreign_feed_state(feed, before.id, &state, &err));
    assert_non_null(strstr(state, "\"snapshot\":[100,7,100000000,1]"));
    fence_release(&before);
    close_feed();
}

/* What fences further on have made of the feed is not the target's yet. */
static void test_state_of_a_fence_before(void **unused)
{
    (void)unused;
    struct fence before, last;
    const char *state;
    bool ready = false;
    open_feed(false);
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .snapshot = "first", SNAP);
    be_idle();
    assert_true(foreign_cut(feed, &before, &ready, &err) && ready);
    PUT(.offset = 0, .id = 1, .snapshot = "last", SNAP);
    be_idle();
    assert_true(foreign_cut(feed, &last, &ready, &err) && ready && last.complete);
    foreign_late_add(feed, 77, last.id);
    assert_true(foreign_feed_state(feed, before.id, &state, &err));
    assert_non_null(strstr(state, "\"complete\":false,\"streamed\":false"));
    assert_non_null(strstr(state, "\"late\":[]"));
    assert_true(foreign_feed_state(feed, last.id, &state, &err));
    assert_non_null(strstr(state, "\"complete\":true,\"streamed\":true"));
    assert_non_null(strstr(state, "\"late\":[77]"));
    fence_release(&before);
    fence_release(&last);
    close_feed();
}

/* Which topic was found first does not show: shards are held against each other. */
static void test_state_is_in_order(void **unused)
{
    (void)unused;
    const char *state;
    open_feed(false);
    foreign_part_add(feed, "pg.public.0", 0, 0);
    foreign_part_add(feed, TOPIC_A, 10, 0);
    foreign_part_add(feed, TOPIC_A, 9, 0);
    assert_true(foreign_feed_state(feed, 1, &state, &err));
    static const char *const order[] = {"[\"pg.public.0\",0,", "[\"" TOPIC_A "\",0,", "[\"" TOPIC_A "\",9,",
                                        "[\"" TOPIC_A "\",10,", "[\"" TOPIC_B "\",0,"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        state = strstr(state, order[i]);
        assert_non_null(state);
    }
    close_feed();
}

static void test_snapshot_after_stream_halts(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .snapshot = "last", SNAP);
    PUT(.offset = 1, .id = 2, .lsn = 120, .xid = 8, .ts_ms = 110000);
    REFUSED("new snapshot into topics that it had streamed", .offset = 2, .id = 1, .snapshot = "first",
            SNAP2);
    assert_non_null(strstr(err.text, "topic=" TOPIC_A " partition=0 offset=2"));
    close_feed();
    open_feed(false); /* the stream of the first attempt is found later, in another topic */
    PUT(.offset = 0, .id = 1, .snapshot = "first", SNAP);
    PUT(.offset = 1, .id = 1, .snapshot = "first", SNAP2);
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .snapshot = "true", SNAP);
    REFUSED("new snapshot into topics that it had streamed", .topic = TOPIC_B, .offset = 1, .id = 2,
            .lsn = 120, .xid = 8, .ts_ms = 110000);
    close_feed();
}

/* A finished snapshot holds, though nothing was streamed behind it: the next one may be of one table alone. */
static void test_snapshot_after_a_whole_one_halts(void **unused)
{
    (void)unused;
    static const char again[] = "new snapshot into topics that it had streamed";
    for (int when = 0; when < 3; when++) {
        open_feed(false);
        PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .snapshot = "first", SNAP);
        PUT(.offset = 0, .id = 1, .snapshot = "last", SNAP); /* 0: read alone */
        if (when > 0)
            assert_int_equal(cut_all(), 2); /* 1: handed out */
        if (when > 1)
            reopen();
        REFUSED(again, .offset = 1, .id = 1, .snapshot = "first", SNAP2);
        close_feed();
    }
    open_feed(false); /* handed out, with more to be read */
    PUT(.offset = 0, .id = 1, .snapshot = "last", SNAP);
    feed->streamed = true;
    reopen();
    assert_true(feed->streamed && !feed->complete);
    close_feed();
    open_feed(false); /* its last row is found later, in another topic */
    PUT(.offset = 0, .id = 1, .snapshot = "first", SNAP2);
    REFUSED(again, .topic = TOPIC_B, .offset = 0, .id = 1, .snapshot = "last", SNAP);
    close_feed();
}

static void test_keyless_snapshot_at_the_same_place(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .op = 'r', .snapshot = "first", .keyless = true, .file = "b.000001", .pos = 10);
    PUT(.offset = 1, .id = 1, .op = 'r', .snapshot = "true", .keyless = true, .file = "b.000001", .pos = 10);
    cut_all();
    reopen();
    REFUSED("makes its snapshot anew at the same place", .offset = 2, .id = 1, .op = 'r', .snapshot = "first",
            .keyless = true, .file = "b.000001", .pos = 10);
    close_feed();
}

/* --- 2: killed inside a transaction --- */

static void test_incremental_snapshot_without_key(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .snapshot = "incremental", SNAP);
    REFUSED("table=public.a has no key, and the row is of an incremental snapshot", .offset = 1, .id = 1,
            .snapshot = "incremental", .keyless = true, SNAP);
    close_feed();
}

static void test_killed_inside_a_transaction(void **unused)
{
    (void)unused;
    open_feed(true);
    meta(0, "BEGIN", "5:10", NULL, 0);
    PUT(.offset = 0, .id = 1, .lsn = 10, .xid = 5, .order = 1);
    PUT(.offset = 1, .id = 2, .lsn = 20, .xid = 5, .order = 2);
    PUT(.offset = 2, .id = 3, .lsn = 30, .xid = 5, .order = 3);
    be_idle();
    assert_int_equal(cut(NULL), -1);
    /* started again behind the first: it counts anew, and tells a last commit which it had not told before */
    meta(1, "BEGIN", "5:10", NULL, 0);
    PUT(.offset = 3, .id = 2, .lsn = 20, .xid = 5, .order = 1, .previous = 8);
    PUT(.offset = 4, .id = 3, .lsn = 30, .xid = 5, .order = 2, .previous = 8);
    PUT(.offset = 5, .id = 4, .lsn = 40, .xid = 5, .order = 3, .previous = 8);
    meta(2, "END", "5:50", "public.a", 3);
    assert_int_equal(cut(NULL), -1); /* more of it may be on its way */
    assert_true(foreign_feed_skips(feed, &(struct journal_record){.stream = TOPIC_A, .offset = 3}));
    assert_true(foreign_feed_skips(feed, &(struct journal_record){.stream = TOPIC_A, .offset = 4}));
    assert_false(foreign_feed_skips(feed, &(struct journal_record){.stream = TOPIC_A, .offset = 5}));
    be_idle();
    assert_int_equal(cut(NULL), 4);
    /* more of it, nevertheless: it is not kept back */
    PUT(.topic = TOPIC_B, .offset = 0, .id = 1, .lsn = 45, .xid = 5, .order = 4, .previous = 8);
    assert_int_equal(cut_all(), 1);
    close_feed();
}

/* All of it had been written but for its END: nothing is counted the second time. */
static void test_killed_before_the_end(void **unused)
{
    (void)unused;
    open_feed(true);
    meta(0, "BEGIN", "5:10", NULL, 0);
    PUT(.offset = 0, .id = 1, .lsn = 10, .xid = 5, .order = 1);
    meta(1, "BEGIN", "5:10", NULL, 0);
    meta(2, "END", "5:50", NULL, 0);
    be_idle();
    assert_int_equal(cut(NULL), 1);
    meta(3, "BEGIN", "6:60", NULL, 0); /* and it goes on */
    PUT(.offset = 1, .id = 2, .lsn = 60, .xid = 6, .order = 1, .previous = 50);
    meta(4, "END", "6:70", "public.a", 1);
    meta(5, "END", "6:70", "public.a", 1); /* again */
    assert_int_equal(cut(NULL), 1);
    assert_int_equal(cut(NULL), 0); /* the place alone */
    assert_int_equal(cut(NULL), -1);
    close_feed();
}

/* Rows of one COPY have one place; of a table without key only the ordinal tells them from repeated ones. */
static void test_rows_of_one_copy(void **unused)
{
    (void)unused;
    open_feed(false);
    for (int i = 0; i < 3; i++)
        PUT(.offset = (uint64_t)i, .id = 1, .lsn = 10, .xid = 5, .order = i + 4, .keyless = true);
    assert_int_equal(cut_all(), 3);
    for (int i = 0; i < 4; i++) /* all, and one more */
        PUT(.offset = (uint64_t)i + 3, .id = 1, .lsn = 10, .xid = 5, .order = i + 1, .keyless = true);
    assert_int_equal(cut_all(), 1);
    for (int i = 0; i < 3; i++) /* with a key */
        PUT(.topic = TOPIC_B, .offset = (uint64_t)i, .id = i, .lsn = 20, .xid = 6);
    for (int i = 0; i < 4; i++)
        PUT(.topic = TOPIC_B, .offset = (uint64_t)i + 3, .id = i, .lsn = 20, .xid = 6);
    assert_int_equal(cut_all(), 4);
    REFUSED("provide.transaction.metadata=true", .offset = 7, .id = 1, .lsn = 30, .xid = 7, .keyless = true);
    close_feed();
}

/* --- 3 and 4: another server, another topic --- */

static void test_other_server(void **unused)
{
    (void)unused;
    open_feed(false);
    for (int i = 0; i < 4; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 10 * (i + 1), .xid = 5 + i, .previous = 10 * i + 5,
            .ts_ms = 1000 - i);
    assert_int_equal(cut_all(), 4);
    PUT(.offset = 4, .id = 2, .lsn = 30, .xid = 7,
        .previous = 25); /* written again: an older time, whatever */
    REFUSED("leaves out that of offset=3", .offset = 5, .id = 9, .lsn = 50, .xid = 9, .previous = 45);
    PUT(.offset = 5, .id = 3, .lsn = 40, .xid = 8, .previous = 35);
    PUT(.offset = 6, .id = 4, .lsn = 50, .xid = 9, .previous = 45);
    REFUSED("reads another server now", .offset = 7, .id = 4, .lsn = 44, .xid = 9, .previous = 41);
    assert_int_equal(cut_all(), 1);
    close_feed();
}

/* GTIDs of MariaDB rise on whichever server; the places in its files need not. */
static void test_other_server_with_gtids(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .gtid = "0-1-10", .file = "b.000009", .pos = 500);
    PUT(.offset = 1, .id = 2, .gtid = "0-1-10", .file = "b.000009", .pos = 600);
    PUT(.offset = 2, .id = 3, .gtid = "0-2-11", .file = "c.000001", .pos = 300);
    assert_int_equal(cut_all(), 3);
    REFUSED("reads another server now", .offset = 3, .id = 3, .gtid = "0-3-11", .file = "d.000001",
            .pos = 900);
    close_feed();
    open_feed(false); /* the last one again, of a server whose files count higher */
    PUT(.offset = 0, .id = 1, .gtid = "0-1-10", .file = "b.000009", .pos = 500, .keyless = true);
    REFUSED("reads another server now", .offset = 1, .id = 1, .gtid = "0-1-10", .file = "d.000012", .pos = 20,
            .keyless = true);
    close_feed();
    open_feed(false); /* or one of another domain */
    PUT(.offset = 0, .id = 1, .gtid = "1-1-10", .file = "b.000009", .pos = 500, .keyless = true);
    PUT(.offset = 1, .id = 2, .gtid = "2-1-5", .file = "b.000009", .pos = 600, .keyless = true);
    REFUSED("reads another server now", .offset = 2, .id = 1, .gtid = "1-1-10", .file = "d.000012", .pos = 20,
            .keyless = true);
    PUT(.offset = 2, .id = 1, .gtid = "1-1-11", .file = "d.000012", .pos = 20, .keyless = true);
    close_feed();
    open_feed(false); /* MySQL: the same transaction at another place */
    PUT(.offset = 0, .id = 1, .gtid = "3e11fa47:10", .file = "b.000009", .pos = 500);
    PUT(.offset = 1, .id = 2, .gtid = "3e11fa47:11", .file = "b.000009", .pos = 600);
    REFUSED("reads another server now", .offset = 2, .id = 1, .gtid = "3e11fa47:10", .file = "c.000010",
            .pos = 100);
    close_feed();
    open_feed(false); /* long open transactions have old times: no reason to halt */
    PUT(.offset = 0, .id = 1, .gtid = "0-1-10", .file = "b.000001", .pos = 100, .ts_ms = 90000);
    PUT(.offset = 1, .id = 2, .gtid = "0-1-11", .file = "b.000001", .pos = 200, .ts_ms = 10000);
    PUT(.offset = 2, .id = 1, .gtid = "0-1-10", .file = "b.000001", .pos = 100, .ts_ms = 90000);
    PUT(.offset = 3, .id = 2, .gtid = "0-1-11", .file = "b.000001", .pos = 200, .ts_ms = 10000);
    assert_int_equal(cut_all(), 2);
    close_feed();
}

#define IN_FILE(gtid_, pos_, order_)                                                                         \
    .gtid = gtid_, .file = "b.000009", .pos = (pos_), .order = (order_), .keyless = true

/* The middle of a transaction once more, in a file of the same number at a higher place. */
static void test_other_server_with_the_same_file(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, IN_FILE("0-1-10", 500, 1));
    PUT(.offset = 1, .id = 2, IN_FILE("0-1-10", 600, 2));
    REFUSED("stands at another place", .offset = 2, .id = 1, IN_FILE("0-1-10", 900, 1));
    REFUSED("stands at another place", .offset = 2, .id = 2, IN_FILE("0-1-10", 900, 1));
    close_feed();
    open_feed(false); /* one server, stopped inside of the transaction: all came, or the end again */
    PUT(.offset = 0, .id = 1, IN_FILE("0-1-10", 500, 1));
    PUT(.offset = 1, .id = 2, IN_FILE("0-1-10", 600, 2));
    PUT(.offset = 2, .id = 3, IN_FILE("0-1-10", 700, 1));
    PUT(.offset = 3, .id = 3, IN_FILE("0-1-10", 700, 1));
    PUT(.offset = 4, .id = 2, IN_FILE("0-1-10", 800, 2)); /* the same row again, as it may be */
    assert_int_equal(cut_all(), 4);
    PUT(.offset = 5, .id = 2, IN_FILE("0-2-11", 900, 1)); /* and in the next transaction, of another server */
    reopen();
    foreign_warm(feed, &feed->parts[0], 0, 5, 5);
    PUT(.offset = 0, .id = 1, IN_FILE("0-1-10", 500, 1));
    PUT(.offset = 1, .id = 2, IN_FILE("0-1-10", 600, 2));
    PUT(.offset = 2, .id = 3, IN_FILE("0-1-10", 700, 1));
    PUT(.offset = 3, .id = 3, IN_FILE("0-1-10", 700, 1));
    PUT(.offset = 4, .id = 2, IN_FILE("0-1-10", 800, 2));
    feed->parts[0].scan = 5;
    REFUSED("stands at another place", .offset = 5, .id = 3, IN_FILE("0-1-10", 900, 1));
    close_feed();
}

/* MySQL without GTIDs: places are all there is, and they are of one server. */
static void test_other_server_without_gtids(void **unused)
{
    (void)unused;
    open_feed(false);
    PUT(.offset = 0, .id = 1, .file = "b.000009", .pos = 500, .server = 1);
    PUT(.offset = 1, .id = 2, .file = "b.000009", .pos = 600, .server = 1);
    REFUSED("server_id=2", .offset = 2, .id = 3, .file = "b.000009", .pos = 700, .server = 2);
    PUT(.offset = 2, .id = 3, .file = "b.000009", .pos = 700, .server = 1);
    close_feed();
    open_feed(false); /* GTIDs tell more */
    PUT(.offset = 0, .id = 1, .gtid = "0-1-10", .file = "b.000009", .pos = 500, .server = 1);
    PUT(.offset = 1, .id = 2, .gtid = "0-2-11", .file = "b.000009", .pos = 600, .server = 2);
    close_feed();
}

/* After a restart of apply the memory is read anew; a topic that holds something else is told. */
static void test_memory_is_read_anew(void **unused)
{
    (void)unused;
    open_feed(false);
    for (int i = 0; i < 5; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 10 * (i + 1), .xid = 5 + i, .previous = 10 * i + 5);
    assert_int_equal(cut_all(), 5);
    reopen();
    foreign_warm(feed, &feed->parts[0], 0, 5, 2);
    assert_int_equal(feed->parts[0].scan, 3);
    for (int i = 3; i < 5; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 10 * (i + 1), .xid = 5 + i, .previous = 10 * i + 5);
    assert_int_equal(cut_all(), 0);
    PUT(.offset = 5, .id = 4, .lsn = 50, .xid = 9, .previous = 45);
    PUT(.offset = 6, .id = 5, .lsn = 60, .xid = 10, .previous = 55);
    assert_int_equal(cut_all(), 1);
    reopen();
    foreign_warm(feed, &feed->parts[0], 0, 7, 100);
    for (int i = 0; i < 7; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 11 * (i + 1), .xid = 5 + i, .previous = 11 * i + 5);
    REFUSED("the topic was deleted and made anew", .offset = 7, .id = 9, .lsn = 99, .xid = 15,
            .previous = 95);
    close_feed();
}

/* What was asked for is kept, however many partitions there are. */
static void test_memory_of_many_partitions(void **unused)
{
    (void)unused;
    open_feed(false);
    for (int i = 1; i < 2000; i++)
        foreign_part_add(feed, TOPIC_B, i, 0); /* each may remember 1000 changes */
    for (int i = 0; i < 1200; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 10 * (i + 1), .xid = 5 + i);
    assert_true(feed->parts[0].memory_count <= 1000 && feed->parts[0].forgot);
    assert_int_equal(cut_all(), 1200);
    reopen();
    foreign_warm(feed, &feed->parts[0], 0, 1200, 1200);
    for (int i = 0; i < 1200; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 10 * (i + 1), .xid = 5 + i);
    assert_int_equal(feed->parts[0].memory_count, 1200);
    assert_false(feed->parts[0].exhausted);
    for (int i = 0; i < 1201; i++)
        PUT(.offset = 1200 + (uint64_t)i, .id = i, .lsn = 10 * (i + 1), .xid = 5 + i);
    assert_int_equal(cut_all(), 1);
    assert_true(feed->parts[0].memory_count <= 1000);
    close_feed();
}

/* Where a long repeat stands, the last records tell nothing of the place: what is before it does. */
static void test_restart_inside_a_long_repeat(void **unused)
{
    (void)unused;
    bool further = false;
    open_feed(false);
    for (int i = 0; i < 8; i++) /* 0 … 4, and 1 … 3 again */
        PUT(.offset = (uint64_t)i, .id = i < 5 ? i : i - 4, .lsn = 10 * (i < 5 ? i : i - 4) + 10, .xid = 5);
    assert_int_equal(cut_all(), 5);
    reopen();
    struct part *p = &feed->parts[0];
    assert_int_equal(p->taken, 8);
    foreign_warm(feed, p, 0, 8, 3);
    for (int i = 5; i < 8; i++)
        PUT(.offset = (uint64_t)i, .id = i - 4, .lsn = 10 * (i - 4) + 10, .xid = 5);
    assert_true(foreign_warmed(p, &further, &err) && further);
    further = false;
    foreign_warm(feed, p, 0, 8, 6);
    for (int i = 2; i < 8; i++)
        PUT(.offset = (uint64_t)i, .id = i < 5 ? i : i - 4, .lsn = 10 * (i < 5 ? i : i - 4) + 10, .xid = 5);
    assert_true(foreign_warmed(p, &further, &err) && !further);
    PUT(.offset = 8, .id = 4, .lsn = 50, .xid = 5);
    PUT(.offset = 9, .id = 5, .lsn = 60, .xid = 5);
    assert_int_equal(cut_all(), 1);
    foreign_warm(feed, p, 0, 10, 10); /* all of it is read, and it is another one */
    for (int i = 0; i < 10; i++)
        PUT(.offset = (uint64_t)i, .id = i, .lsn = 11 * (i + 1), .xid = 5);
    assert_false(foreign_warmed(p, &further, &err));
    close_feed();
}

static void test_truncate(void **unused)
{
    (void)unused;
    open_feed(true);
    foreign_part_add(feed, TOPIC_A, 1, 0);
    PUT(.offset = 0, .op = 't', .lsn = 10, .xid = 5, .order = 1);
    PUT(.partition = 1, .offset = 0, .op = 't', .lsn = 10, .xid = 5,
        .order = 1); /* again, in another partition */
    meta(0, "BEGIN", "5:10", NULL, 0);
    meta(1, "END", "5:50", "public.a", 1);
    assert_int_equal(cut_all(), 1);
    close_feed();
    open_feed(false);
    foreign_part_add(feed, TOPIC_A, 1, 0);
    REFUSED("TRUNCATE of table=public.a, whose topic has more than one partition", .offset = 0, .op = 't',
            .lsn = 10, .xid = 5);
    close_feed();
}

/* A text that a table may well hold stands for nothing. */
static void test_placeholders_that_are_refused(void **unused)
{
    (void)unused;
    static const char *const texts[] = {"gone", "''", "hex:676f6e65", "(not sent)"};
    for (size_t i = 0; i < 4; i++) {
        char *text CLEANUP(free_ptr) =
            xasprintf("pipeline: p\ntarget: {url: \"postgresql:///x\"}\nsource: {debezium: {brokers: b, "
                      "topics: [t], unavailable_value: %s}}\n",
                      texts[i]);
        struct config *cfg;
        struct foreign_settings set;
        err_clear(&err);
        if (!config_load_text("test", text, strlen(text), NULL, 0, NULL, &cfg, &err))
            fail_msg("%s", err.text);
        assert_int_equal(foreign_settings_read(cfg, &set, &err), i == 3);
        assert_true(i == 3 || strstr(err.text, "source.debezium.unavailable_value") != NULL);
        foreign_settings_release(&set);
        config_free(cfg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_that_begins_anew),
        cmocka_unit_test(test_attempt_is_kept_with_its_fence),
        cmocka_unit_test(test_state_of_a_fence_before),
        cmocka_unit_test(test_state_is_in_order),
        cmocka_unit_test(test_snapshot_after_stream_halts),
        cmocka_unit_test(test_snapshot_after_a_whole_one_halts),
        cmocka_unit_test(test_keyless_snapshot_at_the_same_place),
        cmocka_unit_test(test_incremental_snapshot_without_key),
        cmocka_unit_test(test_killed_inside_a_transaction),
        cmocka_unit_test(test_killed_before_the_end),
        cmocka_unit_test(test_rows_of_one_copy),
        cmocka_unit_test(test_other_server),
        cmocka_unit_test(test_other_server_with_gtids),
        cmocka_unit_test(test_other_server_with_the_same_file),
        cmocka_unit_test(test_other_server_without_gtids),
        cmocka_unit_test(test_memory_is_read_anew),
        cmocka_unit_test(test_memory_of_many_partitions),
        cmocka_unit_test(test_restart_inside_a_long_repeat),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_placeholders_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
