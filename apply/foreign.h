/*
 * Topics that Debezium wrote, as fences: what is read ahead of them is cut where the target may stand.
 *
 * With a transaction topic, a fence is the end of a transaction all of whose changes are there (an END counts them
 * by table): in each partition everything up to its last change of that transaction. Without, a fence is what is
 * there now, and the order is kept for each partition only, which is the order of each key.
 *
 * A connector that starts again repeats records: those are told by their place in the source's order (foreign.h of
 * lib/change), and passed over. Where the target stands is a text (offsets and places of all partitions), kept there
 * with the rows.
 * @thread owner
 */
#ifndef APPLY_FOREIGN_H
#define APPLY_FOREIGN_H

#include "change/fence.h"
#include "change/foreign.h"
#include "config/config.h"
#include "config/topic_routing.h"
#include "journal/journal.h"

struct foreign_settings {
    bool on;
    struct journal_config journal; /* how to reach the topics and the registry */
    const char *const *patterns;   /* with the transaction topic; allocated */
    const char *const
        *collections; /* tables that are read, as an END names them; allocated. NULL = by the topics' names */
    const char *transaction_topic; /* NULL = none */
    const char *placeholder;       /* unavailable.value.placeholder; NULL = the default */
    bool avro;
    struct topic_routing *tables; /* other names on the target; NULL = none */
};

/* From source.debezium.*; on = false when that is not configured. ERR_CONFIG. Texts stay cfg's. */
bool foreign_settings_read(const struct config *cfg, struct foreign_settings *ret,
                           struct err *err) MUST_CHECK;
void foreign_settings_release(struct foreign_settings *set);
/* What holds for the target, in words for status. */
const char *foreign_promise(const struct foreign_settings *set);
/* A decoder for these topics; the source is used for Avro only. */
struct foreign_decoder *foreign_settings_decoder(const struct foreign_settings *set,
                                                 const struct schema_source *source);

struct foreign_feed;

/* state: what the target holds (foreign_feed_state), NULL = nothing yet; fence_id: of its position. settings and the
 * decoder must outlive the feed. ERR_GAP: the topics do not begin where they should. */
bool foreign_feed_open(const struct foreign_settings *set, struct foreign_decoder *dec, uint64_t fence_id,
                       const char *state, struct foreign_feed **ret, struct err *err) MUST_CHECK;
void foreign_feed_close(struct foreign_feed *feed); /* NULL allowed */
/* Reads on for up to timeout_ms. *ret_ready: *ret is the next fence, the caller's to release. */
bool foreign_feed_next(struct foreign_feed *feed, int timeout_ms, struct fence *ret, bool *ret_ready,
                       struct err *err) MUST_CHECK;
/* The state behind this fence, which was handed out and not taken yet. Memory is the feed's, until the next call. */
bool foreign_feed_state(struct foreign_feed *feed, uint64_t fence_id, const char **ret,
                        struct err *err) MUST_CHECK;
/* All up to this fence is committed in the target. */
void foreign_feed_take(struct foreign_feed *feed, uint64_t fence_id);
/* Is this record of a handed-out range one that was delivered before? */
bool foreign_feed_skips(const struct foreign_feed *feed, const struct journal_record *rec);
/* The record for the decoder. */
struct foreign_record foreign_record_of(const struct journal_record *rec);
/* What keeps it waiting, in words; "" = nothing. */
const char *foreign_feed_notice(const struct foreign_feed *feed);

#endif
