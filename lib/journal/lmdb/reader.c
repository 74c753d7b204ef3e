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
#include "journal/lmdb/reader.h"

#define CONFIRM_SAVE_US 1000000

static struct lmdb_reader *reader_of(struct journal_reader *jr)
{
    return (struct lmdb_reader *)jr;
}

/* --- transaction --- */

bool lmdb_reader_renew(struct lmdb_reader *r, struct err *err)
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

bool lmdb_reader_meta(struct lmdb_reader *r, struct lmdb_meta *ret, struct err *err)
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
bool lmdb_reader_find(struct lmdb_reader *r, const char *name, int *ret_id, struct lmdb_stream_row *ret_row,
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
    lmdb_reader_forget(r);
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
    return lmdb_reader_meta(r, &meta, err) && lmdb_meta_check(r->env, &meta, config, err);
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
    strbuf_init(&r->batch, LMDB_RECORD_MAX + LMDB_BATCH_BYTES);
    if (!open_txn(r, err) || !check_identity(r, config, err) ||
        (reader_name != NULL && !lmdb_reader_register(env, reader_name, err))) {
        lmdb_reader_close(&r->base);
        return false;
    }
    r->name = reader_name != NULL ? xstrdup(reader_name) : NULL;
    r->audit = config->audit;
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
    if (!lmdb_reader_renew(r, err))
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
    if (!lmdb_reader_renew(r, err))
        return false;
    bool ok = lmdb_reader_find(r, stream, &id, &row, err);
    mdb_txn_reset(r->txn);
    if (!ok)
        return false;
    bool there = id >= 0 && partition == 0;
    *ret_first = there ? row.first_offset : 0;
    *ret_next = there ? row.next_offset : 0;
    return true;
}

/* --- reading --- */

/* What is still known of a record that does not parse. */
static bool damaged_record(const char *bytes, struct journal_record *ret)
{
    struct lmdb_record_head head;
    memcpy(&head, bytes, sizeof head); /* (its length was looked at when it was copied) */
    *ret = (struct journal_record){.offset = head.offset, .timestamp_ms = head.timestamp_ms, .value = ""};
    return true;
}

static enum journal_next take(struct lmdb_reader *r, struct journal_record *ret, struct err *err)
{
    struct batch_item item;
    const char *p = r->batch.data + r->batch_at;
    memcpy(&item, p, sizeof item);
    if (!lmdb_record_read(p + sizeof item, item.len, ret) &&
        !(r->audit && damaged_record(p + sizeof item, ret))) {
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
        if (!lmdb_reader_fill(r, &caught_up, err))
            return JOURNAL_ERROR;
        if (r->batch.len > 0)
            return take(r, ret, err);
        if (!caught_up)
            continue;
        if (r->audit)
            return JOURNAL_END;
        int64_t left_us = until_us - clock_mono_us();
        if (left_us <= 0)
            return JOURNAL_IDLE;
        lmdb_notify_wait(r->env, seen, (left_us + 999) / 1000);
    }
    return JOURNAL_END;
}

static bool lmdb_reader_confirm(struct journal_reader *jr, const struct journal_range *ranges, size_t count,
                                uint64_t fence_offset, struct err *err)
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
