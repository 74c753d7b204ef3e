/* The embedded journal's reader: what its files share (reader.c, assign.c, fill.c). */
#ifndef JOURNAL_LMDB_READER_H
#define JOURNAL_LMDB_READER_H

#include "core/strbuf.h"
#include "journal/lmdb/lmdb.h"

#define LMDB_BATCH_BYTES ((size_t)256 << 10)

struct lmdb_range {
    char *stream;
    int id; /* -1: the stream is not there yet */
    bool forever;
    uint64_t cur; /* next offset wanted */
    uint64_t end;
};

/* One record of the batch: where its bytes are, and whose they are. */
struct batch_item {
    uint32_t range;
    uint32_t len;
};

struct lmdb_reader {
    struct journal_reader base;
    struct lmdb_env *env;
    MDB_txn *txn; /* reset between batches */
    MDB_cursor *log_cursor, *at_cursor;
    char *name; /* registered; NULL = not */
    uint64_t next_fence;
    bool confirm_dirty;
    int64_t confirm_saved_us;
    struct name_map *names; /* of streams seen so far: ids 0 … known - 1 */
    uint32_t known;
    int *range_of; /* by stream id: index of the data range, -1 = none */
    uint32_t range_of_count;
    struct lmdb_range *ranges;
    size_t range_count, range_cap;
    size_t open_count;      /* ranges not read to their end */
    size_t open_data_count; /* of these, resolved ones of data streams */
    size_t unresolved_count;
    uint64_t scan_seq;
    struct strbuf batch;
    size_t batch_at;
    bool audit; /* journal_config.audit */
};

/* --- reader.c --- */

/* Begins the short read transaction; ends with mdb_txn_reset(r->txn). */
bool lmdb_reader_renew(struct lmdb_reader *r, struct err *err) MUST_CHECK;
bool lmdb_reader_meta(struct lmdb_reader *r, struct lmdb_meta *ret, struct err *err) MUST_CHECK;
/* *ret_id = -1: there is no such stream. */
bool lmdb_reader_find(struct lmdb_reader *r, const char *name, int *ret_id, struct lmdb_stream_row *ret_row,
                      struct err *err) MUST_CHECK;

/* --- assign.c --- */

bool lmdb_reader_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                        struct err *err);
void lmdb_reader_forget(struct lmdb_reader *r);
/* Finds the streams that were not there yet. */
bool lmdb_reader_resolve(struct lmdb_reader *r, const struct lmdb_meta *meta, struct err *err) MUST_CHECK;
/* ERR_GAP; returns false. */
bool lmdb_reader_gap(const struct lmdb_reader *r, const struct lmdb_range *range, uint64_t first,
                     struct err *err);

/* --- fill.c --- */

/* Fills the empty batch. *ret_caught_up: all there is now was looked at. */
bool lmdb_reader_fill(struct lmdb_reader *r, bool *ret_caught_up, struct err *err) MUST_CHECK;

#endif
