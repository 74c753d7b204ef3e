/* Assigning ranges to the Kafka journal's reader: what flows on from the last assignment, and what is set up
 * anew. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal/kafka/reader.h"

/* A position this far before a range is read through; further, the fetch is set up anew. */
#define NEAR_OFFSETS    1000
#define LOOKUP_US       300000
#define BEHIND_TRIES    30
#define BEHIND_PAUSE_MS 100
/* Fetching ahead goes on this long after the last range was read. */
#define QUIET_STOP_US 2000000

/* --- the list --- */

static void activate(struct kafka_reader *r, size_t index)
{
    if (r->active_count == r->active_cap) {
        r->active_cap = r->active_cap != 0 ? r->active_cap * 2 : 16;
        r->active = xrealloc(r->active, r->active_cap * sizeof *r->active);
    }
    r->active[r->active_count++] = index;
    r->parts[index].active = true;
}

static void forget_ranges(struct kafka_reader *r)
{
    for (size_t i = 0; i < r->active_count; i++)
        r->parts[r->active[i]].active = false;
    r->active_count = r->turn = r->waiting_topics = 0;
}

static bool add_range(struct kafka_reader *r, const struct journal_range *range, struct err *err)
{
    if (range->first_offset == range->next_offset)
        return true;
    bool follow = range->next_offset == JOURNAL_FOLLOW &&
                  kafka_kind_of(r->config.topic_prefix, range->stream) == STREAM_FOREVER;
    struct kafka_part *p = kafka_part_find(r, range->stream, range->partition, follow, err);
    if (p == NULL)
        return false;
    if (!p->active) {
        p->first = range->first_offset;
        p->end = range->next_offset;
        p->span_count = p->span_at = 0;
        kafka_part_add_span(p, range);
        activate(r, (size_t)(p - r->parts));
        return true;
    }
    /* Between units control records take offsets: the next one begins a little later. */
    if (range->first_offset < p->end)
        return err_set(err, ERR_BUG,
                       "kafka journal: two ranges of topic=%s partition=%d overlap or are out of order",
                       range->stream, (int)range->partition);
    p->end = range->next_offset;
    kafka_part_add_span(p, range);
    return true;
}

/* --- is it there? --- */

