/*
 * Streams of records as Debezium's connectors write them when they are killed, moved to another server or set up in
 * unusual ways: what the feed hands out, passes over and refuses. Records are made here, in the form of JsonConverter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apply/foreign_internal.h"
#include "core/alloc.h"

#define TOPIC_A "pg.public.a"
#define TOPIC_B "pg.public.b"
#define ENDS    "pg.transaction"

static struct err err;
static const char *const patterns[] = {"pg.public.*", ENDS, NULL};
static struct foreign_settings settings;
static struct foreign_decoder *dec;
static struct foreign_feed *feed;

/* --- records --- */

#define COLUMN     "{\"type\":\"int32\",\"optional\":true,\"field\":\"id\"}"
#define TEXT(name) "{\"type\":\"string\",\"optional\":true,\"field\":\"" name "\"}"
#define LONG(name) "{\"type\":\"int64\",\"optional\":true,\"field\":\"" name "\"}"
#define STRUCT(name, fields)                                                                                 \
    "{\"type\":\"struct\",\"fields\":[" fields "],\"optional\":true,\"field\":\"" name "\"}"
#define IMAGE(name)                                                                                          \
    "{\"type\":\"struct\",\"fields\":[" COLUMN                                                               \
    "],\"optional\":true,\"name\":\"pg.public.a.Value\",\"field\":\"" name "\"}"
#define ENVELOPE                                                                                                                                                                      \
    "{\"type\":\"struct\",\"fields\":[" IMAGE("before") "," IMAGE("after") "," STRUCT(                                                                                                \
        "source",                                                                                                                                                                     \
        TEXT("connector") "," TEXT("name") "," LONG("ts_ms") "," TEXT("snapshot") "," TEXT("db") "," TEXT("sequence") "," TEXT("schema") "," TEXT("table") "," LONG("txId") "," LONG( \
            "lsn") "," TEXT("gtid") "," TEXT("file") "," LONG("pos") "," LONG("row")) "," TEXT("op") "," LONG("ts_ms") "," STRUCT("transaction",                                      \
                                                                                                                                  TEXT("id") "," LONG("total_order") "," LONG(        \
                                                                                                                                      "data_collection_order")) "],\"optional\":false,\"name\":\"pg.public.a.Envelope\"}"
#define KEY                                                                                                  \
    "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"}],"            \
    "\"optional\":false,\"name\":\"k\"}"
#define META                                                                                                 \
    "{\"type\":\"struct\",\"fields\":[" TEXT("status") "," TEXT("id") "," LONG(                              \
        "event_count") ",{\"type\":\"array\",\"items\":"                                                     \
                       "{\"type\":\"struct\",\"fields\":[" TEXT("data_collection") "," LONG(                 \
                           "event_count") "],\"optional\":false},\"optional\":true,"                         \
                                          "\"field\":\"data_collections\"}," LONG(                           \
                                              "ts_ms") "],\"optional\":false,\"name\":\"io.debezium."        \
                                                       "connector.common.TransactionMetadataValue\"}"

static bool feed_text(const char *topic, int32_t partition, uint64_t offset, const char *key,
                      const char *value)
{
    struct journal_record rec = {.stream = topic,
                                 .partition = partition,
                                 .offset = offset,
                                 .key = key,
                                 .key_len = key != NULL ? strlen(key) : 0,
                                 .value = value,
                                 .value_len = strlen(value)};
    err_clear(&err);
    feed->assigned = true;
    return foreign_scan(feed, &rec, &err);
}

/* What differs from record to record. */
struct row {
    const char *topic; /* NULL: TOPIC_A */
    const char *table; /* NULL: as the topic */
    int32_t partition;
    uint64_t offset;
    char op; /* 0: c */
    int id;
    const char *snapshot; /* NULL: false */
    bool keyless;
    int64_t ts_ms, lsn, xid, previous; /* PostgreSQL; previous 0: null */
    int order;                         /* total_order; 0: no transaction block */
    const char *gtid, *file;           /* MariaDB, when there is a file */
    int64_t pos;
};

