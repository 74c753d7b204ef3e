/*
 * Owns: was this record of Debezium's delivered before? See foreign.h.
 *
 * A connector that is started again goes back to the place that it noted last, and writes again what came after. It
 * counts from 1 anew inside of a transaction, so ordinals tell nothing; what tells is the change's place in the
 * source's log. Places alone are not trusted: another server's log (a fail-over, a log that was reset) has places as
 * well. So what each partition has brought of late is remembered, and a record at an earlier place must be one of
 * those, followed by the others in the same order; anything else is a halt.
 */
#include <stdlib.h>
#include <string.h>

#include "apply/foreign_internal.h"
#include "apply/hash.h"
#include "core/alloc.h"
#include "core/log.h"

#define REMEMBER_MAX                                                                                         \
    2000000 /* changes, all partitions together; of one that is looked back in, for that time */
#define REMEMBER_LEAST 1000 /* of one */
#define REMEMBER_MOST  200000
#define TRUNCATES_MAX  1024
#define LOOK_NEAR      512
#define CLOCK_SLACK_US                                                                                       \
    2000000 /* a commit is seen a little after its time; MariaDB's times are whole seconds */
#define SNAPSHOTS_SPARED 16

/* --- places --- */

static uint64_t text_hash(const char *text)
{
    return hash_bytes(text, strlen(text));
}

static uint64_t row_hash(const struct table_schema *schema, const struct datum *row)
{
    uint64_t hash = 1;
    for (size_t i = 0; row != NULL && i < schema->field_count; i++) {
        const struct datum *d = &row[i];
        bool sized = schema->fields[i].phys >= PHYS_STRING;
        uint64_t bits = 0;
        if (d->state == DATUM_VALUE && !sized)
            memcpy(&bits, &d->i, sizeof bits);
        hash = hash_mix(hash_mix(hash, (uint64_t)d->state),
                        d->state == DATUM_VALUE && sized ? hash_bytes(d->s.p, d->s.len) : bits);
    }
    return hash;
}

/* What a change does, wherever it stands. */
static uint64_t content_of(const struct foreign_event *ev)
{
    const struct change *chg = &ev->change;
    uint64_t hash = hash_mix(text_hash(ev->collection), (uint64_t)chg->op);
    hash = hash_mix(hash, row_hash(chg->schema, chg->before));
    return hash_mix(hash, row_hash(chg->schema, chg->after)) | 1;
}

static struct place place_of(const struct foreign_event *ev)
{
    const struct change *chg = &ev->change;
    struct place at = {.major = chg->source.commit_lsn,
                       .minor = chg->total_order,
                       .transaction = ev->source_transaction,
                       .gtid_domain = ev->gtid_domain,
                       .gtid_order = ev->gtid_order,
                       .ordinal = ev->ordinal,
                       .time_us = MAX_OF(chg->source.commit_time_us, 1)};
    /* Not PostgreSQL's major: the end of the commit before may be untold the first time, and told the second. */
    uint64_t id = hash_mix(text_hash(ev->collection), ev->binlog ? at.major : 0);
    id = hash_mix(hash_mix(id, at.minor), at.transaction);
    at.content = ev->binlog && ev->key == NULL && ev->ordinal != 0 ? content_of(ev) : 0;
    at.identity =
        hash_mix(hash_mix(id, (uint64_t)chg->op), ev->key != NULL ? hash_bytes(ev->key, ev->key_len) : 1);
    return at;
}

