/* Owns: reading Debezium's topics ahead of apply: partitions, what each holds, what came before. See foreign.h. */
#include "apply/foreign.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply/foreign_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"

#define LIST_EVERY_US  2000000
#define READ_AT_ONCE   4000
#define SEGMENT_MAX    5000  /* changes outside of transactions */
#define PAUSE_SEGMENTS 10000 /* of one partition */
#define RECORD_MEMORY  ((size_t)2 << 30)
#define GAPS_MAX       100000
#define WARM_MAX       1000000 /* records read again when a session begins, all partitions together */
#define WARM_MOST      20000   /* of one */
#define WARM_LEAST     1000
#define SHRUNK_MAX     2

const char *foreign_intern(struct foreign_feed *feed, const char *text)
{
    for (size_t i = 0; i < feed->name_count; i++) {
        if (strcmp(feed->names[i], text) == 0)
            return feed->names[i];
    }
    if (feed->name_count == feed->name_cap) {
        feed->name_cap = feed->name_cap == 0 ? 16 : 2 * feed->name_cap;
        feed->names = xrealloc(feed->names, feed->name_cap * sizeof *feed->names);
    }
    feed->names[feed->name_count++] = xstrdup(text);
    return feed->names[feed->name_count - 1];
}

/* --- partitions --- */

struct part *foreign_part_add(struct foreign_feed *feed, const char *topic, int32_t partition, uint64_t from)
{
    if (feed->part_count == feed->part_cap) {
        feed->part_cap = feed->part_cap == 0 ? 16 : 2 * feed->part_cap;
        feed->parts = xrealloc(feed->parts, feed->part_cap * sizeof *feed->parts);
    }
    struct part *p = &feed->parts[feed->part_count++];
    const char *ends = feed->set->transaction_topic;
    *p = (struct part){.topic = xstrdup(topic),
                       .partition = partition,
                       .ends = ends != NULL && strcmp(topic, ends) == 0,
                       .scan = from,
                       .cut = from,
                       .taken = from};
    feed->assigned = false;
    return p;
}

struct part *foreign_part_find(const struct foreign_feed *feed, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < feed->part_count; i++) {
        struct part *p = &feed->parts[i];
        if (p->partition == partition && strcmp(p->topic, topic) == 0)
            return p;
    }
    return NULL;
}

struct listing {
    struct foreign_feed *feed;
    struct part *found; /* topic and partition of those that are new */
    size_t count;
    bool many_ends;
    char *grown; /* a topic that has more partitions than it had */
};

static void note_topic(void *ctx, const struct journal_stream_info *info)
{
    struct listing *l = ctx;
    const char *ends = l->feed->set->transaction_topic;
    l->many_ends |= ends != NULL && strcmp(ends, info->name) == 0 && info->partition_count > 1;
    for (int32_t p = 0; p < info->partition_count; p++) {
        if (foreign_part_find(l->feed, info->name, p) != NULL)
            continue;
        if (p > 0 && l->grown == NULL && foreign_part_find(l->feed, info->name, 0) != NULL)
            l->grown = xasprintf("topic=%s partition=%d", info->name, (int)p);
        l->found = xrealloc(l->found, (l->count + 1) * sizeof *l->found);
        l->found[l->count++] = (struct part){.topic = xstrdup(info->name), .partition = p};
    }
}

/* A topic is read from its beginning, which must still be there. */
static bool take_up(struct foreign_feed *feed, const struct part *found, struct err *err)
{
    uint64_t first, next;
    if (!journal_bounds_around(feed->reader, found->topic, found->partition, 0, &first, &next, err))
        return false;
    if (first > 0)
        return err_set(
            err, ERR_GAP,
            "topic=%s partition=%d: its first record kept is offset=%llu: what came before is gone, and "
            "nothing of this topic was applied yet. Let the connector write its snapshot into new topics "
            "(another "
            "topic.prefix), or leave the topic out of source.debezium.topics",
            found->topic, (int)found->partition, (unsigned long long)first);
    (void)foreign_part_add(feed, found->topic, found->partition, first);
    log_event(LOG_LEVEL_INFO, "topic_taken_up", "topic=%s partition=%d", found->topic, (int)found->partition);
    return true;
}

