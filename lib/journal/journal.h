/*
 * The journal: named streams of records, split into partitions, offsets counting up in each. One writer
 * (capture), any number of readers. Implementations are chosen by URL: kafka://host:port,…  lmdb:PATH
 * fault:SLOT:N:ACTION:URL.
 *
 * Writing. Everything appended between two commits is one unit: either all of it becomes visible to readers
 * or nothing does. A unit may be far larger than memory. flush() tells the offsets of all of it, as
 * ranges, so that a fence record can be appended that names them; commit() makes the unit
 * durable. After any failed call the writer must be closed and opened again: what was not committed is gone
 * for readers.
 *
 * Writing without units (journal_config.idempotent, Kafka only). There commit() means that everything is acknowledged; records of
 * data streams are seen as soon as they are written, also those of a unit that never ends, and of a writer that lives on after another
 * one has taken over. So each such writer has an id, which fences carry: readers of a range ask for the records of its writer. Streams
 * that never expire stay exact: a record there is handed out only if it stands where its writer, who knew all before it, meant it to,
 * and an open ends that for all earlier writers.
 *
 * Reading. assign() names ranges; next() hands out the records of each partition in order, partitions
 * interleaved in any order. Only committed records are seen. Nothing is ever reset in silence: a range that
 * the journal no longer holds is ERR_GAP.
 *
 * @thread: a writer or reader belongs to one thread at a time; several may exist.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct journal_header {
    const char *name;
    const void *value;
    size_t value_len;
};

#define JOURNAL_HEADERS_MAX 8

struct journal_record {
    const char *stream;   /* set by readers; appends name the stream by id */
    int32_t partition;    /* append: -1 = by key hash (murmur2 as Java clients do; no key: partition 0) */
    uint64_t offset;      /* set by readers */
    int64_t timestamp_ms; /* append: 0 = now. Kafka's data topics carry the time of writing: retention counts
                             on it */
    const void *key;      /* NULL = null key */
    size_t key_len;
    const void *value; /* NULL = tombstone */
    size_t value_len;
    struct journal_header headers[JOURNAL_HEADERS_MAX];
    size_t header_count;
    uint64_t
        lsn; /* append: of the change, for messages about a claim (claims.h); 0 = not known. Not stored otherwise */
    uint64_t writer; /* set by readers: journal_writer.id of who wrote it */
    bool stray; /* set by readers with `audit`: of a forever stream, and every other reader passes over it */
};

struct journal_range {
    const char *stream; /* valid as long as the writer or whoever filled it says */
    int32_t partition;
    uint64_t first_offset;
    uint64_t next_offset; /* one past the last; JOURNAL_FOLLOW = no end */
    /* Readers: only what this writer (journal_writer.id) wrote is handed out, each record once. Ranges that fences name are read so. */
    bool own;
    uint64_t writer;
};
#define JOURNAL_FOLLOW UINT64_MAX

enum stream_kind {
    STREAM_UNKNOWN = 0,
    STREAM_DATA,   /* may expire once all readers have passed */
    STREAM_FOREVER /* fences, schemas: never expires, one partition */
};

struct journal_config {
    const char *url;
    const char *pipeline; /* names the transactional id; refused if the journal belongs to another one */
    const char *topic_prefix;
    int partitions;         /* Kafka: for new data topics; >= 1 */
    int replication_factor; /* Kafka: for new topics; >= 1 */
    int64_t retention_ms;   /* Kafka data topics; lmdb: `keep`. -1 = for ever */
    const char *const
        *kafka_properties;  /* "name=value" passed through to librdkafka; NULL-terminated; may be NULL */
    bool topics_must_exist; /* Kafka: a missing topic is ERR_CONFIG, with the command that makes it */
    /* Called while a server does not answer and the journal keeps trying; text NULL: it answers again. Comes
     * on the thread that uses the writer or reader. May be NULL. */
    void (*on_trouble)(void *ctx, const char *text);
    void *trouble_ctx;
    const char *registry; /* schema registry's URL; NULL = the built-in stream (schema_store.h) */
    const char *registry_user, *registry_password, *registry_ca; /* each may be NULL */
    /* Readers: what is missing or damaged inside of a range is passed over (its offset does not come; a record that does not
     * parse comes with an empty value), and JOURNAL_END comes also when no more of it is there. For `journal verify`. */
    bool audit;
    /* A value that the journal's server would not take goes into the claim store, a directory (claims.h); else the append
     * is ERR_DATA. claim_store NULL: there is none, and a reader that meets a claim fails. */
    const char *claim_store;
    bool claim_large, claim_encrypt;
    bool idempotent; /* Kafka: writers use no transactions (see "Writing without units") */
    /* Readers, Kafka: the streams are others' topics, all that these patterns fit ('*', '?', '!' excludes, the last one decides;
     * NULL-terminated, the caller's); no fence stream is looked for. NULL = topics of the prefix. */
    const char *const *foreign_topics;
};

