/* The Kafka journal's reader: what its files share (reader.c, assign.c, part.c). */
#ifndef JOURNAL_KAFKA_READER_H
#define JOURNAL_KAFKA_READER_H

#include "journal/kafka/kafka.h"

/* A part of a partition's range: of one writer, or of all. */
struct kafka_span {
    uint64_t first, end;
    bool own;
    uint64_t writer;
    uint64_t number; /* of the record that came last (stamp.h) */
};

/* One partition that was ever assigned, to one of the two handles. */
struct kafka_part {
    char *stream;
    int32_t partition;
    bool follow; /* belongs to the reader's `follow` handle */
    enum stream_kind kind;
    rd_kafka_topic_t *rkt;
    rd_kafka_queue_t *queue;
    rd_kafka_message_t *peeked; /* taken from the queue, not wanted yet */
    bool started;
    bool known;               /* was started once: position says where it stands */
    bool eof;                 /* the last thing heard was "end of partition" */
    uint64_t position;        /* next offset that the queue will give, or later */
    uint64_t first, end;      /* the range … */
    struct kafka_span *spans; /* … and its parts, in order */
    size_t span_count, span_cap, span_at;
    bool active;                     /* in kafka_reader.active */
    size_t burst_count, burst_bytes; /* taken since the queue was last empty */
};

/*
 * Two handles, because librdkafka has one fetch under way for each broker and handle, and a fetch of
 * partitions without news is parked at the broker for fetch.wait.max.ms: a followed fence stream would hold
 * up the ranges. `follow` parks long (a new fence ends that at once), `data` shortly.
 */
struct kafka_reader {
    struct journal_reader base;
    struct kafka_client data;   /* ranges, and all questions */
    struct kafka_client follow; /* followed forever streams; made when first needed */
    struct journal_config config;
    size_t prefetch_bytes, prefetch_count; /* per partition */
    struct kafka_part *parts;
    size_t part_count, part_cap;
    struct name_map *index; /* "topic/partition", followed ones with '+' → parts */
    size_t *active;         /* indexes of parts with something left of their range */
    size_t active_count, active_cap;
    size_t turn;
    rd_kafka_message_t *held; /* handed out by the last next() */
    uint64_t held_writer;
    bool held_stray;
    bool unmarked; /* of what was confirmed: no commit marks stand behind units */
    int event_fd;
    size_t waiting_topics; /* active parts whose topic is not there yet */
    int64_t lookup_after_us;
    struct kafka_group *group; /* NULL: an unregistered look */
    char *fence_stream;
    int64_t quiet_since_us; /* mono: since when no range is active but `data` fetches on; 0 = not so */
};

/* --- part.c --- */

struct kafka_client *kafka_part_client(struct kafka_reader *r, const struct kafka_part *p);
/* Makes it (and the follow handle) when needed. NULL with an err. Valid until the next call. */
struct kafka_part *kafka_part_find(struct kafka_reader *r, const char *stream, int32_t partition, bool follow,
                                   struct err *err);
void kafka_part_stop(struct kafka_part *p);
/* More of its range. */
void kafka_part_add_span(struct kafka_part *p, const struct journal_range *range);
/* Fetches from p->first on. */
bool kafka_part_start(struct kafka_reader *r, struct kafka_part *p, struct err *err) MUST_CHECK;
bool kafka_part_fail(struct kafka_reader *r, const struct kafka_part *p, rd_kafka_resp_err_t code,
                     const char *text, struct err *err);
/* ERR_GAP or ERR_IDENTITY if `offset` is not within [low, high]. */
bool kafka_part_within(const struct kafka_reader *r, const struct kafka_part *p, uint64_t offset,
                       uint64_t low, uint64_t high, struct err *err);

enum kafka_look { LOOK_ERROR, LOOK_RECORD, LOOK_EMPTY, LOOK_FINISHED };
/* Takes the next wanted record of a partition into r->held. */
enum kafka_look kafka_part_look(struct kafka_reader *r, struct kafka_part *p, struct err *err);
/* The queue has run dry: sees to it that fetching goes on soon. */
void kafka_part_dry(struct kafka_reader *r, struct kafka_part *p);

/* --- assign.c --- */

bool kafka_reader_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                         struct err *err);
/* Starts what waited for its topic to come. */
bool kafka_reader_start_waiting(struct kafka_reader *r, struct err *err) MUST_CHECK;
/* Stops fetching for ranges when none was asked for in a while. */
void kafka_reader_stop_quiet(struct kafka_reader *r);

/* --- group.c --- */

/* Tells the brokers where a registered reader stands, as a consumer group's offsets. */
struct kafka_group;
/* config must outlive it. Connects to nobody yet. */
bool kafka_group_start(const struct journal_config *config, struct kafka_group **ret,
                       struct err *err) MUST_CHECK;
/* Everything below `next` is done. index: a small number, always the same one for this partition. stream must
 * outlive the group. Never waits for a broker. */
void kafka_group_note(struct kafka_group *g, size_t index, const char *stream, int32_t partition,
                      uint64_t next);
/* Commits what was noted last, if that takes no longer than two seconds. NULL allowed. */
void kafka_group_stop(struct kafka_group *g);

/* --- reader.c --- */

bool kafka_reader_open_handle(struct kafka_reader *r, struct kafka_client *client, const char *wait_ms,
                              struct err *err) MUST_CHECK;

#endif