/* Earliest, or latest (last stable), offsets of some parts, by one request to each leader. */
static bool query(struct kafka_reader *r, const size_t *which, size_t count, int64_t logical, uint64_t *ret,
                  struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        const struct kafka_part *p = &r->parts[which[i]];
        rd_kafka_topic_partition_list_add(list, p->stream, p->partition)->offset = logical;
    }
    rd_kafka_resp_err_t code;
    int64_t until_us = clock_mono_us() + KAFKA_LEADER_WAIT_US;
    do
        code = rd_kafka_offsets_for_times(r->data.rk, list, KAFKA_REQUEST_MS);
    while (kafka_leader_awaited(code, until_us));
    bool ok =
        code == RD_KAFKA_RESP_ERR_NO_ERROR || kafka_fail(&r->data, code, "asking for offsets", NULL, err);
    for (size_t i = 0; ok && i < count; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        if (tp->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            ok = kafka_part_fail(r, &r->parts[which[i]], tp->err, NULL, err);
        else
            ret[i] = tp->offset < 0 ? 0 : (uint64_t)tp->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}

static bool all_within(struct kafka_reader *r, const size_t *which, size_t count, const uint64_t *low,
                       const uint64_t *high, bool last_try, bool *ret_behind, struct err *err)
{
    *ret_behind = false;
    for (size_t i = 0; i < count; i++) {
        const struct kafka_part *p = &r->parts[which[i]];
        bool behind = p->first > high[i] && !last_try;
        if (!behind && !kafka_part_within(r, p, p->first, low[i], high[i], err))
            return false;
        *ret_behind = *ret_behind || behind;
    }
    return true;
}

/* A leader that changed just now may know less for a moment: asked again for a few seconds. */
static bool check_positions(struct kafka_reader *r, const size_t *which, size_t count, struct err *err)
{
    uint64_t *low = xcalloc(count, sizeof *low), *high = xcalloc(count, sizeof *high);
    bool ok = true, behind = count > 0;
    for (int attempt = 0; ok && behind; attempt++) {
        if (attempt > 0)
            (void)poll(NULL, 0, BEHIND_PAUSE_MS);
        ok = query(r, which, count, RD_KAFKA_OFFSET_BEGINNING, low, err) &&
             query(r, which, count, RD_KAFKA_OFFSET_END, high, err) &&
             all_within(r, which, count, low, high, attempt == BEHIND_TRIES, &behind, err);
    }
    free(low);
    free(high);
    return ok;
}

static bool is_there(struct kafka_reader *r, const struct kafka_part *p, bool *ret, struct err *err)
{
    int32_t count = 0;
    if (!kafka_topic_lookup(&r->data, p->stream, &count, err))
        return false;
    *ret = p->partition < count;
    if (*ret || p->first == 0)
        return true;
    return kafka_part_within(r, p, p->first, 0, 0, err);
}

/* --- starting --- */

static bool near(const struct kafka_part *p)
{
    return p->known && p->position <= p->first && p->first - p->position <= NEAR_OFFSETS;
}

/* Starts the parts that are there; the others wait for their topic. */
static bool start_some(struct kafka_reader *r, const size_t *which, size_t count, struct err *err)
{
    size_t *check = xcalloc(count, sizeof *check), check_count = 0;
    bool ok = true;
    r->waiting_topics = 0;
    for (size_t i = 0; ok && i < count; i++) {
        struct kafka_part *p = &r->parts[which[i]];
        bool there = p->known;
        if (near(p)) { /* where the reader stood: needs no questions */
            ok = kafka_part_start(r, p, err);
            continue;
        }
        ok = there || is_there(r, p, &there, err);
        if (ok && there)
            check[check_count++] = which[i];
        r->waiting_topics += ok && !there;
    }
    ok = ok && check_positions(r, check, check_count, err);
    for (size_t i = 0; ok && i < check_count; i++)
        ok = kafka_part_start(r, &r->parts[check[i]], err);
    free(check);
    r->lookup_after_us = clock_mono_us() + LOOKUP_US;
    return ok;
}

static bool start_all(struct kafka_reader *r, bool waiting_only, struct err *err)
{
    size_t *which = xcalloc(r->active_count, sizeof *which), count = 0;
    for (size_t i = 0; i < r->active_count; i++) {
        const struct kafka_part *p = &r->parts[r->active[i]];
        bool flows_on = p->started && (waiting_only || near(p));
        if (!flows_on)
            which[count++] = r->active[i];
    }
    bool ok = count == 0 || start_some(r, which, count, err);
    free(which);
    return ok;
}

bool kafka_reader_start_waiting(struct kafka_reader *r, struct err *err)
{
    return r->waiting_topics == 0 || clock_mono_us() < r->lookup_after_us || start_all(r, true, err);
}

bool kafka_reader_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                         struct err *err)
{
    struct kafka_reader *r = (struct kafka_reader *)jr;
    if (r->held != NULL)
        rd_kafka_message_destroy(r->held);
    r->held = NULL;
    forget_ranges(r);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = add_range(r, &ranges[i], err);
    if (ok && start_all(r, false, err))
        return true;
    forget_ranges(r);
    return false;
}

void kafka_reader_stop_quiet(struct kafka_reader *r)
{
    bool fetching = false;
    for (size_t i = 0; i < r->active_count; i++) {
        if (!r->parts[r->active[i]].follow)
            return;
    }
    for (size_t i = 0; i < r->part_count && !fetching; i++)
        fetching = r->parts[i].started && !r->parts[i].follow;
    int64_t now_us = clock_mono_us();
    if (!fetching || r->quiet_since_us == 0)
        r->quiet_since_us = fetching ? now_us : 0;
    if (!fetching || now_us - r->quiet_since_us < QUIET_STOP_US)
        return;
    for (size_t i = 0; i < r->part_count; i++) {
        if (!r->parts[i].follow && !r->parts[i].active)
            kafka_part_stop(&r->parts[i]);
    }
    r->quiet_since_us = 0;
}
