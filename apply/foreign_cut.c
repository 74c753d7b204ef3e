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
#define FREE_CHANGES_MIN 4000 /* before all is read */
#define HALVES_WAIT_US   2000000
#define TELL_AFTER_US    10000000
#define QUIET_US         1000000

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
    *ret = (struct fence){.format = FENCE_FORMAT,
                          .kind = kind,
                          .id = ++feed->last_id,
                          .attempt = 1,
                          .pipeline = xstrdup(feed->set->journal.pipeline),
                          .source_system_id = system_id(feed),
                          .lsn = feed->lsn,
                          .commit_time_us = feed->commit_us,
                          .written_us = clock_wall_us(),
                          .complete = feed->complete};
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
        feed->streamed |= s->streamed;
    }
    p->head += count;
    p->count -= count;
    fence->ranges[fence->range_count++] = (struct fence_range){
        .stream = xstrdup(p->topic), .partition = p->partition, .first_offset = p->cut, .next_offset = next};
    add_mark(feed, &(struct mark){.fence_id = fence->id, .part = index, .next = next, .place = place});
    p->cut = next;
}

static void make_fence(struct foreign_feed *feed, const struct cutting *c, bool whole, struct fence *ret)
{
    begin_fence(feed, FENCE_STREAM, ret);
    ret->ranges = xcalloc(feed->part_count + 1, sizeof *ret->ranges);
    for (size_t i = 0; i < feed->part_count; i++) {
        if (c->takes[i] > 0)
            take_segments(feed, i, c->takes[i], ret);
    }
    feed->complete |= feed->streamed && (whole || feed->idle);
    ret->lsn = feed->lsn;
    ret->commit_time_us = feed->commit_us;
    ret->complete = feed->complete;
    ret->source_system_id = system_id(feed);
}

/* --- records of no transaction: rows of a snapshot, or all when there is no transaction topic --- */

static void collect_free(const struct foreign_feed *feed, struct cutting *c)
{
    for (size_t i = 0; i < feed->part_count; i++) {
        const struct part *p = &feed->parts[i];
        size_t last = 0;
        for (size_t k = 0; k < p->count && segment_at(p, k)->transaction == 0; k++) {
            const struct segment *s = segment_at(p, k);
            if (s->changes == 0 || (c->changes > 0 && c->changes + s->changes > FREE_CHANGES_MAX))
                continue;
            c->changes += s->changes;
            c->halves += s->halves;
            last = k + 1;
        }
        c->takes[i] = last;
    }
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

/* Its topic is read, or will be as soon as it is there. */
static bool is_ours(const struct foreign_feed *feed, const char *collection)
{
    if (strncmp(collection, "io.debezium.", 12) == 0 || feed->server == NULL)
        return feed->server == NULL; /* a logical message, which an END counts as well */
    char *topic CLEANUP(free_ptr) = topic_name_of(feed->server, collection);
    return journal_foreign_fits(feed->set->patterns, topic);
}

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
            found += s->collection == collection ? s->changes : 0;
            c->takes[i] = MAX_OF(c->takes[i], k + 1);
        }
    }
    return found;
}

static void tell_waiting(struct foreign_feed *feed, const struct foreign_count *count, uint64_t found)
{
    int64_t now_us = clock_mono_us();
    if (feed->waiting_since_us == 0)
        feed->waiting_since_us = now_us;
    if (now_us - feed->waiting_since_us < TELL_AFTER_US || now_us - feed->told_us < TELL_AFTER_US)
        return;
    feed->told_us = now_us;
    (void)snprintf(
        feed->notice, sizeof feed->notice,
        "waits for records of a transaction: the transaction topic tells %llu changes of %.200s, the topics "
        "have given %llu: did a transformation take records out, or a topic lose some?",
        (unsigned long long)count->changes, count->collection, (unsigned long long)found);
    log_event(LOG_LEVEL_WARN, "transaction_incomplete", "text=\"%s\"", feed->notice);
}

static bool is_whole(struct foreign_feed *feed, const struct end *e, struct cutting *c, bool *ret,
                     bool *ret_any, struct err *err)
{
    *ret = true;
    *ret_any = false;
    for (size_t i = 0; i < e->count_count; i++) {
        const struct foreign_count *count = &e->counts[i];
        uint64_t found = count_found(feed, e, count->collection, c);
        *ret_any |= found > 0;
        if (found > count->changes)
            return err_set(
                err, ERR_PROTOCOL,
                "topic=%s offset=%llu: the transaction's end tells %llu changes of %.200s, the topics hold "
                "%llu: another producer writes to them",
                feed->set->transaction_topic, (unsigned long long)e->next - 1,
                (unsigned long long)count->changes, count->collection, (unsigned long long)found);
        if (found == count->changes || (found == 0 && !is_ours(feed, count->collection)))
            continue;
        tell_waiting(feed, count, found);
        *ret = false;
        return true;
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

/* A transaction without END comes before the next that has one; or when nothing else has come for a while. */
static struct end *next_end(struct foreign_feed *feed)
{
    struct end *head = feed->end_count > 0 ? &feed->ends[feed->end_head] : NULL;
    struct end *alone = first_alone(feed, head);
    if (alone == NULL)
        return head;
    bool quiet = feed->idle && feed->idle_since_us != 0 && clock_mono_us() - feed->idle_since_us > QUIET_US;
    bool first = head != NULL ? alone->domain != head->domain || alone->order < head->order : quiet;
    return first ? alone : head;
}

static void cut_end(struct foreign_feed *feed, struct end *e, struct cutting *c, struct fence *ret)
{
    size_t at = ends_part(feed);
    make_fence(feed, c, true, ret);
    ret->transactions = 1;
    ret->commit_time_us = feed->commit_us = MAX_OF(feed->commit_us, e->end_us);
    struct mark mark = {
        .fence_id = ret->id, .part = at, .next = e->next, .domain = e->domain, .order = e->order};
    if (e->next != 0)
        add_mark(feed, &mark);
    else
        feed->last_alone = e->transaction;
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
        if (!any) { /* of tables that are not read */
            drop_end(feed, e);
            continue;
        }
        cut_end(feed, e, c, ret);
        *ret_ready = true;
    }
    return true;
}

bool foreign_cut(struct foreign_feed *feed, struct fence *ret, bool *ret_ready, struct err *err)
{
    *ret_ready = false;
    if (feed->last_id == 0) {
        begin_fence(feed, FENCE_SNAPSHOT_BEGIN, ret);
        *ret_ready = true;
        return true;
    }
    struct cutting c = {.takes = xcalloc(feed->part_count + 1, sizeof *c.takes)};
    bool ok = true;
    *ret_ready = cut_free(feed, &c, ret);
    if (!*ret_ready && feed->set->transaction_topic != NULL)
        ok = cut_whole(feed, &c, ret, ret_ready, err);
    free(c.takes);
    return ok;
}