static bool list_topics(struct foreign_feed *feed, struct err *err)
{
    struct listing l = {.feed = feed};
    bool ok = journal_list(feed->reader, note_topic, &l, err);
    if (ok && l.many_ends)
        ok = err_set(err, ERR_UNSUPPORTED, "topic=%s: a transaction topic has one partition, this has more",
                     feed->set->transaction_topic);
    if (ok && l.grown != NULL)
        ok = err_set(
            err, ERR_UNSUPPORTED,
            "%s: the topic got more partitions: from then on keys are in others, and the order of a key's "
            "changes "
            "is lost. Let the connector make a new snapshot under another topic.prefix, for a new pipeline",
            l.grown);
    free(l.grown);
    for (size_t i = 0; i < l.count; i++) {
        ok = ok && take_up(feed, &l.found[i], err);
        free(l.found[i].topic);
    }
    free(l.found);
    feed->listed_us = clock_mono_us();
    return ok;
}

static bool is_gone(const struct part *p, uint64_t next, struct err *err)
{
    return err_set(err, ERR_IDENTITY,
                   "topic=%s partition=%d: it ends at offset=%llu, and was read up to %llu: the topic was "
                   "deleted and made "
                   "anew, and what it held is lost. Let the connector make a new snapshot under another "
                   "topic.prefix, for a "
                   "new pipeline",
                   p->topic, (int)p->partition, (unsigned long long)next,
                   (unsigned long long)MAX_OF(p->scan, p->taken));
}

/* One partition at a time: does it still hold what was read of it? Two answers, since metadata may lag. */
static bool look_at_one(struct foreign_feed *feed, struct err *err)
{
    uint64_t first, next;
    if (feed->part_count == 0)
        return true;
    struct part *p = &feed->parts[feed->look_at % feed->part_count];
    if (!journal_bounds_around(feed->reader, p->topic, p->partition, p->scan, &first, &next, err))
        return false;
    p->shrunk = next < p->scan ? p->shrunk + 1 : 0;
    feed->look_at += p->shrunk == 0;
    return p->shrunk < SHRUNK_MAX || is_gone(p, next, err);
}

/* Of a partition that was applied in part: it goes on from there, and what came before is looked at for what may be
 * written again. */
static bool resume(struct foreign_feed *feed, struct part *p, struct err *err)
{
    uint64_t first, next, share = WARM_MAX / feed->part_count;
    if (!journal_bounds_around(feed->reader, p->topic, p->partition, p->taken, &first, &next, err))
        return false;
    if (next < p->taken)
        return is_gone(p, next, err);
    if (first > p->taken)
        return err_set(err, ERR_GAP,
                       "topic=%s partition=%d: applied up to offset=%llu, and the topic begins at %llu: what "
                       "lies between "
                       "has expired. Let the connector make a new snapshot under another topic.prefix, for a "
                       "new pipeline, "
                       "and keep topics longer",
                       p->topic, (int)p->partition, (unsigned long long)p->taken, (unsigned long long)first);
    p->oldest = p->taken;
    if (p->taken > first)
        foreign_warm(feed, p, first, p->taken,
                     MIN_OF(MAX_OF(share, (uint64_t)WARM_LEAST), (uint64_t)WARM_MOST));
    return true;
}