struct journal_writer;
struct claim_writer;
struct claim_reader;
struct journal_reader;

/* What a writer knows of its journal's size. -1 = not known. */
struct journal_numbers {
    int64_t bytes;   /* on disk, with room that is free to be used again */
    int64_t records; /* kept, of all data streams */
    int64_t queued;  /* appended, and not taken by the server yet */
};

struct journal_writer_ops {
    const char *name;
    /* Takes over from any earlier writer of this pipeline (Kafka: init_transactions; lmdb: exclusive lock,
     * else ERR_BUSY) and cuts what it left uncommitted. */
    bool (*open)(const struct journal_config *config, struct journal_writer **ret, struct err *err);
    /* Creates the stream if it is not there; *ret_id is small and dense (an array index). Idempotent. */
    bool (*stream)(struct journal_writer *jw, const char *name, enum stream_kind kind, int *ret_id,
                   struct err *err);
    /* Copies what it needs. May wait for room (backpressure). */
    bool (*append)(struct journal_writer *jw, int stream_id, const struct journal_record *rec,
                   struct err *err);
    /* Whether the stream takes a record of this size. */
    bool (*fits)(struct journal_writer *jw, int stream_id, const struct journal_record *rec);
    /* Tells the offsets of all appended records, waiting for them where they cannot be foreseen; if other ones
     * come true, commit() fails. Ranges: those touched since the last commit; memory is the writer's, valid
     * until the next call. */
    bool (*flush)(struct journal_writer *jw, const struct journal_range **ret_ranges, size_t *ret_count,
                  struct err *err);
    /* Everything appended since the last commit becomes durable and visible, at once. */
    bool (*commit)(struct journal_writer *jw, struct err *err);
    /* Frees what no reader needs any more (bounded work); lmdb only, elsewhere does nothing. */
    bool (*trim)(struct journal_writer *jw, struct err *err);
    /* Fills in what it knows; cheap. NULL: it knows nothing. */
    void (*numbers)(struct journal_writer *jw, struct journal_numbers *ret);
    void (*close)(struct journal_writer *jw);
};

enum journal_next {
    JOURNAL_ERROR = 0,
    JOURNAL_RECORD, /* *ret is filled; its memory is valid until the next call on this reader */
    JOURNAL_IDLE,   /* nothing came within timeout_ms */
    JOURNAL_END     /* all assigned ranges are read to their end */
};

struct journal_stream_info {
    char name[256];
    int32_t partition_count;
    enum stream_kind kind;
    uint64_t records; /* kept now, all partitions; Kafka: estimate by offsets */
    uint64_t bytes;   /* kept now; 0 = not known */
};

struct journal_reader_ops {
    const char *name;
    /* reader_name: registered so that nothing it still needs is freed (apply's "apply"); NULL = an
     * unregistered look. */
    bool (*open)(const struct journal_config *config, const char *reader_name, struct journal_reader **ret,
                 struct err *err);
    /* Calls each(ctx, info) for all streams of this pipeline's prefix. */
    bool (*list)(struct journal_reader *jr, void (*each)(void *ctx, const struct journal_stream_info *info),
                 void *ctx, struct err *err);
    /* First kept and next offset of a partition, as a committed reader sees them. An unknown stream gives 0,
     * 0. */
    bool (*bounds)(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret_first,
                   uint64_t *ret_next, struct err *err);
    /* Replaces the assignment. ERR_GAP if a range starts before what is kept. Ranges are copied. */
    bool (*assign)(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                   struct err *err);
    enum journal_next (*next)(struct journal_reader *jr, int timeout_ms, struct journal_record *ret,
                              struct err *err);
    /* NULL: offsets have no holes. See journal_position(). */
    bool (*position)(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret);
    /* Tells that everything up to and including this fence (offset in the fence stream) is committed in the
     * target. ranges: what that was since the last call, as it was assigned; others may be assigned by now. */
    bool (*confirm)(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                    uint64_t fence_offset, struct err *err);
    void (*close)(struct journal_reader *jr);
};

