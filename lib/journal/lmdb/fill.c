/* Copies records that the embedded journal's reader wants out of the map, a batch at a time. */
#include <string.h>

#include "journal/lmdb/reader.h"

/* A batch that one large record made larger than this is freed. */
#define BATCH_KEEP ((size_t)4 << 20)
/* Records of other streams skipped before the transaction is renewed. */
#define SKIP_BATCH 200000

static void end_range(struct lmdb_reader *r, struct lmdb_range *range)
{
    range->cur = range->end;
    r->open_count--;
    r->open_data_count -= !range->forever;
}

static bool keep_record(struct lmdb_reader *r, size_t index, const void *bytes, size_t len, struct err *err)
{
    struct batch_item item = {.range = (uint32_t)index, .len = (uint32_t)len};
    char *out = strbuf_reserve(&r->batch, sizeof item + len);
    if (out == NULL)
        return strbuf_ok(&r->batch, "a batch of journal records", err);
    memcpy(out, &item, sizeof item);
    memcpy(out + sizeof item, bytes, len);
    r->batch.len += sizeof item + len;
    struct lmdb_range *range = &r->ranges[index];
    if (++range->cur == range->end)
        end_range(r, range);
    return true;
}

/* An audit finds what is there: the next record of the stream, or the end of the range. *ret_found false: nothing is left. */
static bool skip_missing(struct lmdb_reader *r, struct lmdb_range *range, MDB_val *key, MDB_val *val,
                         bool *ret_found, struct err *err)
{
    struct lmdb_at_key from;
    uint32_t stream = 0;
    uint64_t offset = 0;
    lmdb_at_key_make(&from, (uint32_t)range->id, range->cur);
    *key = (MDB_val){sizeof from, &from};
    int rc = mdb_cursor_get(r->at_cursor, key, val, MDB_SET_RANGE);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_fail(r->env, rc, "reading", err);
    *ret_found = rc == 0 && lmdb_at_key_read(key, &stream, &offset) && stream == (uint32_t)range->id &&
                 offset < range->end;
    if (*ret_found)
        range->cur = offset;
    return true;
}

static bool fill_forever(struct lmdb_reader *r, size_t index, struct err *err)
{
    struct lmdb_range *range = &r->ranges[index];
    struct lmdb_stream_row row;
    bool found;
    if (!lmdb_row_get(r->env, r->txn, (uint32_t)range->id, &row, NULL, &found, err))
        return false;
    uint64_t end = found ? MIN_OF(range->end, row.next_offset) : 0;
    if (found && range->cur < row.first_offset && !r->audit) /* trimmed meanwhile */
        return lmdb_reader_gap(r, range, row.first_offset, err);
    struct lmdb_at_key from;
    lmdb_at_key_make(&from, (uint32_t)range->id, range->cur);
    MDB_val key = {sizeof from, &from}, val;
    for (MDB_cursor_op op = MDB_SET_KEY; range->cur < end && r->batch.len < LMDB_BATCH_BYTES; op = MDB_NEXT) {
        uint32_t stream;
        uint64_t offset;
        bool there = true;
        if (r->audit && !skip_missing(r, range, &key, &val, &there, err))
            return false;
        if (!there)
            return true;
        int rc = mdb_cursor_get(r->at_cursor, &key, &val, r->audit ? MDB_GET_CURRENT : op);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return lmdb_fail(r->env, rc, "reading", err);
        if (rc != 0 || !lmdb_at_key_read(&key, &stream, &offset) || stream != (uint32_t)range->id ||
            offset != range->cur || val.mv_size < sizeof(struct lmdb_forever_head))
            return lmdb_damaged(r->env, "a record of a forever stream is missing", err);
        if (!keep_record(r, index, (const char *)val.mv_data + sizeof(struct lmdb_forever_head),
                         val.mv_size - sizeof(struct lmdb_forever_head), err))
            return false;
    }
    return true;
}

