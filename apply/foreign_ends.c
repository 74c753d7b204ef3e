/* Owns: transactions as Debezium's transaction topic tells them: their ENDs, and the tables that those count. See foreign.h. */
#include <stdlib.h>
#include <string.h>

#include "apply/foreign_internal.h"
#include "change/meta.h"
#include "core/alloc.h"
#include "core/clock.h"

/* --- BEGINs --- */

static void note_begin(struct foreign_feed *feed, uint64_t transaction)
{
    size_t i = 0;
    while (i < feed->begun_count && feed->begun[i].transaction != transaction)
        i++;
    if (i == feed->begun_count && i == BEGUN_MAX) {
        memmove(feed->begun, feed->begun + 1, (BEGUN_MAX - 1) * sizeof *feed->begun);
        i = --feed->begun_count;
    }
    if (i == feed->begun_count)
        feed->begun[feed->begun_count++] = (struct begun){.transaction = transaction};
    feed->begun[i].begins++;
}

/* A connector that starts again inside of a transaction writes its BEGIN again, and counts what comes then alone. */
static bool was_restarted(struct foreign_feed *feed, uint64_t transaction)
{
    for (size_t i = 0; i < feed->begun_count; i++) {
        if (feed->begun[i].transaction != transaction)
            continue;
        bool again = feed->begun[i].begins > 1;
        feed->begun_count--;
        memmove(feed->begun + i, feed->begun + i + 1, (feed->begun_count - i) * sizeof *feed->begun);
        return again;
    }
    return false;
}

/* --- ENDs --- */

static bool has_ended(const struct foreign_feed *feed, uint64_t transaction)
{
    for (size_t i = 0; i < ENDED_MAX; i++) {
        if (feed->ended[i] == transaction)
            return true;
    }
    return false;
}

/* PostgreSQL's rise; GTIDs need not, so those seen of late are remembered. */
static bool is_repeated(struct foreign_feed *feed, const struct foreign_event *ev, bool *ret, bool *ret_maybe,
                        struct err *err)
{
    struct domain *d;
    if (!foreign_domain(&feed->domains, ev->domain, &d))
        return err_set(err, ERR_UNSUPPORTED, "more than %d GTID domains", DOMAINS_MAX);
    *ret_maybe = ev->order <= d->order;
    *ret = *ret_maybe && (ev->rises || has_ended(feed, ev->transaction));
    d->order = MAX_OF(d->order, ev->order);
    return true;
}

static struct end *push_end(struct foreign_feed *feed)
{
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
    return &feed->ends[feed->end_head + feed->end_count++];
}

bool foreign_ends_add(struct foreign_feed *feed, const struct foreign_event *ev, uint64_t next, bool remember,
                      struct err *err)
{
    bool repeated = false, maybe = false;
    if (ev->kind == FOREIGN_BEGIN) {
        if (!remember)
            note_begin(feed, ev->transaction);
        return true;
    }
    if (remember) {
        feed->ended[feed->ended_at++ % ENDED_MAX] = ev->transaction;
        return true;
    }
    bool restarted = was_restarted(feed, ev->transaction);
    if (!is_repeated(feed, ev, &repeated, &maybe, err))
        return false;
    if (repeated || (ev->count_count == 0 && !restarted) || ev->transaction == feed->last_alone)
        return true;
    /* (MariaDB's rows of a snapshot tell when their table was read, which may be long after its place in the binlog.) */
    if (ev->rises && !foreign_end_fits(feed, ev->end_us, err))
        return false;
    if (ev->rises && (feed->oldest_end_us == 0 || ev->end_us < feed->oldest_end_us))
        feed->oldest_end_us = MAX_OF(ev->end_us, 1);
    feed->ended[feed->ended_at++ % ENDED_MAX] = ev->transaction;
    struct end *e = push_end(feed);
    *e = (struct end){.transaction = ev->transaction,
                      .domain = ev->domain,
                      .order = ev->order,
                      .restarted = restarted,
                      .maybe_old = maybe,
                      .seen_us = clock_mono_us(),
                      .end_us = ev->end_us,
                      .next = next,
                      .counts = xcalloc(ev->count_count + 1, sizeof *e->counts),
                      .count_count = ev->count_count};
    for (size_t i = 0; i < ev->count_count; i++)
        e->counts[i] = (struct foreign_count){.collection = foreign_intern(feed, ev->counts[i].collection),
                                              .changes = ev->counts[i].changes};
    return true;
}

void foreign_alone_add(struct foreign_feed *feed, const struct foreign_event *ev)
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

bool foreign_is_late(const struct foreign_feed *feed, uint64_t transaction)
{
    for (size_t i = 0; i < LATE_MAX; i++) {
        if (transaction != 0 && feed->late[i] == transaction)
            return true;
    }
    return false;
}

void foreign_late_add(struct foreign_feed *feed, uint64_t transaction, uint64_t from_fence)
{
    if (foreign_is_late(feed, transaction))
        return;
    size_t at = feed->late_at++ % LATE_MAX;
    feed->late[at] = transaction;
    feed->late_from[at] = from_fence;
}

/* --- tables --- */

bool foreign_is_read(const struct foreign_feed *feed, const char *collection)
{
    if (strncmp(collection, "io.debezium.", 12) == 0) /* a logical message, which an END counts as well */
        return false;
    if (feed->set->collections != NULL)
        return journal_foreign_fits(feed->set->collections, collection);
    if (feed->server == NULL)
        return true;
    char *topic CLEANUP(free_ptr) = topic_name_of(feed->server, collection);
    return journal_foreign_fits(feed->set->patterns, topic);
}

bool foreign_check_topic(struct foreign_feed *feed, struct part *p, const char *collection, struct err *err)
{
    if (feed->set->transaction_topic == NULL)
        return true;
    const char *name = foreign_intern(feed, collection);
    if (p->known == name)
        return true;
    char *topic CLEANUP(free_ptr) = topic_name_of(feed->server, collection);
    bool listed = feed->set->collections != NULL;
    if (listed && !foreign_is_read(feed, collection))
        return err_set(err, ERR_CONFIG,
                       "the topic holds records of table %s, which source.debezium.collections does not "
                       "name: add it, or "
                       "leave the topic out of source.debezium.topics",
                       collection);
    if (!listed && strcmp(topic, p->topic) != 0)
        return err_set(
            err, ERR_CONFIG,
            "the topic holds records of table %s, which are in %s when no transformation renames topics: "
            "whether a table that a transaction counts is read cannot be told by topics then. Name the "
            "tables in "
            "source.debezium.collections (such as [\"public.*\"]), or take source.debezium.transaction_topic "
            "out",
            collection, topic);
    p->known = name;
    return true;
}
