/* The Kafka journal's writer: what its files share (journal_kafka_writer.c, _open.c). */
#ifndef JOURNAL_JOURNAL_KAFKA_WRITER_H
#define JOURNAL_JOURNAL_KAFKA_WRITER_H

#include "journal_kafka_stamp.h"

/* Offsets of one partition in the unit at hand. */
struct part {
    uint64_t first, next; /* as acknowledged */
    uint64_t at;          /* with transactions, if `known`: where the unit's first record is going to stand */
    size_t appended;
    bool touched, acked, known;
};

struct stream {
    char *name;
    rd_kafka_topic_t *rkt;
    int32_t part_count;
    struct part *parts;
    size_t pending;    /* records without a report */
    size_t record_max; /* as kafka_batch_size() counts, by topic and producer */
    size_t batch_max;  /* 0 = no batch can be too large for the topic */
    size_t gathered;   /* bytes since nothing was pending; counted if there is a batch_max */
    enum stream_kind kind;
    uint64_t next_at,
        taken_at; /* stamped forever streams: offsets that the next record, and the next report, are meant to have */
};

struct touch {
    int stream;
    int32_t partition;
};

/* Behind a commit, at first: see let_markers_pass(). */
#define KAFKA_PAUSE_US 1500

struct kafka_writer {
    struct journal_writer base;
    struct kafka_client client;
    struct journal_config config;
    struct kafka_topics topics;
    struct stream *streams;
    size_t stream_count, stream_cap;
    struct name_map *names;
    bool in_txn;
    bool planned; /* flush() has told offsets of the unit at hand that no report had confirmed */
    unsigned since_poll;
    struct touch *touched;
    size_t touched_count, touched_cap;
    struct journal_range *ranges;
    size_t range_cap;
    uint64_t reports; /* delivery reports so far: the measure of progress */
    struct err report_err;
    size_t record_max;      /* the producer's */
    int64_t txn_timeout_ms; /* the handle's transaction.timeout.ms */
    int64_t txn_begun_us;   /* mono; of the transaction at hand */
    int64_t committed_us;   /* mono; when the last one was; 0 = none */
    int64_t pause_us;       /* behind a commit */
    bool hurried;           /* the transaction at hand began right behind the last one */
    int64_t now_ms;         /* wall, every POLL_EVERY records: librdkafka would ask for each */
    bool large_batches;
    size_t queued_bytes;  /* of keys and values without a report */
    int64_t why_after_us; /* mono; when to look again why nothing is taken */
    bool idempotent;      /* no transactions */
    bool sealing;         /* what is under way are seals */
    uint64_t stamp_writer, stamp_count;
    struct journal_range misplaced; /* what stands where our record was meant to; stream NULL = none */
};

/* --- journal_kafka_writer.c --- */

/* Delivery reports; opaque: the writer's client. */
void kafka_writer_on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
/* Waits until everything appended is acknowledged. */
bool kafka_writer_wait_reports(struct kafka_writer *w, struct err *err) MUST_CHECK;
/* All records are acknowledged, and, with transactions, the one at hand is committed. */
bool kafka_writer_end_unit(struct kafka_writer *w, struct err *err) MUST_CHECK;

/* --- journal_kafka_open.c --- */

bool kafka_writer_open(const struct journal_config *config, struct journal_writer **ret,
                       struct err *err) MUST_CHECK;
/* A topic takes no large batches: always false, and the next opening makes small ones. */
bool kafka_writer_smaller_batches(const struct kafka_writer *w, const char *topic, struct err *err);
/* The topic has refused `bytes`, though `known` is what it takes, as far as was known. True: the topic's limits are read again by the
 * next opening (*err: ERR_CONNECT). False: the refusal is of the record, or reading them again has changed nothing. */
bool kafka_writer_limit_lowered(const struct kafka_writer *w, const char *topic, size_t known, size_t bytes,
                                struct err *err);
/* The broker ends a transaction that is open for longer than transaction.timeout.ms, and fences its producer:
 * the same unit would meet the same end again. True: *err says so now. */
bool kafka_writer_outlived(const struct kafka_writer *w, struct err *err);
/* If a record of ours was misplaced because another writer has taken over, *err says so: ERR_FENCED. */
void kafka_writer_explain(struct kafka_writer *w, struct err *err);
/* Takes over librdkafka's error; returns false. */
bool kafka_writer_fail(struct kafka_writer *w, rd_kafka_error_t *error, const char *what, struct err *err);

#endif
