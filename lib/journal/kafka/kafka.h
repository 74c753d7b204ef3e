/*
 * The journal on Apache Kafka, by librdkafka: what its files share. A stream is a topic, a partition is a
 * partition.
 *
 * Writer: one transactional, idempotent producer, transactional.id = pipeline. A unit is a Kafka transaction;
 * offsets come from delivery reports inside it (one without an offset fails the unit: it is written again).
 * Opening runs init_transactions, which ends what an earlier writer left open and fences it. A broker that is
 * away is waited for KAFKA_STALL_MS without any progress, then the call fails with ERR_CONNECT and the owner
 * opens anew, as often as it takes. transaction.timeout.ms is 10 minutes: an open transaction of a stopped
 * writer holds up nobody but readers of its own topics, who have nothing else to wait for, and the next
 * writer ends it at once.
 *
 * Reader: librdkafka's plain consumer (no group, no rebalancing), read_committed, auto.offset.reset=error,
 * one queue per partition, all waking one eventfd. Control records take offsets too, so a range has ended
 * when the position passes its end, be it by a record of the next unit (kept for the next assign) or by an
 * end-of-partition event. What is prefetched is bounded over all partitions (kafka_reader_open).
 *
 * Topics: data topics with message.timestamp.type=LogAppendTime, so that retention counts from when a change
 * was written and not from the time that a record carries; the fence and schema topics never expire.
 * Compacted topics are refused: compaction drops versions that a fence counts on.
 */
#ifndef JOURNAL_KAFKA_H
#define JOURNAL_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "core/strbuf.h"
#include "journal/journal_impl.h"
#include "journal/removal.h"

#define KAFKA_STALL_MS       20000
#define KAFKA_REQUEST_MS     15000
#define KAFKA_LEADER_WAIT_US (10 * INT64_C(1000000))
#define KAFKA_CLOSE_MS       2000
#define KAFKA_TELL_MS        2000 /* no answer for so long is told, while it is waited on */
#define KAFKA_MESSAGE_MAX    "104857600"
#define KAFKA_PREFETCH_BYTES ((size_t)32 << 20)
#define KAFKA_PREFETCH_COUNT 60000

/* A librdkafka handle with what is known of its brokers. */
struct kafka_client {
    rd_kafka_t *rk;
    char *brokers;
    char *pipeline;
    char last_error[300]; /* as the broker threads said it last; "" = none */
    bool auth_failed;
    int64_t down_since_us; /* mono; 0 = some broker answers, as far as is known */
    bool told;             /* that no broker answers */
    char told_reason[300]; /* as the caller gave it */
    void (*on_trouble)(void *ctx, const char *text);
    void *trouble_ctx;
};

/* --- kafka.c --- */

struct kafka_property {
    const char *name, *value;
};

/* Makes the handle with our properties and the configured ones. The conf opaque is `client`. dr: NULL for
 * consumers. */
bool kafka_client_open(struct kafka_client *client, const struct journal_config *config, rd_kafka_type_t type,
                       const struct kafka_property *properties, size_t count,
                       void (*dr)(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque),
                       struct err *err) MUST_CHECK;
void kafka_client_close(struct kafka_client *client);
/* Serves callbacks. */
void kafka_client_poll(struct kafka_client *client);
/* Turns librdkafka's code (or the handle's fatal error, if there is one) into an err; returns false. what:
 * "committing", "topic=… partition=…". text: may be NULL. Usable in callbacks. */
bool kafka_error(const struct kafka_client *client, rd_kafka_resp_err_t code, const char *what,
                 const char *text, struct err *err);
/* As above, and serves callbacks first, so that the text can say what the broker threads met. */
bool kafka_fail(struct kafka_client *client, rd_kafka_resp_err_t code, const char *what, const char *text,
                struct err *err);
/* True, after a moment: the partition has no leader that knows of it (its topic is new, or a broker is leaving), and until_us (mono)
 * is not over: to be asked again. */
bool kafka_leader_awaited(rd_kafka_resp_err_t code, int64_t until_us);
/* ERR_CONNECT: no progress for too long. */
bool kafka_stalled(struct kafka_client *client, const char *what, int waited_ms, struct err *err);
/* Nothing has been heard since `since_us` (mono): after KAFKA_TELL_MS says so once, and again for another
 * reason, in the log and by on_trouble. reason: NULL = what the broker threads met. */
