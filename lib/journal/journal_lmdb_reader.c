/*
 * The embedded journal's reader. A read transaction lives only while next() copies a batch of records out of
 * the map, so that a slow or stopped caller never keeps pages from being used again.
 *
 * Data streams: the log is scanned once from the first record that any range wants, and filtered. Forever
 * streams: each range has its own place in `at`.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/strbuf.h"
#include "journal_lmdb.h"

#define BATCH_BYTES     ((size_t)256 << 10)
#define BATCH_KEEP      ((size_t)4 << 20)
#define CONFIRM_SAVE_US 1000000
/* Records of other streams skipped in one batch before the transaction is renewed. */
#define SKIP_BATCH 200000

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
};

static struct lmdb_reader *reader_of(struct journal_reader *jr)
{
    return (struct lmdb_reader *)jr;
}

/* --- transaction --- */

static bool renew(struct lmdb_reader *r, struct err *err)
{
    int rc = mdb_txn_renew(r->txn);
    if (rc != 0)
        return lmdb_fail(r->env, rc, "reading", err);
    rc = mdb_cursor_renew(r->txn, r->log_cursor);
    rc = rc != 0 ? rc : mdb_cursor_renew(r->txn, r->at_cursor);
    if (rc == 0)
        return true;
    mdb_txn_reset(r->txn);
    return lmdb_fail(r->env, rc, "reading", err);
}

static bool open_txn(struct lmdb_reader *r, struct err *err)
{
    int rc = mdb_txn_begin(r->env->env, NULL, MDB_RDONLY, &r->txn);
    if (rc != 0) {
        r->txn = NULL;
        return lmdb_fail(r->env, rc, "reading", err);
    }
    rc = mdb_cursor_open(r->txn, r->env->log, &r->log_cursor);
    rc = rc != 0 ? rc : mdb_cursor_open(r->txn, r->env->at, &r->at_cursor);
    return rc == 0 || lmdb_fail(r->env, rc, "reading", err);
}

static bool get_meta(struct lmdb_reader *r, struct lmdb_meta *ret, struct err *err)
{
    bool found;
    if (!lmdb_meta_get(r->env, r->txn, ret, &found, err))
        return false;
    return found || err_set(err, ERR_CONNECT, "lmdb journal %s is not made yet: capture does", r->env->path);
}

/* --- streams --- */

static bool learn_streams(struct lmdb_reader *r, struct err *err)
{
    for (;; r->known++) {
        struct lmdb_stream_row row;
        const char *name;
        bool found;
        if (!lmdb_row_get(r->env, r->txn, r->known, &row, &name, &found, err))
            return false;
        if (!found)
            return true;
        name_map_put(r->names, name, (int)r->known);
    }
}

/* *ret_id = -1: there is no such stream. */
static bool find_stream(struct lmdb_reader *r, const char *name, int *ret_id, struct lmdb_stream_row *ret_row,
                        struct err *err)
{
    int id = name_map_get(r->names, name);
    if (id < 0) {
        if (!learn_streams(r, err))
            return false;
        id = name_map_get(r->names, name);
    }
    *ret_id = id;
    if (id < 0)
        return true;
    bool found;
    if (!lmdb_row_get(r->env, r->txn, (uint32_t)id, ret_row, NULL, &found, err))
        return false;
    return found || lmdb_damaged(r->env, "a stream's row has gone", err);
}

/* --- life --- */

static void forget_ranges(struct lmdb_reader *r)
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

static void save_confirmed(struct lmdb_reader *r)
{
    struct err err = ERR_INIT; /* an older file only keeps more: tried again at the next confirm */
    if (r->confirm_dirty && lmdb_reader_save(r->env, r->name, r->next_fence, &err))
        r->confirm_dirty = false;
    r->confirm_saved_us = clock_mono_us();
}

static void lmdb_reader_close(struct journal_reader *jr)
{
    struct lmdb_reader *r = reader_of(jr);
    save_confirmed(r);
    forget_ranges(r);
    if (r->at_cursor != NULL)
        mdb_cursor_close(r->at_cursor);
    if (r->log_cursor != NULL)
        mdb_cursor_close(r->log_cursor);
    if (r->txn != NULL)
        mdb_txn_abort(r->txn);
    lmdb_env_release(r->env);
    name_map_free(r->names);
    strbuf_release(&r->batch);
    free(r->range_of);
    free(r->ranges);
    free(r->name);
    free(r);
}