/* One record of the log: kept if a range wants it. */
static bool scan_record(struct lmdb_reader *r, const MDB_val *val, struct err *err)
{
    struct lmdb_record_head head;
    if (!lmdb_record_head(val->mv_data, val->mv_size, &head))
        return r->audit || lmdb_damaged(r->env, "a record of the log is too short", err);
    if (head.stream >= r->range_of_count || r->range_of[head.stream] < 0)
        return true;
    size_t index = (size_t)r->range_of[head.stream];
    const struct lmdb_range *range = &r->ranges[index];
    if (r->audit && range->cur < range->end && head.offset >= range->end)
        end_range(r, &r->ranges[index]); /* what it lacks does not come any more */
    if (head.offset < range->cur || head.offset >= range->end)
        return true;
    if (head.offset > range->cur && !r->audit)
        return lmdb_reader_gap(r, range, head.offset, err);
    r->ranges[index].cur = head.offset;
    return keep_record(r, index, val->mv_data, val->mv_size, err);
}

static bool fill_from_log(struct lmdb_reader *r, const struct lmdb_meta *meta, struct err *err)
{
    uint64_t seq = r->scan_seq;
    MDB_val key = {sizeof seq, &seq}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    for (size_t n = 0; r->open_data_count > 0 && r->batch.len < LMDB_BATCH_BYTES && n < SKIP_BATCH;
         n++, op = MDB_NEXT) {
        int rc =
            r->scan_seq < meta->visible_seq ? mdb_cursor_get(r->log_cursor, &key, &val, op) : MDB_NOTFOUND;
        if (rc != 0 && rc != MDB_NOTFOUND)
            return lmdb_fail(r->env, rc, "reading", err);
        if (rc == 0)
            memcpy(&seq, key.mv_data, sizeof seq);
        if (rc == MDB_NOTFOUND || seq >= meta->visible_seq) {
            r->scan_seq = meta->visible_seq;
            return true;
        }
        if (!scan_record(r, &val, err))
            return false;
        r->scan_seq = seq + 1;
    }
    return true;
}

/* What lay before the scan's place may have been trimmed meanwhile. */
static bool check_trimmed(struct lmdb_reader *r, struct err *err)
{
    for (size_t i = 0; i < r->range_count; i++) {
        struct lmdb_range *range = &r->ranges[i];
        struct lmdb_stream_row row;
        bool found;
        if (range->id < 0 || range->cur == range->end)
            continue;
        if (!lmdb_row_get(r->env, r->txn, (uint32_t)range->id, &row, NULL, &found, err))
            return false;
        if (!found || range->cur < row.first_offset)
            return lmdb_reader_gap(r, range, row.first_offset, err);
    }
    return true;
}

static bool fill_in_txn(struct lmdb_reader *r, bool *ret_caught_up, struct err *err)
{
    struct lmdb_meta meta;
    if (!lmdb_reader_meta(r, &meta, err) || !lmdb_reader_resolve(r, &meta, err))
        return false;
    if (r->open_data_count > 0 && r->scan_seq < meta.first_seq) {
        if (!check_trimmed(r, err))
            return false;
        r->scan_seq = meta.first_seq;
    }
    for (size_t i = 0; i < r->range_count; i++) {
        const struct lmdb_range *range = &r->ranges[i];
        if (range->id >= 0 && range->forever && range->cur < range->end && !fill_forever(r, i, err))
            return false;
    }
    if (r->open_data_count > 0 && !fill_from_log(r, &meta, err))
        return false;
    *ret_caught_up = r->open_data_count == 0 || r->scan_seq >= meta.visible_seq;
    return true;
}

bool lmdb_reader_fill(struct lmdb_reader *r, bool *ret_caught_up, struct err *err)
{
    if (r->batch.cap > BATCH_KEEP)
        strbuf_release(&r->batch);
    strbuf_clear(&r->batch);
    r->batch_at = 0;
    if (!lmdb_reader_renew(r, err))
        return false;
    bool ok = fill_in_txn(r, ret_caught_up, err);
    mdb_txn_reset(r->txn);
    return ok;
}
