/*
 * The embedded journal on LMDB: what its files share. A folder with
 *
 *   data.mdb, lock.mdb  one LMDB environment, three databases:
 *     streams  key u64: 0 = struct lmdb_meta; id + 1 = struct lmdb_stream_row and the stream's name
 *     log      key u64 sequence number; value = one record of a data stream (record.c). All data streams share it,
 *              so that writing and reading are sequential whatever the number of tables.
 *     at       key (stream id, offset), big-endian. Forever streams: struct lmdb_forever_head and the record itself,
 *              trimmed behind the changes that they stand for. Data streams: a sparse index, the sequence number of
 *              the first record of each unit (so that what a fence names is found at once) and of every
 *              LMDB_INDEX_EVERY-th one inside.
 *   writer.lock         flock'ed by the one writer; holds its pid
 *   notify              4 bytes, a futex: the writer counts it up at each commit and wakes readers
 *   readers/<name>      the fence offset up to which a registered reader needs nothing any more
 *
 * Units. What is written counts up lmdb_meta.visible_seq and the streams' next_offset only in a unit's last
 * write transaction; readers look no further. So a unit of any size goes out in transactions of
 * LMDB_PART_BYTES, and memory stays bounded. A writer that opens deletes what lies behind (the tail of a unit
 * that was never committed).
 *
 * The map is LMDB_MAP_BYTES of address space from the start (it costs nothing until used; less where the
 * address space is limited), so it need not grow while transactions are open.
 *
 * A process may open an LMDB environment only once (its POSIX locks would go with the first close), so writer
 * and readers of one folder share a counted struct lmdb_env.
 *
 * @thread: a unit (first append to commit) belongs to one thread, LMDB's write lock wants it so.
 */
#ifndef JOURNAL_LMDB_H
#define JOURNAL_LMDB_H

#include <lmdb.h>
#include <stdatomic.h>

#include "journal/journal_impl.h"
#include "journal/removal.h"

#define LMDB_MAGIC       UINT32_C(0x4c4a4643) /* "CFJL" */
#define LMDB_FORMAT      1
#define LMDB_MAP_BYTES   ((size_t)4 << 40)
#define LMDB_MAP_LEAST   ((size_t)256 << 20)
#define LMDB_PART_BYTES  ((size_t)16 << 20)
#define LMDB_INDEX_EVERY 4096
#define LMDB_META_KEY    UINT64_C(0)
#define LMDB_RECORD_MAX  ((size_t)1 << 31)

struct lmdb_meta {
    uint32_t magic;
    uint32_t format;
    uint64_t visible_seq; /* first one that readers do not see */
    uint64_t first_seq;   /* first one kept */
    int64_t created_us;
    char pipeline[64];
    char topic_prefix[256];
};

struct lmdb_stream_row {
    uint64_t next_offset; /* first one that readers do not see */
    uint64_t first_offset;
    uint64_t bytes;
    uint32_t kind;
    uint32_t name_len; /* the name follows */
};

/* Before each record of a forever stream. */
struct lmdb_forever_head {
    uint64_t log_seq; /* where the log stood: a fence covers all below */
    int64_t wall_ms;  /* when it was appended */
};

struct lmdb_env {
    MDB_env *env;
    MDB_dbi streams, log, at;
    char *path;
    _Atomic uint32_t *notify; /* mapped; NULL if that failed: readers poll */
    uint64_t dev, ino;
    int refs;
    struct lmdb_env *next;
};

/* --- env.c --- */

/* create: makes folder and databases when missing; without it a missing journal is ERR_CONNECT. @thread any
 */
bool lmdb_env_acquire(const char *path, bool create, struct lmdb_env **ret, struct err *err) MUST_CHECK;
void lmdb_env_release(struct lmdb_env *le); /* NULL allowed */
/* "lmdb:PATH" → PATH. */
const char *lmdb_url_path(const char *url);
/* Turns LMDB's code into an err; returns false. */
bool lmdb_fail(const struct lmdb_env *le, int rc, const char *what, struct err *err);
/* ERR_PROTOCOL: bytes in the file are not what we wrote. */
bool lmdb_damaged(const struct lmdb_env *le, const char *what, struct err *err);
/* *ret_found false: a fresh journal. Newer formats and wrong sizes are refused. */
bool lmdb_meta_get(const struct lmdb_env *le, MDB_txn *txn, struct lmdb_meta *ret, bool *ret_found,
                   struct err *err);
/* ERR_IDENTITY if the journal is another pipeline's. */
bool lmdb_meta_check(const struct lmdb_env *le, const struct lmdb_meta *meta,
                     const struct journal_config *config, struct err *err);
