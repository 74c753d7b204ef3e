/* Owns: where fences are cut in Debezium's topics. See foreign.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/foreign_internal.h"
#include "apply/hash.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"

#define FREE_CHANGES_MAX 20000
#define FREE_CHANGES_TOP 200000 /* for the other half of a key change */
#define FREE_CHANGES_MIN 4000   /* before all is read */
#define HALVES_WAIT_US   2000000
#define TELL_AFTER_US    10000000
#define QUIET_US         1000000
#define GIVE_UP_US       60000000
#define SETTLE_US        2000000

/* What of the partitions' segments a fence takes: so many of each, from the head on. */
struct cutting {
    size_t *takes;
    uint64_t changes;
    int halves;
};

static struct segment *segment_at(const struct part *p, size_t index)
{
    return &p->segments[p->head + index];
}

static void add_mark(struct foreign_feed *feed, const struct mark *mark)
{
    if (feed->mark_head + feed->mark_count == feed->mark_cap) {
        if (feed->mark_head > feed->mark_cap / 2) {
            memmove(feed->marks, feed->marks + feed->mark_head, feed->mark_count * sizeof *feed->marks);
            feed->mark_head = 0;
        } else {
            feed->mark_cap = feed->mark_cap == 0 ? 64 : 2 * feed->mark_cap;
            feed->marks = xrealloc(feed->marks, feed->mark_cap * sizeof *feed->marks);
        }
    }
    feed->marks[feed->mark_head + feed->mark_count++] = *mark;
}

/* A pipeline's source, as a number. */
static uint64_t system_id(const struct foreign_feed *feed)
{
    if (feed->server == NULL)
        return 0;
    return hash_mix(hash_bytes(feed->server, strlen(feed->server)),
                    hash_bytes(feed->connector, strlen(feed->connector))) >>
           1;
}

static void begin_fence(struct foreign_feed *feed, enum fence_kind kind, struct fence *ret)
{
    const struct snapshot *snap = foreign_snapshot(feed, feed->last_id + 1);
    *ret = (struct fence){.format = FENCE_FORMAT,
                          .kind = kind,
                          .id = ++feed->last_id,
                          .attempt = snap != NULL ? snap->attempt : 1,
                          .pipeline = xstrdup(feed->set->journal.pipeline),
                          .source_system_id = system_id(feed),
                          .lsn = feed->lsn,
                          .commit_time_us = feed->commit_us,
                          .written_us = clock_wall_us(),
                          .complete = feed->complete};
}

/* Behind what the fence takes of a partition there may be nothing but records without changes (tombstones, heartbeats), and offsets of none:
 * they may expire, and shards that stand at one place are to say so. Of the transaction topic: when no transaction is under way. */
static bool has_rest(const struct foreign_feed *feed, const struct part *p, size_t taken)
{
    if (p->scan < p->warm_until)
        return false;
    if (p->ends)
        return p->scan > p->cut && feed->end_count == 0 && feed->begun_count == 0 && feed->alone_count == 0;
    return taken < p->count && segment_at(p, taken)->changes == 0 && segment_at(p, taken)->next > p->cut;
}

/* Takes the first segments of a partition into the fence. */
static void take_segments(struct foreign_feed *feed, size_t index, size_t count, struct fence *fence)
{
    struct part *p = &feed->parts[index];
    struct place place = {0};
    uint64_t next = p->cut;
    for (size_t i = 0; i < count; i++) {
        const struct segment *s = segment_at(p, i);
        next = s->next;
        place = s->changes > 0 ? s->place : place;
        fence->changes += s->changes;
        feed->lsn = MAX_OF(feed->lsn, s->newest);
        feed->commit_us = MAX_OF(feed->commit_us, s->time_us);
        if (s->streamed && !feed->streamed)
            feed->streamed_from = fence->id;
        feed->streamed |= s->streamed;
    }
    if (count > 0)
        fence->ranges[fence->range_count++] = (struct fence_range){.stream = xstrdup(p->topic),
                                                                   .partition = p->partition,
                                                                   .first_offset = p->cut,
                                                                   .next_offset = next};
    if (has_rest(feed, p, count)) {
        next = p->ends ? p->scan : segment_at(p, count)->next;
        count += !p->ends;
    }
    p->head += count;
    p->count -= count;
    add_mark(feed, &(struct mark){.fence_id = fence->id, .part = index, .next = next, .place = place});
    p->cut = next;
}