struct journal_part;

struct journal_impl {
    const char *scheme; /* "kafka", "lmdb", "fault" */
    const struct journal_writer_ops *writer;
    const struct journal_reader_ops *reader;
    /* Tells one journal of this kind from another by what does not change (Kafka: the cluster's id). *ret malloc'd. NULL: an
     * implementation whose records are never too large for it (claims.h). */
    bool (*identity)(struct journal_reader *jr, char **ret, struct err *err);
    /* removal.h. NULL: it cannot be removed. */
    bool (*parts)(const struct journal_config *config,
                  void (*each)(void *ctx, const struct journal_part *part), void *ctx, struct err *err);
    bool (*remove_part)(const struct journal_config *config, const char *name, struct err *err);
};

/* Every writer and reader struct begins with its ops. The rest belongs to the wrappers: `failed`: a call failed, only
 * close is left; claims (NULL = none). (A reader may go on after an error; a failed assign() leaves nothing assigned.) */
struct journal_writer {
    const struct journal_writer_ops *ops;
    bool failed;
    struct claim_writer *claims;
    bool
        claiming; /* the unit has claims: their note is to name offsets that were acknowledged, none that are foreseen */
    uint64_t id; /* 0: what it writes is seen by whole units, or not at all */
};
struct journal_reader {
    const struct journal_reader_ops *ops;
    struct claim_reader *claims;
};

bool journal_writer_open(const struct journal_config *config, struct journal_writer **ret,
                         struct err *err) MUST_CHECK;
bool journal_stream(struct journal_writer *jw, const char *name, enum stream_kind kind, int *ret_id,
                    struct err *err) MUST_CHECK;
bool journal_append(struct journal_writer *jw, int stream_id, const struct journal_record *rec,
                    struct err *err) MUST_CHECK;
bool journal_flush(struct journal_writer *jw, const struct journal_range **ret_ranges, size_t *ret_count,
                   struct err *err) MUST_CHECK;
bool journal_commit(struct journal_writer *jw, struct err *err) MUST_CHECK;
bool journal_trim(struct journal_writer *jw, struct err *err) MUST_CHECK;
/* Between two units. */
void journal_writer_numbers(struct journal_writer *jw, struct journal_numbers *ret);
void journal_writer_close(struct journal_writer *jw); /* NULL allowed; never commits */

bool journal_reader_open(const struct journal_config *config, const char *reader_name,
                         struct journal_reader **ret, struct err *err) MUST_CHECK;
bool journal_list(struct journal_reader *jr, void (*each)(void *ctx, const struct journal_stream_info *info),
                  void *ctx, struct err *err) MUST_CHECK;
bool journal_bounds(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret_first,
                    uint64_t *ret_next, struct err *err) MUST_CHECK;
/* The same, when `offset` should be in [first, next]: a broker that leads the partition since just now may answer wrongly
 * for a moment, so a place that is not there is asked for again for some seconds before it counts. */
bool journal_bounds_around(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t offset,
                           uint64_t *ret_first, uint64_t *ret_next, struct err *err) MUST_CHECK;
bool journal_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                    struct err *err) MUST_CHECK;
enum journal_next journal_next(struct journal_reader *jr, int timeout_ms, struct journal_record *ret,
                               struct err *err);
/* Where an assigned range stands: next() has given all of its records below *ret (which may be more than the last one's offset plus one:
 * Kafka's commit marks are no records). false: not known. */
bool journal_position(struct journal_reader *jr, const char *stream, int32_t partition, uint64_t *ret);
/* journal_next() over ranges that have an end and are there already: the next record, or *ret_end. Nothing within timeout_ms is
 * ERR_TIMEOUT. */
bool journal_take(struct journal_reader *jr, int timeout_ms, struct journal_record *ret, bool *ret_end,
                  struct err *err) MUST_CHECK;
#define JOURNAL_TAKE_MS 30000 /* for those who can wait */
bool journal_confirm(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                     uint64_t fence_offset, struct err *err) MUST_CHECK;
void journal_reader_close(struct journal_reader *jr); /* NULL allowed */

/* Do the patterns of journal_config.foreign_topics fit this topic? */
bool journal_foreign_fits(const char *const *patterns, const char *topic);
/* Name of the fence and schema streams of a prefix: "<prefix>.fence", "<prefix>.schemas". malloc'd. */
char *journal_fence_stream(const char *topic_prefix);
char *journal_schema_stream(const char *topic_prefix);

#endif