void kafka_client_waits(struct kafka_client *client, int64_t since_us, const char *what, const char *reason);
/* Something was heard. Cheap. */
void kafka_client_answered(struct kafka_client *client);
/* Metadata of one topic, or (NULL) of all; KAFKA_REQUEST_MS at most, less when the login is refused. */
bool kafka_metadata(struct kafka_client *client, rd_kafka_topic_t *topic, const char *what,
                    const struct rd_kafka_metadata **ret, struct err *err) MUST_CHECK;

/* --- limits.c --- */

/* Bytes of a batch with this record alone, before compression. */
size_t kafka_batch_size(const struct journal_record *rec);
/* The largest record (as above) that the producer takes. */
size_t kafka_producer_max(const struct kafka_client *client);
/* ERR_DATA: a record beyond what the queue holds, which would wait for room for ever. (One that only its topic's limit forbids may
 * pass compressed.) */
bool kafka_queue_takes(const struct kafka_client *client, const char *topic, size_t producer_max,
                       const struct journal_record *rec, struct err *err) MUST_CHECK;
/* Bytes up to which it gathers records into one batch. */
size_t kafka_producer_batch(const struct kafka_client *client);
/* max.message.bytes among a topic's settings; SIZE_MAX: not there. */
size_t kafka_entries_message_max(const rd_kafka_ConfigResource_t *resource);

/* --- topics.c --- */

struct kafka_topic {
    char *name;
    int32_t partition_count;
    bool checked;       /* its configuration was looked at */
    size_t message_max; /* its max.message.bytes, once it was looked at */
};

/* Topics of this prefix, known from one metadata request. */
struct kafka_topics {
    struct kafka_topic *all;
    size_t count, cap;
    struct name_map *index;
};

bool kafka_topics_load(struct kafka_client *client, const char *prefix, struct kafka_topics *ret,
                       struct err *err) MUST_CHECK;
void kafka_topics_release(struct kafka_topics *topics);
/* NULL = not there. */
struct kafka_topic *kafka_topics_find(struct kafka_topics *topics, const char *name);
/* Asks the cluster about one topic; *ret_partitions = 0: it is not there. */
bool kafka_topic_lookup(struct kafka_client *client, const char *name, int32_t *ret_partitions,
                        struct err *err) MUST_CHECK;
/* Creates the topic, or checks the existing one's configuration, once. *ret is valid until the next call. */
bool kafka_topic_ensure(struct kafka_client *client, const struct journal_config *config,
                        struct kafka_topics *topics, const char *name, enum stream_kind kind,
                        const struct kafka_topic **ret, struct err *err) MUST_CHECK;
/* Records for this topic are not taken, and the broker does not say why (librdkafka repeats what may pass):
 * adds what can be seen from outside, if anything. Takes a few seconds at most. */
void kafka_topic_why_stuck(struct kafka_client *client, const char *name, struct strbuf *out);
/* All topics that the patterns fit (journal_config.foreign_topics), without what they hold. */
bool kafka_foreign_list(struct kafka_client *client, const char *const *patterns,
                        void (*each)(void *ctx, const struct journal_stream_info *info), void *ctx,
                        struct err *err) MUST_CHECK;
/* Others' topics: all that was written is kept until it expires. ERR_CONFIG: the topic is compacted. */
bool kafka_foreign_kept(struct kafka_client *client, const char *name, struct err *err) MUST_CHECK;
/* The cluster's id (journal_impl.identity). */
bool kafka_identity(struct journal_reader *jr, char **ret, struct err *err) MUST_CHECK;
enum stream_kind kafka_kind_of(const char *topic_prefix, const char *name);

/* --- removal.c --- */
bool kafka_parts(const struct journal_config *config, journal_part_fn *each, void *ctx, struct err *err);
bool kafka_remove_part(const struct journal_config *config, const char *name, struct err *err);

extern const struct journal_writer_ops kafka_writer_ops;
extern const struct journal_reader_ops kafka_reader_ops;

#endif