/* A record at an earlier place than any that is remembered, or none but repeated ones before it: farther back, then. */
static bool look_back(struct foreign_feed *feed, struct part *p, uint64_t offset, struct err *err)
{
    uint64_t first, next;
    if (!journal_bounds_around(feed->reader, p->topic, p->partition, offset, &first, &next, err))
        return false;
    uint64_t back = 4 * (offset - MIN_OF(p->oldest, offset)) + WARM_MOST;
    log_event(LOG_LEVEL_INFO, "looking_back", "topic=%s partition=%d offset=%llu records=%llu", p->topic,
              (int)p->partition, (unsigned long long)offset, (unsigned long long)back);
    foreign_warm(feed, p, MIN_OF(first, offset), offset, back);
    feed->assigned = false;
    return true;
}

/* What is far ahead of the others waits for them: that a transaction's records are missing in a partition which has
 * given some of later ones cannot be. */
static void pause_parts(struct foreign_feed *feed)
{
    for (size_t i = 0; i < feed->part_count; i++) {
        struct part *p = &feed->parts[i];
        size_t ahead = p->ends ? feed->end_count : p->count;
        bool pause = p->paused ? ahead > PAUSE_SEGMENTS / 2 : ahead > PAUSE_SEGMENTS;
        feed->assigned = feed->assigned && pause == p->paused;
        p->paused = pause;
    }
}

static bool any_warms(const struct foreign_feed *feed)
{
    bool any = false;
    for (size_t i = 0; i < feed->part_count; i++)
        any |= feed->parts[i].scan < feed->parts[i].warm_until;
    return any;
}

/* What is read for the memory comes first, of all partitions: a record that one of them brings again may have come in
 * another before. */
static bool assign(struct foreign_feed *feed, struct err *err)
{
    struct journal_range *ranges = xcalloc(feed->part_count + 1, sizeof *ranges);
    size_t count = 0;
    feed->warms = any_warms(feed);
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        bool reads = feed->warms ? p->scan < p->warm_until : !p->paused;
        if (reads)
            ranges[count++] =
                (struct journal_range){.stream = p->topic,
                                       .partition = p->partition,
                                       .first_offset = p->scan,
                                       .next_offset = feed->warms ? p->warm_until : JOURNAL_FOLLOW};
    }
    feed->assigned = journal_assign(feed->reader, ranges, count, err);
    free(ranges);
    return feed->assigned;
}

/* --- life --- */

static void part_release(struct part *p)
{
    free(p->topic);
    free(p->segments);
    free(p->gaps);
    free(p->memory);
}

void foreign_feed_close(struct foreign_feed *feed)
{
    if (feed == NULL)
        return;
    journal_reader_close(feed->reader);
    for (size_t i = 0; i < feed->part_count; i++)
        part_release(&feed->parts[i]);
    for (size_t i = 0; i < feed->end_count; i++)
        free(feed->ends[feed->end_head + i].counts);
    for (size_t i = 0; i < feed->alone_count; i++)
        free(feed->alone[i].counts);
    free(feed->alone);
    free(feed->truncates);
    free(feed->snapshots);
    for (size_t i = 0; i < feed->name_count; i++)
        free(feed->names[i]);
    arena_release(&feed->arena);
    free(feed->parts);
    free(feed->ends);
    free(feed->marks);
    free(feed->names);
    free(feed->connector);
    free(feed->server);
    free(feed->state);
    free(feed);
}

struct foreign_feed *foreign_feed_new(const struct foreign_settings *set, struct foreign_decoder *dec,
                                      uint64_t fence_id)
{
    struct foreign_feed *feed = xcalloc(1, sizeof *feed);
    feed->set = set;
    feed->dec = dec;
    feed->last_id = feed->taken_id = fence_id;
    arena_init(&feed->arena, (size_t)1 << 20, RECORD_MEMORY);
    return feed;
}

bool foreign_feed_open(const struct foreign_settings *set, struct foreign_decoder *dec, uint64_t fence_id,
                       const char *state, struct foreign_feed **ret, struct err *err)
{
    struct foreign_feed *feed = foreign_feed_new(set, dec, fence_id);
    bool ok = (state == NULL || foreign_state_read(feed, state, err)) &&
              journal_reader_open(&set->journal, NULL, &feed->reader, err);
    for (size_t i = 0; ok && i < feed->part_count; i++)
        ok = resume(feed, &feed->parts[i], err);
    if (!ok || !list_topics(feed, err)) {
        foreign_feed_close(feed);
        return false;
    }
    *ret = feed;
    return true;
}