static bool check_identity(struct lmdb_reader *r, const struct journal_config *config, struct err *err)
{
    struct lmdb_meta meta;
    return get_meta(r, &meta, err) && lmdb_meta_check(r->env, &meta, config, err);
}

static bool lmdb_reader_open(const struct journal_config *config, const char *reader_name,
                             struct journal_reader **ret, struct err *err)
{
    struct lmdb_env *env;
    if (!lmdb_env_acquire(lmdb_url_path(config->url), false, &env, err))
        return false;
    struct lmdb_reader *r = xcalloc(1, sizeof *r);
    r->base.ops = &lmdb_reader_ops;
    r->env = env;
    r->names = name_map_new();
    strbuf_init(&r->batch, LMDB_RECORD_MAX + BATCH_BYTES);
    if (!open_txn(r, err) || !check_identity(r, config, err) ||
        (reader_name != NULL && !lmdb_reader_register(env, reader_name, err))) {
        lmdb_reader_close(&r->base);
        return false;
    }
    r->name = reader_name != NULL ? xstrdup(reader_name) : NULL;
    mdb_txn_reset(r->txn);
    *ret = &r->base;
    return true;
}

/* --- looking --- */

static bool read_info(struct lmdb_reader *r, uint32_t id, struct journal_stream_info *ret, struct err *err)
{
    struct lmdb_stream_row row;
    const char *name;
    bool found;
    if (!lmdb_row_get(r->env, r->txn, id, &row, &name, &found, err))
        return false;
    if (!found)
        return lmdb_damaged(r->env, "a stream's row has gone", err);
    *ret = (struct journal_stream_info){.partition_count = 1,
                                        .kind = (enum stream_kind)row.kind,
                                        .records = row.next_offset - row.first_offset,
                                        .bytes = row.bytes};
    memcpy(ret->name, name, MIN_OF(row.name_len, sizeof ret->name - 1));
    return true;
}

/* The transaction is over before each() is called: it may use this reader. */
static bool lmdb_reader_list(struct journal_reader *jr,
                             void (*each)(void *ctx, const struct journal_stream_info *info), void *ctx,
                             struct err *err)
{
    struct lmdb_reader *r = reader_of(jr);
    if (!renew(r, err))
        return false;
    bool ok = learn_streams(r, err);
    uint32_t count = ok ? r->known : 0;
    struct journal_stream_info *infos = xcalloc(count, sizeof *infos);
    for (uint32_t id = 0; ok && id < count; id++)
        ok = read_info(r, id, &infos[id], err);
    mdb_txn_reset(r->txn);
    for (uint32_t id = 0; ok && id < count; id++)
        each(ctx, &infos[id]);
    free(infos);
    return ok;
}

static bool lmdb_reader_bounds(struct journal_reader *jr, const char *stream, int32_t partition,
                               uint64_t *ret_first, uint64_t *ret_next, struct err *err)
{
    struct lmdb_reader *r = reader_of(jr);
    struct lmdb_stream_row row = {.first_offset = 0};
    int id = -1;
    if (!renew(r, err))
        return false;
    bool ok = find_stream(r, stream, &id, &row, err);
    mdb_txn_reset(r->txn);
    if (!ok)
        return false;
    bool there = id >= 0 && partition == 0;
    *ret_first = there ? row.first_offset : 0;
    *ret_next = there ? row.next_offset : 0;
    return true;
}

/* --- assigning --- */

static bool gap(const struct lmdb_reader *r, const struct lmdb_range *range, uint64_t first, struct err *err)
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
        return gap(r, range, row->first_offset, err);
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
    if (!find_stream(r, range->stream, &id, &row, err))
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

static bool resolve_all(struct lmdb_reader *r, const struct lmdb_meta *meta, struct err *err)
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

static bool lmdb_reader_assign(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                               struct err *err)
{
    struct lmdb_reader *r = reader_of(jr);
    struct lmdb_meta meta;
    forget_ranges(r);
    r->scan_seq = UINT64_MAX;
    if (!add_ranges(r, ranges, count, err) || !renew(r, err)) {
        forget_ranges(r);
        return false;
    }
    bool ok = get_meta(r, &meta, err) && resolve_all(r, &meta, err);
    mdb_txn_reset(r->txn);
    if (!ok)
        forget_ranges(r);
    return ok;
}