static void make_fence(struct foreign_feed *feed, const struct cutting *c, bool whole, struct fence *ret)
{
    begin_fence(feed, FENCE_STREAM, ret);
    ret->ranges = xcalloc(feed->part_count + 1, sizeof *ret->ranges);
    for (size_t i = 0; i < feed->part_count; i++) {
        if (c->takes[i] > 0 || has_rest(feed, &feed->parts[i], 0))
            take_segments(feed, i, c->takes[i], ret);
    }
    bool complete = feed->streamed && (whole || feed->idle);
    if (complete && !feed->complete)
        feed->complete_from = ret->id;
    feed->complete |= complete;
    feed->told_parts = feed->part_count;
    ret->lsn = feed->lsn;
    ret->commit_time_us = feed->commit_us;
    ret->complete = feed->complete;
    ret->source_system_id = system_id(feed);
}

/* --- records of no transaction: rows of a snapshot, or all when there is no transaction topic --- */

/* The partition's next changes; false: there are none, or too many. */
static bool collect_next(const struct foreign_feed *feed, size_t index, uint64_t most, struct cutting *c)
{
    const struct part *p = &feed->parts[index];
    size_t k = c->takes[index];
    while (k < p->count && segment_at(p, k)->changes == 0)
        k++;
    const struct segment *s = k < p->count ? segment_at(p, k) : NULL;
    if (s == NULL || (s->transaction != 0 && !foreign_is_late(feed, s->transaction)) ||
        (c->changes > 0 && c->changes + s->changes > most))
        return false;
    c->changes += s->changes;
    c->halves += s->halves;
    c->takes[index] = k + 1;
    return true;
}

/* Of all partitions in turn, another one first each time. till_even: until no key change is taken by half. */
static void collect(const struct foreign_feed *feed, uint64_t most, bool till_even, struct cutting *c)
{
    size_t n = feed->part_count;
    for (bool any = true; any;) {
        any = false;
        for (size_t i = 0; i < n; i++) {
            if (till_even && c->halves == 0)
                return;
            any |= collect_next(feed, (size_t)((feed->last_id + i) % n), most, c);
        }
    }
}

static void collect_free(const struct foreign_feed *feed, struct cutting *c)
{
    collect(feed, FREE_CHANGES_MAX, false, c);
    if (c->halves == 0 || feed->set->transaction_topic != NULL)
        return;
    struct cutting more = *c;
    more.takes = xcalloc(feed->part_count + 1, sizeof *more.takes);
    memcpy(more.takes, c->takes, feed->part_count * sizeof *more.takes);
    collect(feed, FREE_CHANGES_TOP, true, &more);
    if (more.halves == 0) {
        memcpy(c->takes, more.takes, feed->part_count * sizeof *more.takes);
        c->changes = more.changes;
        c->halves = 0;
    }
    free(more.takes);
}

/* Both halves of a key change belong together; but a half whose other one was never written holds nobody up for long. */
static bool halves_together(struct foreign_feed *feed, const struct cutting *c)
{
    int64_t now_us = clock_mono_us();
    if (c->halves == 0 || feed->set->transaction_topic != NULL)
        feed->halves_since_us = 0;
    else if (feed->halves_since_us == 0)
        feed->halves_since_us = now_us;
    return feed->halves_since_us == 0 || now_us - feed->halves_since_us > HALVES_WAIT_US;
}

static bool cut_free(struct foreign_feed *feed, struct cutting *c, struct fence *ret)
{
    collect_free(feed, c);
    bool enough = c->changes >= FREE_CHANGES_MIN || feed->idle;
    bool ended = feed->streamed && feed->idle && !feed->complete; /* only that is to be told */
    if ((c->changes == 0 && !ended) || !enough || !halves_together(feed, c))
        return false;
    make_fence(feed, c, false, ret);
    ret->transactions = 0;
    return true;
}

/* --- whole transactions --- */

/* So many leading segments of each partition are of the transaction. */
static uint64_t count_found(const struct foreign_feed *feed, const struct end *e, const char *collection,
                            struct cutting *c)
{
    uint64_t found = 0;
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        size_t k = 0;
        while (k < p->count && segment_at(p, k)->transaction == 0 && segment_at(p, k)->changes == 0)
            k++;
        for (; k < p->count && segment_at(p, k)->transaction == e->transaction; k++) {
            const struct segment *s = segment_at(p, k);
            found += collection == NULL || s->collection == collection ? s->changes : 0;
            c->takes[i] = MAX_OF(c->takes[i], k + 1);
        }
    }
    return found;
}