struct foreign_record foreign_record_of(const struct journal_record *rec)
{
    struct foreign_record fr = {.topic = rec->stream,
                                .key = rec->key,
                                .key_len = rec->key_len,
                                .value = rec->value,
                                .value_len = rec->value_len};
    for (size_t i = 0; i < rec->header_count; i++) {
        const struct journal_header *h = &rec->headers[i];
        if (strcmp(h->name, HEADER_NEW_KEY) == 0) {
            fr.new_key = h->value;
            fr.new_key_len = h->value_len;
        } else if (strcmp(h->name, HEADER_OLD_KEY) == 0) {
            fr.old_key = h->value;
            fr.old_key_len = h->value_len;
        }
    }
    return fr;
}

/* --- what a record is --- */

static bool one_producer(struct foreign_feed *feed, const struct foreign_event *ev, struct err *err)
{
    if (feed->server == NULL) {
        feed->server = xstrdup(ev->server);
        feed->connector = xstrdup(ev->connector);
    }
    return (strcmp(feed->server, ev->server) == 0 && strcmp(feed->connector, ev->connector) == 0) ||
           err_set(err, ERR_IDENTITY,
                   "the record is of the %s connector %s, those before are of the %s connector %s: a "
                   "pipeline reads one "
                   "connector's topics: correct source.debezium.topics",
                   ev->connector, ev->server, feed->connector, feed->server);
}

static bool add_gap(struct part *p, uint64_t offset, struct err *err)
{
    if (p->gap_count > 0 && p->gaps[p->gap_count - 1].next == offset) {
        p->gaps[p->gap_count - 1].next++;
        return true;
    }
    if (p->gap_count == GAPS_MAX)
        return err_set(err, ERR_NO_MEMORY, "too many repeated records in pieces");
    if (p->gap_count == p->gap_cap) {
        p->gap_cap = p->gap_cap == 0 ? 8 : 2 * p->gap_cap;
        p->gaps = xrealloc(p->gaps, p->gap_cap * sizeof *p->gaps);
    }
    p->gaps[p->gap_count++] = (struct gap){.first = offset, .next = offset + 1};
    return true;
}

bool foreign_feed_skips(const struct foreign_feed *feed, const struct journal_record *rec)
{
    const struct part *p = foreign_part_find(feed, rec->stream, rec->partition);
    for (size_t i = 0; p != NULL && i < p->gap_count; i++) {
        if (rec->offset >= p->gaps[i].first && rec->offset < p->gaps[i].next)
            return true;
    }
    return false;
}

static struct segment *add_segment(struct part *p)
{
    if (p->head + p->count == p->cap) {
        if (p->head > p->cap / 2) {
            memmove(p->segments, p->segments + p->head, p->count * sizeof *p->segments);
            p->head = 0;
        } else {
            p->cap = p->cap == 0 ? 16 : 2 * p->cap;
            p->segments = xrealloc(p->segments, p->cap * sizeof *p->segments);
        }
    }
    struct segment *s = &p->segments[p->head + p->count++];
    *s = (struct segment){.next = p->scan};
    return s;
}

static struct segment *last_segment(struct part *p)
{
    return p->count > 0 ? &p->segments[p->head + p->count - 1] : add_segment(p);
}

/* The segment that the change goes on with, or a new one. Tables that take turns in a transaction, in one topic, have one
 * each: it is cut whole, and what waits for its end must not grow with it (what came late of it is cut as it comes). */