static int order_of(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Within a transaction PostgreSQL's places are their LSNs; GTIDs hold on another server, too, places in a file do not. Two
 * transactions at one place are of two logs: the second counts as the earlier one, which it then has to prove. */
static int compare(const struct place *a, const struct place *b, bool binlog)
{
    bool told = a->transaction != 0 && b->transaction != 0;
    bool same = told && a->transaction == b->transaction;
    int order;
    if (!same && a->gtid_domain != 0 && a->gtid_domain == b->gtid_domain)
        order = order_of(a->gtid_order, b->gtid_order);
    else if (a->major != b->major && (binlog || !same))
        order = order_of(a->major, b->major);
    else
        order = order_of(a->minor, b->minor);
    return order == 0 && told && !same ? 1 : order;
}

/* --- what each partition has brought --- */

static size_t remember_most(const struct foreign_feed *feed)
{
    size_t share = REMEMBER_MAX / MAX_OF(feed->part_count, (size_t)1);
    return MIN_OF(MAX_OF(share, (size_t)REMEMBER_LEAST), (size_t)REMEMBER_MOST);
}

static void remember(const struct foreign_feed *feed, struct part *p, const struct place *at, uint64_t offset)
{
    bool warm = offset < p->warm_until; /* what is asked for is kept, until something new has come */
    size_t most = warm ? (size_t)REMEMBER_MAX : remember_most(feed);
    if (p->memory_count >= most) {
        p->exhausted |= warm; /* it will not hold more the next time */
        size_t drop = p->memory_count - most / 2;
        memmove(p->memory, p->memory + drop, (p->memory_count - drop) * sizeof *p->memory);
        p->memory_count -= drop;
        p->oldest = p->memory[0].offset;
        p->forgot = true;
        p->memory_cap = p->memory_count + 1;
        p->memory = xrealloc(p->memory, p->memory_cap * sizeof *p->memory);
    }
    if (p->memory_count == p->memory_cap) {
        p->memory_cap =
            p->memory_cap == 0 ? 64 : MIN_OF(2 * p->memory_cap, MAX_OF(most, p->memory_count + 1));
        p->memory = xrealloc(p->memory, p->memory_cap * sizeof *p->memory);
    }
    if (p->memory_count == 0)
        p->first = *at;
    p->memory[p->memory_count++] = (struct remembered){
        .identity = at->identity, .transaction = at->transaction, .offset = offset, .content = at->content};
    p->again = p->memory_count;
}

/* Where it stands in the memory, from the oldest on; memory_count: nowhere. */
static size_t find(const struct part *p, uint64_t identity)
{
    size_t i = 0;
    while (i < p->memory_count && p->memory[i].identity != identity)
        i++;
    return i;
}

/* At the very place of the change before: rows of one COPY share it, and both halves of a key change. */
static bool is_tie(const struct part *p, const struct foreign_event *ev, const struct place *at)
{
    if (!ev->binlog && ev->key == NULL)
        return at->ordinal > p->seen.ordinal;
    for (uint64_t i = 1; i <= p->seen.ties && i <= p->memory_count; i++) {
        if (p->memory[p->memory_count - i].identity == at->identity)
            return false;
    }
    return p->seen.identity != at->identity;
}

static bool other_log(const struct part *p, struct err *err)
{
    return err_set(
        err, ERR_IDENTITY,
        "the change stands in the source's log before the last one (offset=%llu of this partition), and is "
        "not "
        "one that was written before: the connector reads another server now, or one whose log was reset or "
        "restored (or more was written again than can be held against each other), and what lies between is "
        "not "
        "known. Let it make a new snapshot under another topic.prefix, for a new pipeline",
        (unsigned long long)(p->memory_count > 0 ? p->memory[p->memory_count - 1].offset : 0));
}

static bool not_again(const struct part *p, struct err *err)
{
    return err_set(
        err, ERR_IDENTITY,
        "the connector went back and writes changes again, but leaves out that of offset=%llu, which it "
        "wrote "
        "before: it reads another server now, which lacks it, or was set to other tables. Let it make a new "
        "snapshot under another topic.prefix, for a new pipeline",
        (unsigned long long)p->memory[p->again].offset);
}

/* A transaction that comes anew at a later place is of another server's log: it stands in one piece, in one file. (GTIDs of
 * MariaDB's that rise tell themselves, within their domain; MySQL's numbers tell no order.) */
static bool is_elsewhere(const struct part *p, const struct place *at)
{
    bool file = at->major >> 40 != p->seen.major >> 40;
    if (at->transaction == 0 || p->seen.time_us == 0)
        return false;
    if (at->transaction == p->seen.transaction)
        return file;
    if (at->gtid_domain != 0 && at->gtid_domain == p->seen.gtid_domain)
        return false;
    size_t most = file ? p->memory_count : MIN_OF(p->memory_count, (size_t)LOOK_NEAR);
    for (size_t i = 1; i <= most; i++) {
        if (p->memory[p->memory_count - i].transaction == at->transaction)
            return true;
    }
    return false;
}

/* Without a key: the connector began again inside of the transaction (it counts anew), and what comes is one of its changes
 * that are there, but at a later place: on one server it would have the same place. */
static bool is_written_elsewhere(const struct part *p, const struct place *at)
{
    if (at->content == 0 || at->transaction == 0 || at->transaction != p->seen.transaction ||
        at->ordinal > p->seen.ordinal)
        return false;
    for (size_t i = p->memory_count; i > 0 && p->memory[i - 1].transaction == at->transaction; i--) {
        if (p->memory[i - 1].content == at->content)
            return true;
    }
    return false;
}

static bool check_server(const struct part *p, const struct foreign_event *ev, const struct place *at,
                         struct err *err)
{
    if (is_elsewhere(p, at))
        return other_log(p, err);
    if (is_written_elsewhere(p, at))
        return err_set(
            err, ERR_IDENTITY,
            "table=%s: the connector was started again inside of a transaction, and a change of it stands at "
            "another place of the log than before: it reads another server now, and in a table without a key "
            "what came already (up to offset=%llu of this partition) cannot be told from what did not. Let "
            "it make a new snapshot under another topic.prefix, for a new pipeline, or give the table a key "
            "(message.key.columns)",
            ev->collection, (unsigned long long)p->memory[p->memory_count - 1].offset);
    if (at->transaction == 0 && ev->server_id != 0 && p->server != 0 && ev->server_id != p->server)
        return err_set(
            err, ERR_IDENTITY,
            "the change is of server_id=%llu, those before (up to offset=%llu of this partition) of "
            "server_id=%llu, and without GTIDs nobody knows where the log of another server goes on: let the "
            "connector make a new snapshot under another topic.prefix, for a new pipeline, with GTIDs on",
            (unsigned long long)ev->server_id,
            (unsigned long long)(p->memory_count > 0 ? p->memory[p->memory_count - 1].offset : 0),
            (unsigned long long)p->server);
    return true;
}

static void take(const struct foreign_feed *feed, struct part *p, const struct place *at, int order,
                 uint64_t offset)
{
    struct place next = *at;
    next.ties = order == 0 ? p->seen.ties + 1 : 1;
    next.shown = p->seen.shown;
    next.closed = p->seen.closed;
    next.begun = p->seen.begun;
    p->seen = next;
    p->exhausted = p->exhausted && offset < p->warm_until;
    remember(feed, p, at, offset);
}

/* memory[index] came again: what follows it must, too. */
static void go_on(struct part *p, size_t index, const struct place *at)
{
    p->again = index + 1;
    if (p->again == p->memory_count)
        p->seen.ordinal = at->ordinal; /* it counts anew */
}

static bool look_further(const struct part *p, enum verdict *ret, struct err *err)
{
    *ret = VERDICT_UNKNOWN;
    return (p->forgot && !p->exhausted) || other_log(p, err);
}

static bool judge(const struct foreign_feed *feed, struct part *p, const struct foreign_event *ev,
                  const struct place *at, uint64_t offset, enum verdict *ret, struct err *err)
{
    bool warm = offset < p->warm_until, going = p->again < p->memory_count;
    int order = p->seen.time_us == 0 ? -1 : compare(&p->seen, at, ev->binlog);
    bool later = order < 0 || (order == 0 && is_tie(p, ev, at));
    /* (Repeated ones from before the memory's first are not looked for in it one by one: it may be large.) */
    bool outside = warm && p->memory_count > 0 && compare(&p->first, at, ev->binlog) > 0;
    size_t found = going && p->memory[p->again].identity == at->identity ? p->again
                   : !outside && (going || !later)                       ? find(p, at->identity)
                                                                         : p->memory_count;
    *ret = VERDICT_BEFORE;
    if (found < p->memory_count) {
        go_on(p, found, at);
        return true;
    }
    if (!later)
        return warm || look_further(p, ret, err);
    if (going && !warm)
        return not_again(p, err);
    if (ev->binlog && !warm && !check_server(p, ev, at, err))
        return false;
    *ret = VERDICT_NEW;
    p->server = ev->server_id;
    take(feed, p, at, order, offset);
    return true;
}

/* A TRUNCATE has no key, and comes to any partition when it is written again. */
static bool judge_truncate(struct foreign_feed *feed, struct part *p, const struct place *at, bool binlog,
                           uint64_t offset, enum verdict *ret, struct err *err)
{
    for (size_t i = 0; i < feed->truncate_count; i++) {
        const struct truncate *t = &feed->truncates[i];
        bool self = t->part == (size_t)(p - feed->parts) && t->offset == offset;
        if (t->identity == at->identity) {
            *ret = self ? VERDICT_NEW : VERDICT_BEFORE;
            return true;
        }
    }
    bool earlier = p->seen.time_us != 0 && compare(&p->seen, at, binlog) > 0;
    *ret = earlier ? VERDICT_UNKNOWN : VERDICT_NEW;
    if (earlier && offset < p->warm_until)
        *ret = VERDICT_BEFORE;
    else if (earlier)
        return look_further(p, ret, err);
    if (*ret == VERDICT_BEFORE)
        return true;
    if (feed->truncates == NULL)
        feed->truncates = xcalloc(TRUNCATES_MAX, sizeof *feed->truncates);
    if (feed->truncate_count == TRUNCATES_MAX)
        memmove(feed->truncates, feed->truncates + 1, --feed->truncate_count * sizeof *feed->truncates);
    feed->truncates[feed->truncate_count++] =
        (struct truncate){.identity = at->identity, .offset = offset, .part = (size_t)(p - feed->parts)};
    return true;
}

/* --- snapshots --- */

const struct snapshot *foreign_snapshot(const struct foreign_feed *feed, uint64_t fence_id)
{
    const struct snapshot *found = NULL;
    for (size_t i = 0; i < feed->snapshot_count; i++) {
        if (feed->snapshots[i].from_fence <= fence_id)
            found = &feed->snapshots[i];
    }
    return found;
}

void foreign_snapshot_add(struct foreign_feed *feed, const struct snapshot *snap)
{
    if (feed->snapshot_count > SNAPSHOTS_SPARED) { /* those long applied */
        const struct snapshot *taken = foreign_snapshot(feed, feed->taken_id);
        size_t drop = taken != NULL ? (size_t)(taken - feed->snapshots) : 0;
        feed->snapshot_count -= drop;
        memmove(feed->snapshots, feed->snapshots + drop, feed->snapshot_count * sizeof *feed->snapshots);
    }
    feed->snapshots = xrealloc(feed->snapshots, (feed->snapshot_count + 1) * sizeof *feed->snapshots);
    feed->snapshots[feed->snapshot_count++] = *snap;
}

static struct snapshot *current(const struct foreign_feed *feed)
{
    return feed->snapshot_count > 0 ? &feed->snapshots[feed->snapshot_count - 1] : NULL;
}

static bool again_after_stream(struct err *err)
{
    return err_set(
        err, ERR_UNSUPPORTED,
        "the connector makes a new snapshot into topics that it had streamed changes to: which rows were "
        "deleted "
        "since is in no record, and whether it holds all tables neither. Let it write into new topics "
        "(another "
        "topic.prefix), for a new pipeline and an empty target; tables can be read again amid the stream by "
        "incremental snapshots");
}

/* Changes of the stream from before this snapshot: they are there only when an earlier one was streamed behind. */
static bool check_before(const struct foreign_feed *feed, const struct part *p,
                         const struct foreign_event *ev, const struct place *at, struct err *err)
{
    const struct snapshot *snap = current(feed);
    if (snap == NULL || snap->attempt < 2 || p->seen.shown)
        return true;
    bool before = ev->binlog ? at->major < snap->major : at->time_us < snap->time_us - CLOCK_SLACK_US;
    return !before || again_after_stream(err);
}

bool foreign_end_fits(const struct foreign_feed *feed, int64_t end_us, struct err *err)
{
    const struct snapshot *snap = current(feed);
    return snap == NULL || snap->attempt < 2 || end_us >= snap->time_us - CLOCK_SLACK_US ||
           again_after_stream(err);
}

static bool any_streamed(const struct part *p)
{
    bool any = false;
    for (size_t i = 0; i < p->count; i++)
        any |= p->segments[p->head + i].streamed;
    return any;
}

/* What was read of earlier attempts, and is not handed out yet, is not needed; but one that was finished holds: what came
 * then may be of one table alone. */
static bool begin_again(struct foreign_feed *feed, const struct snapshot *snap, struct err *err)
{
    bool streamed = feed->streamed || feed->complete ||
                    (feed->oldest_end_us != 0 && feed->oldest_end_us < snap->time_us - CLOCK_SLACK_US);
    for (size_t i = 0; i < feed->part_count; i++)
        streamed |= feed->parts[i].seen.time_us != 0 || any_streamed(&feed->parts[i]) ||
                    (feed->parts[i].warm_until != 0 && feed->parts[i].before_warm.time_us != 0);
    if (streamed)
        return again_after_stream(err);
    for (size_t i = 0; i < feed->part_count; i++) {
        struct part *p = &feed->parts[i];
        if (p->ends)
            continue;
        p->head = p->count = 0;
        p->cut = MAX_OF(p->cut, p->scan);
        p->seen = p->before_warm = (struct place){.major = 0};
    }
    foreign_snapshot_add(feed, snap);
    feed->reset_due = true;
    feed->streamed = feed->complete = false;
    log_event(LOG_LEVEL_WARN, "snapshot_again",
              "attempt=%llu text=\"the connector was stopped inside of its first snapshot and makes it anew: "
              "what the one "
              "before has brought is removed from the target\"",
              (unsigned long long)snap->attempt);
    return true;
}

/* The rows of one snapshot in a table without key: the same ones must not come twice. */
static bool check_rows_once(struct part *p, const struct foreign_event *ev, struct err *err)
{
    uint64_t collection = text_hash(ev->collection);
    bool again = p->seen.begun == collection && (p->seen.closed || ev->first_of_table);
    if (ev->key == NULL && again)
        return err_set(err, ERR_UNSUPPORTED,
                       "table=%s has no key, and the connector makes its snapshot anew at the same place of "
                       "the source's log: "
                       "which rows came before cannot be told. Let it write into new topics (another "
                       "topic.prefix), for a "
                       "new pipeline, or give the table a key (message.key.columns)",
                       ev->collection);
    p->seen.begun = collection;
    p->seen.closed = ev->last_of_table;
    p->seen.shown = true;
    return true;
}

static bool judge_read(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev,
                       enum verdict *ret, struct err *err)
{
    const struct change *chg = &ev->change;
    const struct snapshot *snap = current(feed);
    struct snapshot next = {.major = chg->source.lsn,
                            .minor = ev->binlog ? 0 : ev->source_transaction,
                            .time_us = chg->source.commit_time_us,
                            .attempt = 1};
    *ret = VERDICT_NEW;
    if (ev->incremental && ev->key == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "table=%s has no key, and the row is of an incremental snapshot: the stream brought "
                       "the row as well, or the snapshot before did, and which one it is cannot be told. Let "
                       "the connector write into new topics (another topic.prefix), for a new pipeline, or "
                       "give the table a key (message.key.columns)",
                       ev->collection);
    if (ev->incremental)
        return true;
    if (snap == NULL) {
        if (p->seen.time_us != 0)
            return again_after_stream(err);
        foreign_snapshot_add(feed, &next);
        snap = current(feed);
    }
    int order = order_of(snap->major, next.major);
    order = order != 0 ? order : order_of(snap->minor, next.minor);
    if (order == 0 && p->seen.time_us != 0 && ev->first_of_table)
        return again_after_stream(err);
    if (order == 0)
        return check_rows_once(p, ev, err);
    if (order < 0) {
        next.attempt = snap->attempt + 1;
        next.from_fence = UINT64_MAX;
        return begin_again(feed, &next, err) && check_rows_once(p, ev, err);
    }
    *ret = VERDICT_BEFORE; /* of an attempt that was given up */
    if (p->seen.shown || next.time_us > snap->time_us + CLOCK_SLACK_US)
        return other_log(p, err);
    /* It was not given up, then: what was taken for another attempt came behind it. */
    return chg->source.snapshot != SNAPSHOT_LAST || again_after_stream(err);
}

/* --- all --- */

static bool check_kind(const struct foreign_feed *feed, const struct part *p, const struct foreign_event *ev,
                       struct err *err)
{
    bool many = foreign_part_find(feed, p->topic, 1) != NULL, ordered = feed->set->transaction_topic != NULL;
    if (ev->change.op == CHANGE_TRUNCATE && many && !ordered)
        return err_set(err, ERR_UNSUPPORTED,
                       "a TRUNCATE of table=%s, whose topic has more than one partition: which changes came "
                       "before it and "
                       "which after is told only with source.debezium.transaction_topic",
                       ev->collection);
    if (ev->key == NULL && !ev->binlog && ev->ordinal == 0 && ev->change.op != CHANGE_READ &&
        ev->change.op != CHANGE_TRUNCATE)
        return err_set(
            err, ERR_UNSUPPORTED,
            "table=%s has no key: rows of one COPY and a row that is written again can be told only with "
            "provide.transaction.metadata=true in the connector; or give the table a key "
            "(message.key.columns)",
            ev->collection);
    return true;
}

bool foreign_seen(struct foreign_feed *feed, struct part *p, const struct foreign_event *ev, uint64_t offset,
                  enum verdict *ret, struct err *err)
{
    bool warm = offset < p->warm_until;
    *ret = VERDICT_NEW;
    if (ev->change.op == CHANGE_READ)
        return warm || judge_read(feed, p, ev, ret, err);
    struct place at = place_of(ev);
    if (!warm && (!check_kind(feed, p, ev, err) || !check_before(feed, p, ev, &at, err)))
        return false;
    return ev->change.op == CHANGE_TRUNCATE ? judge_truncate(feed, p, &at, ev->binlog, offset, ret, err)
                                            : judge(feed, p, ev, &at, offset, ret, err);
}

void foreign_warm(const struct foreign_feed *feed, struct part *p, uint64_t first, uint64_t until,
                  uint64_t back)
{
    uint64_t from = until - first > back ? until - back : first;
    p->scan = p->oldest = from;
    p->warm_until = until;
    p->before_warm = p->seen;
    p->memory_count = p->again = 0;
    p->forgot = from > first;
    p->exhausted = false;
    p->seen.time_us = 0;
}

bool foreign_warmed(struct part *p, bool *ret_further, struct err *err)
{
    const struct place *was = &p->before_warm;
    bool same = p->seen.time_us == 0 || was->time_us == 0 || p->seen.identity == was->identity;
    uint64_t ordinal = p->seen.time_us != 0 && same ? p->seen.ordinal : was->ordinal;
    p->warm_until = 0;
    p->seen = *was;
    p->seen.ordinal = ordinal;
    *ret_further = !same && p->forgot && !p->exhausted;
    return same || *ret_further ||
           err_set(err, ERR_IDENTITY,
                   "the partition does not hold what was applied from it: the topic was deleted and made "
                   "anew, or "
                   "the target is of other topics. Let the connector make a new snapshot under another "
                   "topic.prefix, for a new pipeline");
}