/* The first change of another transaction than this one that stands in its way; NULL = none. */
static const struct part *first_blocked(const struct foreign_feed *feed, uint64_t transaction)
{
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        size_t k = 0;
        while (k < p->count && segment_at(p, k)->changes == 0)
            k++;
        if (k < p->count && segment_at(p, k)->transaction != 0 &&
            segment_at(p, k)->transaction != transaction)
            return p;
    }
    return NULL;
}

/* Sets the notice when it has been so for a while. */
static bool waits_long(struct foreign_feed *feed)
{
    int64_t now_us = clock_mono_us();
    if (feed->waiting_since_us == 0)
        feed->waiting_since_us = now_us;
    if (now_us - feed->waiting_since_us < TELL_AFTER_US || now_us - feed->told_us < TELL_AFTER_US)
        return false;
    feed->told_us = now_us;
    return true;
}

static void tell_waiting(struct foreign_feed *feed, const struct foreign_count *count, uint64_t found)
{
    if (!waits_long(feed))
        return;
    (void)snprintf(
        feed->notice, sizeof feed->notice,
        "waits for records of a transaction: the transaction topic tells %llu changes of %.200s, the topics "
        "have given %llu: did a transformation take records out, or a topic lose some?",
        (unsigned long long)count->changes, count->collection, (unsigned long long)found);
    log_event(LOG_LEVEL_WARN, "transaction_incomplete", "text=\"%s\"", feed->notice);
}

/* Changes of a transaction whose END is not there (yet: the connector may be in the middle of it). */
static void tell_open(struct foreign_feed *feed)
{
    const struct part *p = first_blocked(feed, 0);
    if (p == NULL) {
        feed->waiting_since_us = 0;
        feed->notice[0] = '\0';
        return;
    }
    if (!feed->idle || !waits_long(feed))
        return;
    (void)snprintf(feed->notice, sizeof feed->notice,
                   "waits for the end of a transaction: topic=%.200s partition=%d offset=%llu: %.100s has no "
                   "END of it yet: "
                   "is the transaction long, or the connector stopped?",
                   p->topic, (int)p->partition, (unsigned long long)p->cut, feed->set->transaction_topic);
    log_event(LOG_LEVEL_WARN, "transaction_open", "text=\"%s\"", feed->notice);
}

/* An END is there, and in front of its changes stand those of a transaction without one: its END would have come before. */
static bool end_is_lost(struct foreign_feed *feed, const struct end *e, struct err *err)
{
    const struct part *p = first_blocked(feed, e->transaction);
    bool long_since = feed->waiting_since_us != 0 && clock_mono_us() - feed->waiting_since_us > GIVE_UP_US;
    if (p == NULL || !long_since || !feed->idle)
        return false;
    return !err_set(
        err, ERR_PROTOCOL,
        "topic=%s partition=%d offset=%llu: the change is of a transaction whose END is not in %s, though "
        "that "
        "tells the END of a later one (offset=%llu): records of the transaction topic are lost, or an END "
        "was "
        "taken for one of tables that are not read (source.debezium.topics, source.debezium.collections)",
        p->topic, (int)p->partition, (unsigned long long)p->cut, feed->set->transaction_topic,
        (unsigned long long)e->next - 1);
}

/* Each partition has given changes of later transactions, or nothing for a while since this END. */
static bool is_settled(const struct foreign_feed *feed, const struct end *e)
{
    int64_t now_us = clock_mono_us();
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        size_t k = 0;
        while (k < p->count &&
               (segment_at(p, k)->transaction == e->transaction || segment_at(p, k)->changes == 0))
            k++;
        bool passed = p->ends || k < p->count;
        if (!passed && now_us - MAX_OF(p->read_us, e->seen_us) < SETTLE_US)
            return false;
    }
    return true;
}

static bool too_many(const struct foreign_feed *feed, const struct end *e, const struct foreign_count *count,
                     uint64_t found, struct err *err)
{
    return err_set(
        err, ERR_PROTOCOL,
        "topic=%s offset=%llu: the transaction's end tells %llu changes of %.200s, the topics hold "
        "%llu: another producer writes to them",
        feed->set->transaction_topic, (unsigned long long)e->next - 1, (unsigned long long)count->changes,
        count->collection, (unsigned long long)found);
}

