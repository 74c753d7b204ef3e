/* Assigning ranges to the embedded journal's reader: where in the log to begin, and what cannot be given. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "journal/lmdb/reader.h"

void lmdb_reader_forget(struct lmdb_reader *r)
{
    for (size_t i = 0; i < r->range_count; i++) {
        if (r->ranges[i].id >= 0 && (uint32_t)r->ranges[i].id < r->range_of_count)
            r->range_of[r->ranges[i].id] = -1;
        free(r->ranges[i].stream);
    }
    r->range_count = 0;
    r->open_count = r->open_data_count = r->unresolved_count = 0;
    strbuf_clear(&r->batch);
    r->batch_at = 0;
}

bool lmdb_reader_gap(const struct lmdb_reader *r, const struct lmdb_range *range, uint64_t first,
                     struct err *err)
{
    return err_set(
        err, ERR_GAP,
        "lmdb journal %s no longer holds topic=%s partition=0 offset=%llu (kept from %llu): what the reader "
        "needs was trimmed; make a new snapshot, and raise journal.keep",
        r->env->path, range->stream, (unsigned long long)range->cur, (unsigned long long)first);
}

static bool range_ok(const struct lmdb_reader *r, const struct lmdb_range *range,
                     const struct lmdb_stream_row *row, struct err *err)
{
    if (range->cur < row->first_offset && range->cur < range->end)
        return lmdb_reader_gap(r, range, row->first_offset, err);
    if (range->cur <= row->next_offset)
        return true;
    return err_set(err, ERR_IDENTITY,
                   "lmdb journal %s ends at offset=%llu of topic=%s, before the reader's position %llu: it "
                   "is another or "
                   "an older journal; restore the right one, or make a new snapshot",
                   r->env->path, (unsigned long long)row->next_offset, range->stream,
                   (unsigned long long)range->cur);
}

/* The sequence number at or before the wanted record, by the sparse index. */
static bool seek_seq(struct lmdb_reader *r, const struct lmdb_range *range, const struct lmdb_meta *meta,
                     uint64_t *ret_seq, struct err *err)
{
    struct lmdb_at_key from;
    lmdb_at_key_make(&from, (uint32_t)range->id, range->cur);
    MDB_val key = {sizeof from, &from}, val;
    uint32_t stream = 0;
    uint64_t offset = 0;
    int rc = mdb_cursor_get(r->at_cursor, &key, &val, MDB_SET_RANGE);
    bool exact = rc == 0 && key.mv_size == sizeof from && memcmp(key.mv_data, &from, sizeof from) == 0;
    if (!exact && (rc == 0 || rc == MDB_NOTFOUND))
        rc = mdb_cursor_get(r->at_cursor, &key, &val, rc == 0 ? MDB_PREV : MDB_LAST);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_fail(r->env, rc, "looking into the index", err);
    if (rc == MDB_NOTFOUND || !lmdb_at_key_read(&key, &stream, &offset) || stream != (uint32_t)range->id ||
        val.mv_size != sizeof *ret_seq)
        *ret_seq = meta->first_seq;
    else
        memcpy(ret_seq, val.mv_data, sizeof *ret_seq);
    return true;
}

static void map_range(struct lmdb_reader *r, uint32_t id, int index)
{
    if (id >= r->range_of_count) {
        uint32_t count = MAX_OF(id + 1, r->range_of_count * 2);
        r->range_of = xrealloc(r->range_of, count * sizeof *r->range_of);
        for (uint32_t i = r->range_of_count; i < count; i++)
            r->range_of[i] = -1;
        r->range_of_count = count;
    }
    r->range_of[id] = index;
}

/* Finds the range's stream and place; leaves it unresolved when the stream is not there yet. */
static bool resolve(struct lmdb_reader *r, size_t index, const struct lmdb_meta *meta, struct err *err)
{
    struct lmdb_range *range = &r->ranges[index];
    struct lmdb_stream_row row = {.kind = 0};
    int id;
    if (!lmdb_reader_find(r, range->stream, &id, &row, err))
        return false;
    if (id < 0)
        return range_ok(r, range, &row, err);
    if (!range_ok(r, range, &row, err))
        return false;
    range->id = id;
    range->forever = row.kind == STREAM_FOREVER;
    r->unresolved_count--;
    if (range->forever)
        return true;
    uint64_t seq = meta->visible_seq;
    if (range->cur < row.next_offset && !seek_seq(r, range, meta, &seq, err))
        return false;
    r->scan_seq = MIN_OF(r->scan_seq, seq);
    map_range(r, (uint32_t)id, (int)index);
    r->open_data_count++;
    return true;
}

bool lmdb_reader_resolve(struct lmdb_reader *r, const struct lmdb_meta *meta, struct err *err)
{
    for (size_t i = 0; i < r->range_count && r->unresolved_count > 0; i++) {
        if (r->ranges[i].id < 0 && !resolve(r, i, meta, err))
            return false;
    }
    return true;
}

/* Ranges of one stream that follow each other become one. */
static bool add_range(struct lmdb_reader *r, struct name_map *seen, const struct journal_range *range,
                      struct err *err)
{
    if (range->partition != 0)
        return err_set(err, ERR_BUG, "lmdb journal: partition=%d of topic=%s, there is only 0",
                       (int)range->partition, range->stream);
    if (range->first_offset == range->next_offset)
        return true;
    int at = name_map_get(seen, range->stream);
    if (at >= 0) {
        struct lmdb_range *before = &r->ranges[at];
        if (before->end != range->first_offset)
            return err_set(err, ERR_BUG, "lmdb journal: two ranges of topic=%s do not follow each other",
                           range->stream);
        before->end = range->next_offset;
        return true;
    }
    if (r->range_count == r->range_cap) {
        r->range_cap = r->range_cap != 0 ? r->range_cap * 2 : 16;
        r->ranges = xrealloc(r->ranges, r->range_cap * sizeof *r->ranges);
    }
    name_map_put(seen, range->stream, (int)r->range_count);
    r->ranges[r->range_count++] = (struct lmdb_range){
        .stream = xstrdup(range->stream), .id = -1, .cur = range->first_offset, .end = range->next_offset};
    return true;
}

static bool add_ranges(struct lmdb_reader *r, const struct journal_range *ranges, size_t count,
                       struct err *err)
{
    struct name_map *seen = name_map_new();
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = add_range(r, seen, &ranges[i], err);
    name_map_free(seen);
    r->open_count = r->unresolved_count = r->range_count;
    return ok;
}

bool lmdb_reader_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                        struct err *err)
{
    struct lmdb_reader *r = (struct lmdb_reader *)jr;
    struct lmdb_meta meta;
    lmdb_reader_forget(r);
    r->scan_seq = UINT64_MAX;
    if (!add_ranges(r, ranges, count, err) || !lmdb_reader_renew(r, err)) {
        lmdb_reader_forget(r);
        return false;
    }
    bool ok = lmdb_reader_meta(r, &meta, err) && lmdb_reader_resolve(r, &meta, err);
    mdb_txn_reset(r->txn);
    if (!ok)
        lmdb_reader_forget(r);
    return ok;
}
