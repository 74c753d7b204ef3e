/* For the apply_foreign_* tests: records in the form of JsonConverter, as Debezium writes them, and a feed that takes them. */
#ifndef APPLY_FOREIGN_FIXTURE_H
#define APPLY_FOREIGN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apply/batch.h"
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
static struct batch *into; /* records go there instead, when it is set */

/* --- records --- */

#define COLUMN     "{\"type\":\"int32\",\"optional\":true,\"field\":\"id\"}"
#define TEXT(name) "{\"type\":\"string\",\"optional\":true,\"field\":\"" name "\"}"
#define LONG(name) "{\"type\":\"int64\",\"optional\":true,\"field\":\"" name "\"}"
#define STRUCT(name, fields)                                                                                 \
    "{\"type\":\"struct\",\"fields\":[" fields "],\"optional\":true,\"field\":\"" name "\"}"
#define IMAGE(name)                                                                                          \
    "{\"type\":\"struct\",\"fields\":[" COLUMN                                                               \
    "],\"optional\":true,\"name\":\"pg.public.a.Value\",\"field\":\"" name "\"}"
#define ENVELOPE                                                                                                                                                                                      \
    "{\"type\":\"struct\",\"fields\":[" IMAGE("before") "," IMAGE("after") "," STRUCT(                                                                                                                \
        "source",                                                                                                                                                                                     \
        TEXT("connector") "," TEXT("name") "," LONG("ts_ms") "," TEXT("snapshot") "," TEXT("db") "," TEXT("sequence") "," TEXT("schema") "," TEXT("table") "," LONG("txId") "," LONG("lsn") "," TEXT( \
            "gtid") "," TEXT("file") "," LONG("pos") "," LONG("row") "," LONG("server_id")) "," TEXT("op") "," LONG("ts_ms") "," STRUCT("transaction",                                                \
                                                                                                                                        TEXT("id") "," LONG("total_order") "," LONG(                  \
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

static UNUSED bool feed_text(const char *topic, int32_t partition, uint64_t offset, const char *key,
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
    if (into != NULL)
        return batch_add(into, NULL, NULL, &rec, 0, &err);
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
    int64_t pos, server;
};

static UNUSED bool put(const struct row *r)
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
        "\"txId\":%lld,\"lsn\":%lld,\"gtid\":%s,\"file\":%s,\"pos\":%lld,\"row\":0,\"server_id\":%lld},"
        "\"op\":\"%c\",\"ts_ms\":"
        "1,"
        "\"transaction\":%s}}",
        op == 'd' ? image : "null", op == 'd' || op == 't' ? "null" : image, maria ? "mariadb" : "postgresql",
        (long long)r->ts_ms, r->snapshot != NULL ? r->snapshot : "false", maria ? "null" : sequence, table,
        (long long)r->xid, (long long)r->lsn, gtid, file, (long long)r->pos, (long long)r->server, op,
        transaction);
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
static UNUSED void meta(uint64_t offset, const char *status, const char *id, const char *collection,
                        int count)
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

static UNUSED void open_feed(bool transactions)
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
    feed->told_parts = feed->part_count;
}

static UNUSED void close_feed(void)
{
    foreign_feed_close(feed);
    foreign_decoder_close(dec);
    feed = NULL;
}

/* As if nothing had come for long. */
static UNUSED void be_idle(void)
{
    feed->idle = true;
    feed->idle_since_us = 1;
    for (size_t i = 0; i < feed->part_count; i++)
        feed->parts[i].read_us = 1;
    for (size_t i = 0; i < feed->end_count; i++)
        feed->ends[feed->end_head + i].seen_us = 1;
}

/* Changes of the next fence; -1: none may be cut. Its state is taken up by the feed. */
static UNUSED int cut(struct fence *ret)
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

static UNUSED int cut_all(void)
{
    int all = 0, got;
    be_idle();
    while ((got = cut(NULL)) > 0)
        all += got;
    assert_true(got > -2);
    return all;
}

/* A new session from what the target holds. */
static UNUSED void reopen(void)
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

#endif