static struct segment *segment_for(struct foreign_feed *feed, struct part *p, uint64_t transaction,
                                   const char *collection)
{
    struct segment *last = last_segment(p);
    bool whole = transaction != 0 && !foreign_is_late(feed, transaction);
    if (last->changes == 0)
        return last;
    if (!whole)
        return last->transaction == transaction && last->collection == collection &&
                       (transaction != 0 || last->changes < SEGMENT_MAX)
                   ? last
                   : add_segment(p);
    for (size_t i = p->count; i > 0 && p->segments[p->head + i - 1].transaction == transaction; i--) {
        if (p->segments[p->head + i - 1].collection == collection)
            return &p->segments[p->head + i - 1];
    }
    return add_segment(p);
}

/* The record goes on with a segment, or begins one. */
static void add_change(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev)
{
    uint64_t transaction = feed->set->transaction_topic != NULL ? ev->transaction : 0;
    const char *collection = transaction != 0 ? foreign_intern(feed, ev->collection) : NULL;
    struct segment *s = segment_for(feed, p, transaction, collection);
    s->transaction = transaction;
    s->collection = collection;
    s->changes++;
    s->place = last_segment(p)->place = p->seen;
    s->newest = MAX_OF(s->newest, MAX_OF(ev->change.source.lsn, ev->change.source.commit_lsn));
    s->time_us = MAX_OF(s->time_us, ev->change.source.commit_time_us);
    s->streamed |=
        ev->change.op != CHANGE_READ || ev->change.source.snapshot == SNAPSHOT_LAST || ev->incremental;
    if (ev->half && ev->other_key != NULL)
        s->halves += ev->change.op == CHANGE_DELETE ? 1 : -1;
}

/* --- reading --- */

static bool check_order(const struct foreign_feed *feed, const struct foreign_event *ev, struct err *err)
{
    if (feed->set->transaction_topic == NULL || ev->transaction != 0 || ev->change.op == CHANGE_READ)
        return true;
    return err_set(
        err, ERR_CONFIG,
        "the change does not tell its transaction: set provide.transaction.metadata=true in the connector, "
        "or take source.debezium.transaction_topic out");
}

/* Records without a key go to any partition, and when a connector repeats them, to another one: they could not be told. */
static bool check_partitions(const struct foreign_feed *feed, const struct part *p,
                             const struct foreign_event *ev, struct err *err)
{
    if (ev->key != NULL || ev->change.op == CHANGE_TRUNCATE || foreign_part_find(feed, p->topic, 1) == NULL)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "table=%s has no key, and its topic more than one partition: a connector that begins "
                   "again repeats records "
                   "into other partitions, which nobody can tell. Give the table a key "
                   "(message.key.columns), or the topic one "
                   "partition",
                   ev->collection);
}

static bool scan_change(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev,
                        uint64_t offset, struct err *err)
{
    enum verdict verdict;
    bool remember = offset < p->warm_until;
    if (!remember &&
        (!one_producer(feed, ev, err) || !check_order(feed, ev, err) ||
         !foreign_check_topic(feed, p, ev->collection, err) || !check_partitions(feed, p, ev, err)))
        return false;
    if (!foreign_seen(feed, p, ev, offset, &verdict, err))
        return false;
    if (remember)
        return true;
    if (verdict == VERDICT_UNKNOWN)
        return look_back(feed, p, offset, err);
    if (verdict == VERDICT_BEFORE)
        return add_gap(p, offset, err);
    add_change(feed, p, ev);
    if (ev->alone && feed->set->transaction_topic != NULL)
        foreign_alone_add(feed, ev);
    return true;
}

static bool scan_event(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev,
                       uint64_t offset, struct err *err)
{
    uint64_t until = p->warm_until;
    bool further = false;
    if (until != 0 && offset >= until && !foreign_warmed(p, &further, err))
        return false;
    if (further)
        return look_back(feed, p, until, err);
    if (p->ends && (ev->kind == FOREIGN_END || ev->kind == FOREIGN_BEGIN))
        return foreign_ends_add(feed, ev, offset + 1, offset < p->warm_until, err);
    return p->ends || ev->kind != FOREIGN_CHANGE || scan_change(feed, p, ev, offset, err);
}