static bool put(const struct row *r)
{
    const char *topic = r->topic != NULL ? r->topic : TOPIC_A;
    const char *table = r->table != NULL ? r->table : topic + strlen("pg.public.");
    bool maria = r->file != NULL;
    char *image CLEANUP(free_ptr) = xasprintf("{\"id\":%d}", r->id);
    char op = r->op != 0 ? r->op : 'c';
    char *sequence CLEANUP(free_ptr) =
        r->previous != 0
            ? xasprintf("\"[\\\"%lld\\\",\\\"%lld\\\"]\"", (long long)r->previous, (long long)r->lsn)
            : xasprintf("\"[null,\\\"%lld\\\"]\"", (long long)r->lsn);
    char *id CLEANUP(free_ptr) = maria ? xstrdup(r->gtid != NULL ? r->gtid : "file=b.000001,pos=4")
                                       : xasprintf("%lld:%lld", (long long)r->xid, (long long)r->lsn);
    char *transaction CLEANUP(free_ptr) =
        r->order != 0 ? xasprintf("{\"id\":\"%s\",\"total_order\":%d,\"data_collection_order\":%d}", id,
                                  r->order, r->order)
                      : xstrdup("null");
    char *gtid CLEANUP(free_ptr) = maria && r->gtid != NULL ? xasprintf("\"%s\"", r->gtid) : xstrdup("null");
    char *file CLEANUP(free_ptr) = maria ? xasprintf("\"%s\"", r->file) : xstrdup("null");
    char *value CLEANUP(free_ptr) = xasprintf(
        "{\"schema\":" ENVELOPE
        ",\"payload\":{\"before\":%s,\"after\":%s,\"source\":{\"connector\":\"%s\",\"name\":\"pg\","
        "\"ts_ms\":%lld,\"snapshot\":\"%s\",\"db\":\"public\",\"sequence\":%s,\"schema\":\"public\","
        "\"table\":\"%s\","
        "\"txId\":%lld,\"lsn\":%lld,\"gtid\":%s,\"file\":%s,\"pos\":%lld,\"row\":0},\"op\":\"%c\",\"ts_ms\":"
        "1,"
        "\"transaction\":%s}}",
        op == 'd' ? image : "null", op == 'd' || op == 't' ? "null" : image, maria ? "mariadb" : "postgresql",
        (long long)r->ts_ms, r->snapshot != NULL ? r->snapshot : "false", maria ? "null" : sequence, table,
        (long long)r->xid, (long long)r->lsn, gtid, file, (long long)r->pos, op, transaction);
    char *key CLEANUP(free_ptr) = xasprintf("{\"schema\":" KEY ",\"payload\":%s}", image);
    bool no_key = r->keyless || op == 't';
    return feed_text(topic, r->partition, r->offset, no_key ? NULL : key, value);
}

#define PUT(...)                                                                                             \
    do {                                                                                                     \
        if (!put(&(struct row){__VA_ARGS__}))                                                                \
            fail_msg("line %d: %s", __LINE__, err.text);                                                     \
    } while (0)

/* Refused, with this in the text. */
#define REFUSED(part, ...)                                                                                   \
    do {                                                                                                     \
        if (put(&(struct row){__VA_ARGS__}) || strstr(err.text, part) == NULL)                               \
            fail_msg("line %d: \"%s\" expected, found: %s", __LINE__, part, err.text);                       \
    } while (0)

/* collection NULL: none is counted. */
static void meta(uint64_t offset, const char *status, const char *id, const char *collection, int count)
{
    char *counts CLEANUP(free_ptr) =
        collection != NULL ? xasprintf("[{\"data_collection\":\"%s\",\"event_count\":%d}]", collection, count)
                           : xstrdup(strcmp(status, "END") == 0 ? "[]" : "null");
    char *value CLEANUP(free_ptr) =
        xasprintf("{\"schema\":" META ",\"payload\":{\"status\":\"%s\",\"id\":\"%s\",\"event_count\":%d,"
                  "\"data_collections\":%s,\"ts_ms\":1000000}}",
                  status, id, count, counts);
    if (!feed_text(ENDS, 0, offset, NULL, value))
        fail_msg("%s", err.text);
}