/* Row and name (in the map: valid within txn) of a stream; MDB_NOTFOUND is *ret_found = false. */
bool lmdb_row_get(const struct lmdb_env *le, MDB_txn *txn, uint32_t id, struct lmdb_stream_row *ret,
                  const char **ret_name, bool *ret_found, struct err *err);
void lmdb_notify(const struct lmdb_env *le);
uint32_t lmdb_notify_read(const struct lmdb_env *le);
/* Waits until the counter is no longer `seen`, or timeout_ms are over, or now and then for no reason. */
void lmdb_notify_wait(const struct lmdb_env *le, uint32_t seen, int64_t timeout_ms);

/* Key of `at`, so that its byte order is the order of (stream, offset). */
struct lmdb_at_key {
    unsigned char bytes[12];
};
void lmdb_at_key_make(struct lmdb_at_key *ret, uint32_t stream, uint64_t offset);
/* False: not such a key. */
bool lmdb_at_key_read(const MDB_val *key, uint32_t *ret_stream, uint64_t *ret_offset);

/* --- record.c --- */

#define LMDB_RECORD_INDEXED    1u /* `at` has an entry for it */
#define LMDB_RECORD_NULL_KEY   2u
#define LMDB_RECORD_NULL_VALUE 4u

struct lmdb_record_head {
    uint32_t stream;
    uint8_t flags;
    uint8_t header_count;
    uint16_t reserved;
    uint64_t offset;
    int64_t timestamp_ms;
    uint32_t key_len;
    uint32_t value_len;
};

size_t lmdb_record_size(const struct journal_record *rec);
void lmdb_record_write(void *out, uint32_t stream, uint64_t offset, unsigned flags,
                       const struct journal_record *rec);
/* False if too short. */
static inline bool lmdb_record_head(const void *bytes, size_t len, struct lmdb_record_head *ret)
{
    if (len < sizeof *ret)
        return false;
    __builtin_memcpy(ret, bytes, sizeof *ret);
    return true;
}
/* Pointers go into `bytes`; stream and partition are left alone. False if the bytes do not add up. */
bool lmdb_record_read(const void *bytes, size_t len, struct journal_record *ret);

/* --- writer.c, trim.c --- */

struct lmdb_stream {
    char *name;
    struct lmdb_stream_row row; /* as it will be after commit */
    uint64_t unit_first;        /* next_offset when the unit began to touch it */
    bool touched;               /* is in lmdb_writer.touched: the row has to be written */
};

struct lmdb_writer {
    struct journal_writer base;
    struct lmdb_env *env;
    int lock_fd;
    MDB_txn *txn; /* open write transaction; NULL between units */
    MDB_cursor *log_cursor;
    struct lmdb_meta meta;
    uint64_t next_seq;
    size_t txn_bytes;
    struct lmdb_stream *streams;
    size_t stream_count, stream_cap;
    struct name_map *names;
    uint32_t *touched;
    size_t touched_count, touched_cap;
    struct journal_range *ranges;
    size_t range_cap;
    int64_t keep_ms;
    int64_t trim_after_us; /* mono: not before */
    int64_t trimmed_us;    /* mono; when the last trimming ended */
};

void lmdb_writer_touch(struct lmdb_writer *w, uint32_t id);
/* Writes touched rows and the meta row. */
bool lmdb_writer_put_rows(struct lmdb_writer *w, MDB_txn *txn, struct err *err) MUST_CHECK;
bool lmdb_writer_trim(struct journal_writer *jw, struct err *err);
/* Deletes what lies behind visible_seq and the streams' next offsets. */
bool lmdb_writer_cut_tail(struct lmdb_writer *w, struct err *err) MUST_CHECK;

/* --- readers.c: the files readers/<name> --- */

/* Makes the file (nothing confirmed yet) if it is not there. */
bool lmdb_reader_register(const struct lmdb_env *le, const char *name, struct err *err) MUST_CHECK;
/* next_fence: the first fence offset that is still needed. */
bool lmdb_reader_save(const struct lmdb_env *le, const char *name, uint64_t next_fence,
                      struct err *err) MUST_CHECK;
/* Least next_fence over all registered readers; *ret_count = how many there are. */
bool lmdb_readers_least(const struct lmdb_env *le, uint64_t *ret_next_fence, size_t *ret_count,
                        struct err *err) MUST_CHECK;

/* Makes *ret_fd hold the writer's lock; ERR_BUSY says who has it. Closing it lets go. */
bool lmdb_lock_writer(const char *path, int *ret_fd, struct err *err) MUST_CHECK;

/* --- removal.c --- */
bool lmdb_parts(const struct journal_config *config, journal_part_fn *each, void *ctx, struct err *err);
bool lmdb_remove_part(const struct journal_config *config, const char *name, struct err *err);

extern const struct journal_writer_ops lmdb_writer_ops;
extern const struct journal_reader_ops lmdb_reader_ops;

#endif