/* --- reading --- */

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
    if (++range->cur == range->end) {
        r->open_count--;
        r->open_data_count -= !range->forever;
    }
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
    struct lmdb_at_key from;
    lmdb_at_key_make(&from, (uint32_t)range->id, range->cur);
    MDB_val key = {sizeof from, &from}, val;
    for (MDB_cursor_op op = MDB_SET_KEY; range->cur < end && r->batch.len < BATCH_BYTES; op = MDB_NEXT) {
        uint32_t stream;
        uint64_t offset;
        int rc = mdb_cursor_get(r->at_cursor, &key, &val, op);
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
        return lmdb_damaged(r->env, "a record of the log is too short", err);
    if (head.stream >= r->range_of_count || r->range_of[head.stream] < 0)
        return true;
    size_t index = (size_t)r->range_of[head.stream];
    const struct lmdb_range *range = &r->ranges[index];
    if (head.offset < range->cur || head.offset >= range->end)
        return true;
    if (head.offset > range->cur)
        return gap(r, range, head.offset, err);
    return keep_record(r, index, val->mv_data, val->mv_size, err);
}

static bool fill_from_log(struct lmdb_reader *r, const struct lmdb_meta *meta, struct err *err)
{
    uint64_t seq = r->scan_seq;
    MDB_val key = {sizeof seq, &seq}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    for (size_t n = 0; r->open_data_count > 0 && r->batch.len < BATCH_BYTES && n < SKIP_BATCH;
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
            return gap(r, range, row.first_offset, err);
    }
    return true;
}

static bool fill_in_txn(struct lmdb_reader *r, bool *ret_caught_up, struct err *err)
{
    struct lmdb_meta meta;
    if (!get_meta(r, &meta, err) || !resolve_all(r, &meta, err))
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

/* Fills the empty batch. *ret_caught_up: all there is now was looked at. */
static bool fill(struct lmdb_reader *r, bool *ret_caught_up, struct err *err)
{
    if (r->batch.cap > BATCH_KEEP)
        strbuf_release(&r->batch);
    strbuf_clear(&r->batch);
    r->batch_at = 0;
    if (!renew(r, err))
        return false;
    bool ok = fill_in_txn(r, ret_caught_up, err);
    mdb_txn_reset(r->txn);
    return ok;
}

static enum journal_next take(struct lmdb_reader *r, struct journal_record *ret, struct err *err)
{
    struct batch_item item;
    const char *p = r->batch.data + r->batch_at;
    memcpy(&item, p, sizeof item);
    if (!lmdb_record_read(p + sizeof item, item.len, ret)) {
        lmdb_damaged(r->env, "a record does not parse", err);
        return JOURNAL_ERROR;
    }
    ret->stream = r->ranges[item.range].stream;
    ret->partition = 0;
    r->batch_at += sizeof item + item.len;
    return JOURNAL_RECORD;
}

static enum journal_next lmdb_reader_next(struct journal_reader *jr, int timeout_ms,
                                          struct journal_record *ret, struct err *err)
{
    struct lmdb_reader *r = reader_of(jr);
    if (r->batch_at < r->batch.len)
        return take(r, ret, err);
    int64_t until_us = timeout_ms < 0 ? INT64_MAX : clock_mono_us() + (int64_t)timeout_ms * 1000;
    while (r->open_count > 0) {
        uint32_t seen = lmdb_notify_read(r->env);
        bool caught_up;
        if (!fill(r, &caught_up, err))
            return JOURNAL_ERROR;
        if (r->batch.len > 0)
            return take(r, ret, err);
        if (!caught_up)
            continue;
        int64_t left_us = until_us - clock_mono_us();
        if (left_us <= 0)
            return JOURNAL_IDLE;
        lmdb_notify_wait(r->env, seen, (left_us + 999) / 1000);
    }
    return JOURNAL_END;
}

static bool lmdb_reader_confirm(struct journal_reader *jr, uint64_t fence_offset, struct err *err)
{
    struct lmdb_reader *r = reader_of(jr);
    if (r->name == NULL)
        return err_set(err, ERR_BUG, "lmdb journal: confirm by a reader that is not registered");
    r->next_fence = fence_offset + 1;
    r->confirm_dirty = true;
    if (clock_mono_us() - r->confirm_saved_us >= CONFIRM_SAVE_US)
        save_confirmed(r);
    return true;
}

const struct journal_reader_ops lmdb_reader_ops = {
    .name = "lmdb",
    .open = lmdb_reader_open,
    .list = lmdb_reader_list,
    .bounds = lmdb_reader_bounds,
    .assign = lmdb_reader_assign,
    .next = lmdb_reader_next,
    .confirm = lmdb_reader_confirm,
    .close = lmdb_reader_close,
};