bool foreign_scan(struct foreign_feed *feed, const struct journal_record *rec, struct err *err)
{
    struct part *p = foreign_part_find(feed, rec->stream, rec->partition);
    struct foreign_record fr = foreign_record_of(rec);
    struct foreign_event ev;
    if (p == NULL || rec->offset < p->scan)
        return p != NULL || err_set(err, ERR_BUG, "a record of a topic that was not asked for");
    arena_clear(&feed->arena);
    if (!foreign_decode(feed->dec, &fr, &feed->arena, &ev, err) ||
        !scan_event(feed, p, &ev, rec->offset, err))
        return err_wrap(err, "topic=%s partition=%d offset=%llu", rec->stream, (int)rec->partition,
                        (unsigned long long)rec->offset);
    if (p->warm_until != 0 && rec->offset >= p->warm_until) /* what lies before it is read first */
        return true;
    p->read_us = clock_mono_us();
    p->scan = rec->offset + 1;
    if (!p->ends && p->warm_until == 0)
        last_segment(p)->next = p->scan;
    return true;
}

/* Behind the last record there may be offsets of none: marks of a producer's transactions, records that were given up. */
static void pass_over(struct foreign_feed *feed)
{
    for (size_t i = 0; feed->assigned && !feed->warms && i < feed->part_count; i++) {
        struct part *p = &feed->parts[i];
        uint64_t at;
        if (p->paused || p->scan < p->warm_until ||
            !journal_position(feed->reader, p->topic, p->partition, &at) || at <= p->scan)
            continue;
        p->scan = at;
        if (!p->ends)
            last_segment(p)->next = at;
    }
}

/* Nobody is there to be waited for. */
static void pause_ms(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&ts, NULL);
}

/* All is read that was asked for; the last offsets may be none of records. */
static void end_warming(struct foreign_feed *feed)
{
    for (size_t i = 0; i < feed->part_count; i++)
        feed->parts[i].scan = MAX_OF(feed->parts[i].scan, feed->parts[i].warm_until);
    feed->assigned = false;
}

static bool scan(struct foreign_feed *feed, int timeout_ms, struct err *err)
{
    struct journal_record rec;
    feed->idle = false;
    for (size_t n = 0; n < READ_AT_ONCE; n++) {
        enum journal_next got = journal_next(feed->reader, n == 0 ? timeout_ms : 0, &rec, err);
        if (got == JOURNAL_ERROR)
            return false;
        if (got == JOURNAL_END && feed->warms) {
            end_warming(feed);
            return true;
        }
        if (got != JOURNAL_RECORD) {
            feed->idle = true;
            if (feed->idle_since_us == 0)
                feed->idle_since_us = clock_mono_us();
            if (got == JOURNAL_END)
                pause_ms(timeout_ms);
            return true;
        }
        feed->idle_since_us = 0;
        if (!foreign_scan(feed, &rec, err))
            return false;
        if (!feed->assigned) /* farther back */
            return true;
    }
    return true;
}

bool foreign_feed_next(struct foreign_feed *feed, int timeout_ms, struct fence *ret, bool *ret_ready,
                       struct err *err)
{
    if (!foreign_cut(feed, ret, ret_ready, err))
        return false;
    if (*ret_ready)
        return true;
    if (clock_mono_us() - feed->listed_us > LIST_EVERY_US) {
        pass_over(feed);
        if (!look_at_one(feed, err) || !list_topics(feed, err))
            return false;
    }
    pause_parts(feed);
    if ((!feed->assigned && !assign(feed, err)) || !scan(feed, timeout_ms, err))
        return false;
    if (feed->idle)
        pass_over(feed);
    return foreign_cut(feed, ret, ret_ready, err);
}

const char *foreign_feed_notice(const struct foreign_feed *feed)
{
    return feed->notice;
}
