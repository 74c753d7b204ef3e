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
#define BACKWARDS_US   5000000 /* commit times may differ from commit order by so much */

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

static struct part *find_part(const struct foreign_feed *feed, const char *topic, int32_t partition)
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
};

static void note_topic(void *ctx, const struct journal_stream_info *info)
{
    struct listing *l = ctx;
    const char *ends = l->feed->set->transaction_topic;
    l->many_ends |= ends != NULL && strcmp(ends, info->name) == 0 && info->partition_count > 1;
    for (int32_t p = 0; p < info->partition_count; p++) {
        if (find_part(l->feed, info->name, p) != NULL)
            continue;
        l->found = xrealloc(l->found, (l->count + 1) * sizeof *l->found);
        l->found[l->count++] = (struct part){.topic = xstrdup(info->name), .partition = p};
    }
}

/* A topic is read from its beginning, which must still be there. */
static bool take_up(struct foreign_feed *feed, const struct part *found, struct err *err)
{
    uint64_t first, next;
    if (!journal_bounds(feed->reader, found->topic, found->partition, &first, &next, err))
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
    for (size_t i = 0; i < l.count; i++) {
        ok = ok && take_up(feed, &l.found[i], err);
        free(l.found[i].topic);
    }
    free(l.found);
    feed->listed_us = clock_mono_us();
    return ok;
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

static bool assign(struct foreign_feed *feed, struct err *err)
{
    struct journal_range *ranges = xcalloc(feed->part_count + 1, sizeof *ranges);
    size_t count = 0;
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        if (!p->paused)
            ranges[count++] = (struct journal_range){.stream = p->topic,
                                                     .partition = p->partition,
                                                     .first_offset = p->scan,
                                                     .next_offset = JOURNAL_FOLLOW};
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

bool foreign_feed_open(const struct foreign_settings *set, struct foreign_decoder *dec, uint64_t fence_id,
                       const char *state, struct foreign_feed **ret, struct err *err)
{
    struct foreign_feed *feed = xcalloc(1, sizeof *feed);
    feed->set = set;
    feed->dec = dec;
    feed->last_id = feed->taken_id = fence_id;
    arena_init(&feed->arena, (size_t)1 << 20, RECORD_MEMORY);
    if ((state != NULL && !foreign_state_read(feed, state, err)) ||
        !journal_reader_open(&set->journal, NULL, &feed->reader, err) || !list_topics(feed, err)) {
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

static int compare(const struct place *a, uint64_t major, uint64_t minor)
{
    if (a->major != major)
        return a->major < major ? -1 : 1;
    return a->minor < minor ? -1 : a->minor > minor;
}

/* A new snapshot: the stream behind it may begin anywhere. Rows that were deleted meanwhile are in no record. */
static void begin_snapshot(struct part *p)
{
    if (p->seen.time_us != 0)
        log_event(LOG_LEVEL_WARN, "snapshot_again",
                  "topic=%s partition=%d text=\"the connector makes a new snapshot into topics that it "
                  "streamed to: rows "
                  "that were deleted on the source since its stream ended stay on the target\"",
                  p->topic, (int)p->partition);
    p->seen = (struct place){.major = 0};
}

/* Was this change delivered before? Keeps the place. */
static bool came_before(struct part *p, const struct foreign_event *ev, bool *ret_before, struct err *err)
{
    const struct change *chg = &ev->change;
    uint64_t major = chg->source.commit_lsn, minor = chg->total_order;
    int64_t us = chg->source.commit_time_us;
    *ret_before = false;
    if (chg->op == CHANGE_READ) {
        if (chg->source.snapshot == SNAPSHOT_TRUE && ev->transaction == 0 && !ev->incremental)
            begin_snapshot(p);
        return true;
    }
    int order = p->seen.time_us == 0 ? -1 : compare(&p->seen, major, minor);
    if (order > 0 && us > p->seen.time_us + BACKWARDS_US)
        return err_set(
            err, ERR_IDENTITY,
            "the change was committed later than the one before it, but stands before it in the source's "
            "log: "
            "the connector reads another server now, or one whose log was reset. Let it make a new snapshot "
            "under another topic.prefix, for a new pipeline");
    if (order > 0 && !p->rewound) {
        p->rewound = true;
        p->ties_left = p->seen.ties;
    }
    bool unique =
        ev->transaction != 0; /* ordinals are; a place in the log is shared by the rows of a COPY, and by both
                                           halves of a key change */
    *ret_before = order > 0 || (order == 0 && (unique || (p->rewound && p->ties_left > 0)));
    if (order == 0 && p->rewound && p->ties_left > 0)
        p->ties_left--;
    if (*ret_before)
        return true;
    p->rewound = p->rewound && order == 0;
    uint64_t ties = order == 0 ? p->seen.ties + 1 : 1;
    p->seen = (struct place){.major = major, .minor = minor, .time_us = MAX_OF(us, 1), .ties = ties};
    return true;
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
    const struct part *p = find_part(feed, rec->stream, rec->partition);
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

/* The record goes on with the last segment, or begins one. */
static void add_change(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev)
{
    uint64_t transaction = feed->set->transaction_topic != NULL ? ev->transaction : 0;
    const char *collection = transaction != 0 ? foreign_intern(feed, ev->collection) : NULL;
    struct segment *s = last_segment(p);
    bool fits = s->transaction == transaction && s->collection == collection &&
                (transaction != 0 || s->changes < SEGMENT_MAX);
    if (!fits && s->changes > 0)
        s = add_segment(p);
    s->transaction = transaction;
    s->collection = collection;
    s->changes++;
    s->place = p->seen;
    s->newest = MAX_OF(s->newest, MAX_OF(ev->change.source.lsn, ev->change.source.commit_lsn));
    s->time_us = MAX_OF(s->time_us, ev->change.source.commit_time_us);
    s->streamed |=
        ev->change.op != CHANGE_READ || ev->change.source.snapshot == SNAPSHOT_LAST || ev->incremental;
    if (ev->half && ev->other_key != NULL)
        s->halves += ev->change.op == CHANGE_DELETE ? 1 : -1;
}

/* --- ends of transactions --- */

static bool is_repeated(struct foreign_feed *feed, const struct foreign_event *ev, bool *ret, struct err *err)
{
    struct domain *d;
    if (!foreign_domain(&feed->domains, ev->domain, &d))
        return err_set(err, ERR_UNSUPPORTED, "more than %d GTID domains", DOMAINS_MAX);
    *ret = ev->order <= d->order;
    d->order = MAX_OF(d->order, ev->order);
    return true;
}

static bool add_end(struct foreign_feed *feed, const struct foreign_event *ev, uint64_t next, struct err *err)
{
    bool repeated = false;
    if (!is_repeated(feed, ev, &repeated, err))
        return false;
    if (repeated || ev->count_count == 0 || ev->transaction == feed->last_alone)
        return true;
    if (feed->end_head + feed->end_count == feed->end_cap) {
        if (feed->end_head > 0) {
            memmove(feed->ends, feed->ends + feed->end_head, feed->end_count * sizeof *feed->ends);
            feed->end_head = 0;
        }
        if (feed->end_count == feed->end_cap) {
            feed->end_cap = feed->end_cap == 0 ? 64 : 2 * feed->end_cap;
            feed->ends = xrealloc(feed->ends, feed->end_cap * sizeof *feed->ends);
        }
    }
    struct end *e = &feed->ends[feed->end_head + feed->end_count++];
    *e = (struct end){.transaction = ev->transaction,
                      .domain = ev->domain,
                      .order = ev->order,
                      .end_us = ev->end_us,
                      .next = next,
                      .counts = xcalloc(ev->count_count, sizeof *e->counts),
                      .count_count = ev->count_count};
    for (size_t i = 0; i < ev->count_count; i++)
        e->counts[i] = (struct foreign_count){.collection = foreign_intern(feed, ev->counts[i].collection),
                                              .changes = ev->counts[i].changes};
    return true;
}

static void add_alone(struct foreign_feed *feed, const struct foreign_event *ev)
{
    if (feed->alone_count == feed->alone_cap) {
        feed->alone_cap = feed->alone_cap == 0 ? 4 : 2 * feed->alone_cap;
        feed->alone = xrealloc(feed->alone, feed->alone_cap * sizeof *feed->alone);
    }
    struct end *e = &feed->alone[feed->alone_count++];
    *e = (struct end){.transaction = ev->transaction,
                      .domain = ev->domain,
                      .order = ev->order,
                      .end_us = ev->change.source.commit_time_us,
                      .counts = xcalloc(1, sizeof *e->counts),
                      .count_count = 1};
    e->counts[0] = (struct foreign_count){.collection = foreign_intern(feed, ev->collection), .changes = 1};
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
    if (ev->key != NULL || ev->change.op == CHANGE_TRUNCATE || find_part(feed, p->topic, 1) == NULL)
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
    bool before = false;
    if (!one_producer(feed, ev, err) || !check_order(feed, ev, err) || !check_partitions(feed, p, ev, err) ||
        !came_before(p, ev, &before, err))
        return false;
    if (before)
        return add_gap(p, offset, err);
    add_change(feed, p, ev);
    if (ev->alone && feed->set->transaction_topic != NULL)
        add_alone(feed, ev);
    return true;
}

static bool scan_record(struct foreign_feed *feed, const struct journal_record *rec, struct err *err)
{
    struct part *p = find_part(feed, rec->stream, rec->partition);
    struct foreign_record fr = foreign_record_of(rec);
    struct foreign_event ev;
    bool ok = p != NULL && rec->offset >= p->scan;
    if (!ok)
        return p != NULL || err_set(err, ERR_BUG, "a record of a topic that was not asked for");
    arena_clear(&feed->arena);
    ok = foreign_decode(feed->dec, &fr, &feed->arena, &ev, err);
    if (ok && p->ends && ev.kind == FOREIGN_END)
        ok = add_end(feed, &ev, rec->offset + 1, err);
    else if (ok && !p->ends && ev.kind == FOREIGN_CHANGE)
        ok = scan_change(feed, p, &ev, rec->offset, err);
    if (!ok)
        return err_wrap(err, "topic=%s partition=%d offset=%llu", rec->stream, (int)rec->partition,
                        (unsigned long long)rec->offset);
    p->scan = rec->offset + 1;
    if (!p->ends)
        last_segment(p)->next = p->scan;
    return true;
}

/* Nobody is there to be waited for. */
static void pause_ms(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&ts, NULL);
}

static bool scan(struct foreign_feed *feed, int timeout_ms, struct err *err)
{
    struct journal_record rec;
    feed->idle = false;
    for (size_t n = 0; n < READ_AT_ONCE; n++) {
        enum journal_next got = journal_next(feed->reader, n == 0 ? timeout_ms : 0, &rec, err);
        if (got == JOURNAL_ERROR)
            return false;
        if (got != JOURNAL_RECORD) {
            feed->idle = true;
            if (feed->idle_since_us == 0)
                feed->idle_since_us = clock_mono_us();
            if (got == JOURNAL_END)
                pause_ms(timeout_ms);
            return true;
        }
        feed->idle_since_us = 0;
        if (!scan_record(feed, &rec, err))
            return false;
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
    if (clock_mono_us() - feed->listed_us > LIST_EVERY_US && !list_topics(feed, err))
        return false;
    pause_parts(feed);
    return (feed->assigned || assign(feed, err)) && scan(feed, timeout_ms, err) &&
           foreign_cut(feed, ret, ret_ready, err);
}

const char *foreign_feed_notice(const struct foreign_feed *feed)
{
    return feed->notice;
}