/* A connector that was started again inside of the transaction counts only what it wrote then: what it wrote before is
 * there as well, and what it wrote twice was told and left out. */
static bool is_whole(struct foreign_feed *feed, const struct end *e, struct cutting *c, bool *ret,
                     bool *ret_any, struct err *err)
{
    bool quiet = (e->restarted || e->maybe_old) && is_settled(feed, e);
    *ret_any = count_found(feed, e, NULL, c) > 0;
    *ret = !e->restarted || quiet;
    for (size_t i = 0; i < e->count_count && *ret; i++) {
        const struct foreign_count *count = &e->counts[i];
        uint64_t found = count_found(feed, e, count->collection, c);
        if (found > count->changes && !e->restarted)
            return too_many(feed, e, count, found, err);
        if (found >= count->changes || (found == 0 && !foreign_is_read(feed, count->collection)))
            continue;
        bool may_be_done = e->maybe_old || foreign_is_late(feed, e->transaction);
        if (!*ret_any && may_be_done &&
            quiet) /* an END that was written again: its changes were passed over */
            return true;
        tell_waiting(feed, count, found);
        *ret = false;
        if (end_is_lost(feed, e, err))
            return false;
    }
    return true;
}

static size_t ends_part(const struct foreign_feed *feed)
{
    size_t i = 0;
    while (i < feed->part_count && !feed->parts[i].ends)
        i++;
    return i;
}

static void drop_end(struct foreign_feed *feed, struct end *e)
{
    free(e->counts);
    if (feed->end_count > 0 && e == &feed->ends[feed->end_head]) {
        feed->end_head++;
        feed->end_count--;
        return;
    }
    size_t at = (size_t)(e - feed->alone);
    feed->alone_count--;
    memmove(e, e + 1, (feed->alone_count - at) * sizeof *e);
}

/* What has an END after all needs none of ours. */
static struct end *first_alone(struct foreign_feed *feed, const struct end *head)
{
    struct end *first = NULL;
    for (size_t i = 0; i < feed->alone_count; i++) {
        struct end *e = &feed->alone[i];
        if (head != NULL && head->transaction == e->transaction) {
            drop_end(feed, e);
            i--;
        } else if (first == NULL || e->order < first->order) {
            first = e;
        }
    }
    return first;
}

/* A partition begins with changes of a transaction whose END is still to come: it may be an earlier one. */
static bool any_open(const struct foreign_feed *feed)
{
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        size_t k = 0, a = 0;
        while (k < p->count && segment_at(p, k)->changes == 0)
            k++;
        if (k == p->count || segment_at(p, k)->transaction == 0)
            continue;
        while (a < feed->alone_count && feed->alone[a].transaction != segment_at(p, k)->transaction)
            a++;
        if (a == feed->alone_count)
            return true;
    }
    return false;
}

/* The transaction's first segment in the partition; count = none. */
static size_t find_segment(const struct part *p, uint64_t transaction)
{
    size_t k = 0;
    while (k < p->count && segment_at(p, k)->transaction != transaction)
        k++;
    return k;
}

/* Of two domains, whose numbers tell nothing: by the places in the binlog. What is not read yet may be the earlier one. */
static bool stands_before(const struct foreign_feed *feed, uint64_t alone, uint64_t other)
{
    lsn_t at_alone = 0, at_other = 0;
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        size_t a = find_segment(p, alone), o = find_segment(p, other);
        if (a < p->count && o < p->count)
            return a < o;
        at_alone = a < p->count ? segment_at(p, a)->newest : at_alone;
        at_other = o < p->count ? segment_at(p, o)->newest : at_other;
    }
    return at_alone < at_other;
}

/* A transaction without END comes before the next that has one; or when nothing else has come for a while. */
static struct end *next_end(struct foreign_feed *feed)
{
    struct end *head = feed->end_count > 0 ? &feed->ends[feed->end_head] : NULL;
    struct end *alone = first_alone(feed, head);
    if (alone == NULL)
        return head;
    if (head != NULL && alone->domain != head->domain)
        return stands_before(feed, alone->transaction, head->transaction) ? alone : head;
    if (head != NULL)
        return alone->order < head->order ? alone : head;
    bool quiet = feed->idle && feed->idle_since_us != 0 && clock_mono_us() - feed->idle_since_us > QUIET_US;
    return quiet && !any_open(feed) ? alone : NULL;
}