/* --- the feed --- */

static void open_feed(bool transactions)
{
    settings = (struct foreign_settings){.on = true,
                                         .journal = {.pipeline = "t"},
                                         .patterns = patterns,
                                         .transaction_topic = transactions ? ENDS : NULL};
    dec = foreign_decoder_open(&(struct foreign_options){.avro = false});
    feed = foreign_feed_new(&settings, dec, 1);
    foreign_part_add(feed, TOPIC_A, 0, 0);
    foreign_part_add(feed, TOPIC_B, 0, 0);
    if (transactions)
        foreign_part_add(feed, ENDS, 0, 0);
}

static void close_feed(void)
{
    foreign_feed_close(feed);
    foreign_decoder_close(dec);
    feed = NULL;
}

/* As if nothing had come for long. */
static void be_idle(void)
{
    feed->idle = true;
    feed->idle_since_us = 1;
    for (size_t i = 0; i < feed->part_count; i++)
        feed->parts[i].read_us = 1;
    for (size_t i = 0; i < feed->end_count; i++)
        feed->ends[feed->end_head + i].seen_us = 1;
}

/* Changes of the next fence; -1: none may be cut. Its state is taken up by the feed. */
static int cut(struct fence *ret)
{
    struct fence fence = {0};
    bool ready = false;
    const char *state;
    err_clear(&err);
    if (!foreign_cut(feed, &fence, &ready, &err))
        return -2;
    if (!ready)
        return -1;
    if (!foreign_feed_state(feed, fence.id, &state, &err))
        fail_msg("%s", err.text);
    foreign_feed_take(feed, fence.id);
    int changes = (int)fence.changes;
    if (ret != NULL)
        *ret = fence;
    else
        fence_release(&fence);
    return changes;
}

static int cut_all(void)
{
    int all = 0, got;
    be_idle();
    while ((got = cut(NULL)) > 0)
        all += got;
    assert_true(got > -2);
    return all;
}

/* A new session from what the target holds. */
static void reopen(void)
{
    const char *state;
    uint64_t id = feed->taken_id;
    if (!foreign_feed_state(feed, id, &state, &err))
        fail_msg("%s", err.text);
    char *kept CLEANUP(free_ptr) = xstrdup(state);
    bool transactions = settings.transaction_topic != NULL;
    close_feed();
    open_feed(transactions);
    while (feed->part_count > 0)
        free(feed->parts[--feed->part_count].topic);
    feed->last_id = feed->taken_id = id;
    if (!foreign_state_read(feed, kept, &err))
        fail_msg("%s", err.text);
}

#define SNAP  .op = 'r', .lsn = 100, .xid = 7, .ts_ms = 100000
#define SNAP2 .op = 'r', .lsn = 150, .xid = 9, .ts_ms = 200000

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

/* --- 5 and 6: names and numbers --- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_that_begins_anew),
        cmocka_unit_test(test_attempt_is_kept_with_its_fence),
        cmocka_unit_test(test_snapshot_after_stream_halts),
        cmocka_unit_test(test_snapshot_after_a_whole_one_halts),
        cmocka_unit_test(test_keyless_snapshot_at_the_same_place),
        cmocka_unit_test(test_incremental_snapshot_without_key),
        cmocka_unit_test(test_killed_inside_a_transaction),
        cmocka_unit_test(test_killed_before_the_end),
        cmocka_unit_test(test_rows_of_one_copy),
        cmocka_unit_test(test_other_server),
        cmocka_unit_test(test_other_server_with_gtids),
        cmocka_unit_test(test_memory_is_read_anew),
        cmocka_unit_test(test_memory_of_many_partitions),
        cmocka_unit_test(test_halves_beyond_the_budget),
        cmocka_unit_test(test_restart_inside_a_long_repeat),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_truncate_without_end),
        cmocka_unit_test(test_renamed_topics),
        cmocka_unit_test(test_tables_that_take_turns),
        cmocka_unit_test(test_waiting_is_told),
        cmocka_unit_test(test_gtids_of_mysql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