static void cut_end(struct foreign_feed *feed, struct end *e, struct cutting *c, struct fence *ret)
{
    size_t at = ends_part(feed);
    make_fence(feed, c, true, ret);
    ret->transactions = 1;
    ret->commit_time_us = feed->commit_us = MAX_OF(feed->commit_us, e->end_us);
    struct mark mark = {
        .fence_id = ret->id, .part = at, .next = e->next, .domain = e->domain, .order = e->order};
    if (e->next != 0) {
        add_mark(feed, &mark);
        feed->parts[at].cut = MAX_OF(feed->parts[at].cut, e->next);
    } else {
        feed->last_alone = e->transaction;
    }
    drop_end(feed, e);
}

/* The next transaction whose changes are all there, if it is the next in order. */
static bool cut_whole(struct foreign_feed *feed, struct cutting *c, struct fence *ret, bool *ret_ready,
                      struct err *err)
{
    bool whole = true, any = false;
    for (struct end *e = next_end(feed); e != NULL && !any; e = any ? NULL : next_end(feed)) {
        memset(c->takes, 0, feed->part_count * sizeof *c->takes);
        if (!is_whole(feed, e, c, &whole, &any, err))
            return false;
        if (!whole)
            return true;
        feed->waiting_since_us = 0;
        feed->notice[0] = '\0';
        if (e->restarted) /* should more of it come, it goes by itself */
            foreign_late_add(feed, e->transaction, feed->last_id + 1);
        if (!any) { /* of tables that are not read */
            drop_end(feed, e);
            continue;
        }
        cut_end(feed, e, c, ret);
        *ret_ready = true;
    }
    return true;
}

/* --- what holds no change --- */

/* Nothing comes, and the target does not know all that was read: a fence that brings nothing but the place. */
static bool cut_rest(struct foreign_feed *feed, struct cutting *c, struct fence *ret)
{
    bool quiet = feed->idle && feed->idle_since_us != 0 && clock_mono_us() - feed->idle_since_us > QUIET_US;
    bool any = feed->part_count != feed->told_parts;
    for (size_t i = 0; quiet && !any && i < feed->part_count; i++)
        any = has_rest(feed, &feed->parts[i], 0);
    if (!quiet || !any)
        return false;
    memset(c->takes, 0, feed->part_count * sizeof *c->takes);
    make_fence(feed, c, false, ret);
    ret->transactions = 0;
    return true;
}

/* The first fence, and that of another attempt at the snapshot: what is on the target goes. */
static void begin_copy(struct foreign_feed *feed, struct fence *ret)
{
    for (size_t i = 0; i < feed->snapshot_count; i++) {
        struct snapshot *snap = &feed->snapshots[i];
        snap->from_fence = snap->from_fence == UINT64_MAX ? feed->last_id + 1 : snap->from_fence;
    }
    begin_fence(feed, FENCE_SNAPSHOT_BEGIN, ret);
    for (size_t i = 0; feed->reset_due && i < feed->part_count; i++) {
        if (!feed->parts[i].ends)
            add_mark(feed, &(struct mark){
                               .anew = true, .fence_id = ret->id, .part = i, .next = feed->parts[i].cut});
    }
    feed->reset_due = false;
}

bool foreign_cut(struct foreign_feed *feed, struct fence *ret, bool *ret_ready, struct err *err)
{
    *ret_ready = false;
    if (feed->last_id == 0 || feed->reset_due) {
        begin_copy(feed, ret);
        *ret_ready = true;
        return true;
    }
    struct cutting c = {.takes = xcalloc(feed->part_count + 1, sizeof *c.takes)};
    bool ok = true;
    *ret_ready = cut_free(feed, &c, ret);
    if (!*ret_ready && feed->set->transaction_topic != NULL)
        ok = cut_whole(feed, &c, ret, ret_ready, err);
    if (ok && !*ret_ready && feed->set->transaction_topic != NULL && feed->end_count == 0)
        tell_open(feed);
    if (ok && !*ret_ready)
        *ret_ready = cut_rest(feed, &c, ret);
    free(c.takes);
    return ok;
}
