/*
 * What the embedded journal forgets: at the head of the log what all registered readers have passed and
 * `keep` no longer asks for; at its end, when a writer opens, what was never committed. Both in bounded write
 * transactions.
 *
 * How far the head may go is a fence: each record of the fence stream notes where the log stood when it was
 * appended. Fences follow what they stand for, but the newest FENCES_KEPT of them, the one that the slowest reader stands at, and the
 * last one older than `keep` (where a target that is restored from that time stands) stay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "journal/lmdb/lmdb.h"

#define TRIM_EVERY_US    100000
#define TRIM_WORK_US     20000
#define TRIM_WORK_MAX_US 500000
#define TRIM_RECORDS     100000
#define TRIM_BYTES       ((size_t)16 << 20)
#define CUT_RECORDS      50000
#define CHECK_CLOCK_PER  512
#define TRIM_FENCES      20000
/* More than anybody looks back (capture/source/recover.c): several of them list all partitions. */
#define FENCES_KEPT 1000

/* What may go. */
struct target {
    uint64_t seq;    /* of the log, below it */
    uint32_t stream; /* of fences, if any may go: those below next_fence, when the log has gone so far */
    uint64_t next_fence;
};

/* --- the tail --- */

/* Deletes up to CUT_RECORDS uncommitted records from the end of the log. */
static bool cut_log(struct lmdb_writer *w, MDB_txn *txn, size_t *ret_count, struct err *err)
{
    MDB_cursor *cursor;
    MDB_val key, val;
    size_t count = 0;
    int rc = mdb_cursor_open(txn, w->env->log, &cursor);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "cutting the uncommitted tail", err);
    while (count < CUT_RECORDS && (rc = mdb_cursor_get(cursor, &key, &val, MDB_LAST)) == 0) {
        uint64_t seq;
        if (key.mv_size != sizeof seq) {
            mdb_cursor_close(cursor);
            return lmdb_damaged(w->env, "the log has a key of wrong size", err);
        }
        memcpy(&seq, key.mv_data, sizeof seq);
        if (seq < w->meta.visible_seq)
            break;
        rc = mdb_cursor_del(cursor, 0);
        if (rc != 0)
            break;
        count++;
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_fail(w->env, rc, "cutting the uncommitted tail", err);
    *ret_count += count;
    return true;
}

/* Deletes the entries of `at` from (stream, offset) on; to the end of the stream, or of the database. */
static bool cut_at(struct lmdb_writer *w, MDB_cursor *cursor, uint32_t stream, uint64_t offset, bool to_end,
                   size_t *ret_count, struct err *err)
{
    struct lmdb_at_key from;
    lmdb_at_key_make(&from, stream, offset);
    MDB_val key = {sizeof from, &from}, val;
    int rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
    while (rc == 0) {
        uint32_t found;
        uint64_t found_offset;
        if (!lmdb_at_key_read(&key, &found, &found_offset))
            return lmdb_damaged(w->env, "the index has a key of wrong size", err);
        if (found != stream && !to_end)
            return true;
        rc = mdb_cursor_del(cursor, 0);
        ++*ret_count;
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND || lmdb_fail(w->env, rc, "cutting the uncommitted tail", err);
}

static bool cut_all_at(struct lmdb_writer *w, MDB_txn *txn, size_t *ret_count, struct err *err)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, w->env->at, &cursor);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "cutting the uncommitted tail", err);
    bool ok = true;
    for (uint32_t id = 0; ok && id < w->stream_count; id++)
        ok = cut_at(w, cursor, id, w->streams[id].row.next_offset, false, ret_count, err);
    ok = ok && cut_at(w, cursor, (uint32_t)w->stream_count, 0, true, ret_count, err);
    mdb_cursor_close(cursor);
    return ok;
}

/* One transaction of the cut; *ret_more: the log had more than one takes. */
static bool cut_once(struct lmdb_writer *w, bool *ret_more, struct err *err)
{
    MDB_txn *txn;
    size_t from_log = 0, from_at = 0;
    int rc = mdb_txn_begin(w->env->env, NULL, 0, &txn);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "cutting the uncommitted tail", err);
    if (!cut_log(w, txn, &from_log, err) || (from_log < CUT_RECORDS && !cut_all_at(w, txn, &from_at, err))) {
        mdb_txn_abort(txn);
        return false;
    }
    *ret_more = from_log == CUT_RECORDS;
    if (from_log + from_at == 0) {
        mdb_txn_abort(txn);
        return true;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 || lmdb_fail(w->env, rc, "cutting the uncommitted tail", err);
}

bool lmdb_writer_cut_tail(struct lmdb_writer *w, struct err *err)
{
    bool more = true;
    while (more) {
        if (!cut_once(w, &more, err))
            return false;
    }
    return true;
}

/* --- the head --- */

static bool fence_head(struct lmdb_writer *w, MDB_txn *txn, uint32_t stream, uint64_t offset,
                       struct lmdb_forever_head *ret, struct err *err)
{
    struct lmdb_at_key at;
    lmdb_at_key_make(&at, stream, offset);
    MDB_val key = {sizeof at, &at}, val;
    int rc = mdb_get(txn, w->env->at, &key, &val);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "looking for a fence", err);
    if (val.mv_size < sizeof *ret)
        return lmdb_damaged(w->env, "a record of the fence stream is too short", err);
    memcpy(ret, val.mv_data, sizeof *ret);
    return true;
}

/* The log up to the newest of the fences below next_fence that is older than keep, and the fences before that one. */
static bool find_target(struct lmdb_writer *w, MDB_txn *txn, uint32_t stream, uint64_t next_fence,
                        struct target *ret, struct err *err)
{
    int64_t newest_ms = clock_wall_us() / 1000 - w->keep_ms;
    const struct lmdb_stream_row *row = &w->streams[stream].row;
    uint64_t low = row->first_offset, high = MAX_OF(low, next_fence), seq = 0;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        struct lmdb_forever_head head;
        if (!fence_head(w, txn, stream, mid, &head, err))
            return false;
        if (head.wall_ms <= newest_ms) {
            seq = head.log_seq;
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    uint64_t most = row->next_offset > FENCES_KEPT ? row->next_offset - FENCES_KEPT : 0;
    *ret = (struct target){.seq = seq, .stream = stream, .next_fence = low > 0 ? MIN_OF(low - 1, most) : 0};
    return true;
}

static bool trim_target(struct lmdb_writer *w, struct target *ret, struct err *err)
{
    char *name CLEANUP(free_ptr) = journal_fence_stream(w->meta.topic_prefix);
    int id = name_map_get(w->names, name);
    uint64_t next_fence;
    size_t readers;
    *ret = (struct target){0};
    if (!lmdb_readers_least(w->env, &next_fence, &readers, err))
        return false;
    if (id < 0 || readers == 0 || next_fence == 0)
        return true;
    next_fence = MIN_OF(next_fence, w->streams[id].row.next_offset);
    MDB_txn *txn;
    int rc = mdb_txn_begin(w->env->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "trimming", err);
    bool ok = find_target(w, txn, (uint32_t)id, next_fence, ret, err);
    mdb_txn_abort(txn);
    return ok;
}

/* Deletes the record under the cursor and its index entry, and keeps the books. */
static bool drop(struct lmdb_writer *w, MDB_txn *txn, MDB_cursor *cursor, const MDB_val *val, struct err *err)
{
    struct lmdb_record_head head;
    if (!lmdb_record_head(val->mv_data, val->mv_size, &head) || head.stream >= w->stream_count)
        return lmdb_damaged(w->env, "a record names an unknown stream", err);
    int rc = 0;
    if (head.flags & LMDB_RECORD_INDEXED) {
        struct lmdb_at_key at;
        lmdb_at_key_make(&at, head.stream, head.offset);
        MDB_val key = {sizeof at, &at};
        rc = mdb_del(txn, w->env->at, &key, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    lmdb_writer_touch(w, head.stream);
    struct lmdb_stream *s = &w->streams[head.stream];
    s->row.first_offset = head.offset + 1;
    s->row.bytes -= MIN_OF(s->row.bytes, val->mv_size);
    if (rc == 0)
        rc = mdb_cursor_del(cursor, 0);
    return rc == 0 || lmdb_fail(w->env, rc, "trimming", err);
}

static bool drop_below(struct lmdb_writer *w, MDB_txn *txn, uint64_t target, struct err *err)
{
    MDB_cursor *cursor;
    MDB_val key, val;
    size_t bytes = 0;
    int64_t until_us = clock_mono_us() + TRIM_WORK_US;
    int rc = mdb_cursor_open(txn, w->env->log, &cursor);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "trimming", err);
    rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);
    for (size_t n = 1; rc == 0; n++) {
        uint64_t seq;
        memcpy(&seq, key.mv_data, sizeof seq);
        w->meta.first_seq = MIN_OF(seq, target);
        if (seq >= target || n > TRIM_RECORDS || bytes > TRIM_BYTES ||
            (n % CHECK_CLOCK_PER == 0 && clock_mono_us() > until_us))
            break;
        bytes += val.mv_size;
        if (!drop(w, txn, cursor, &val, err)) {
            mdb_cursor_close(cursor);
            return false;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND)
        w->meta.first_seq = target;
    return rc == 0 || rc == MDB_NOTFOUND || lmdb_fail(w->env, rc, "trimming", err);
}

/* Deletes fences in front of target->next_fence. */
static bool drop_fences(struct lmdb_writer *w, MDB_txn *txn, const struct target *target, struct err *err)
{
    MDB_cursor *cursor;
    struct lmdb_at_key from;
    struct lmdb_stream_row *row = &w->streams[target->stream].row;
    int rc = mdb_cursor_open(txn, w->env->at, &cursor);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "trimming", err);
    lmdb_writer_touch(w, target->stream);
    lmdb_at_key_make(&from, target->stream, row->first_offset);
    MDB_val key = {sizeof from, &from}, val;
    MDB_cursor_op op = MDB_SET_KEY;
    for (size_t n = 0; rc == 0 && n < TRIM_FENCES && row->first_offset < target->next_fence; n++) {
        rc = mdb_cursor_get(cursor, &key, &val, op);
        size_t bytes = rc == 0 ? val.mv_size : 0;
        rc = rc == 0 ? mdb_cursor_del(cursor, 0) : rc;
        row->first_offset += rc == 0;
        row->bytes -= MIN_OF(row->bytes, bytes);
        op = MDB_GET_CURRENT; /* the next one, after a deletion */
    }
    mdb_cursor_close(cursor);
    return rc == 0 || lmdb_fail(w->env, rc, "trimming", err);
}

/* The log is where the target wants it. */
static bool fences_may_go(const struct lmdb_writer *w, const struct target *target)
{
    return w->meta.first_seq >= target->seq && target->next_fence > 0 &&
           w->streams[target->stream].row.first_offset < target->next_fence;
}

static void forget_rows(struct lmdb_writer *w)
{
    for (size_t i = 0; i < w->touched_count; i++)
        w->streams[w->touched[i]].touched = false;
    w->touched_count = 0;
}

/* One transaction's worth. */
static bool trim_part(struct lmdb_writer *w, const struct target *target, struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(w->env->env, NULL, 0, &txn);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "trimming", err);
    bool log = w->meta.first_seq < target->seq;
    if (!(log ? drop_below(w, txn, target->seq, err) : drop_fences(w, txn, target, err)) ||
        !lmdb_writer_put_rows(w, txn, err)) {
        mdb_txn_abort(txn);
        return false;
    }
    rc = mdb_txn_commit(txn);
    if (rc != 0)
        return lmdb_fail(w->env, rc, "trimming", err);
    forget_rows(w);
    return true;
}

/* Each transaction is small; together they may take a third of the time, or what is written under load would be more than
 * what can go. */
bool lmdb_writer_trim(struct journal_writer *jw, struct err *err)
{
    struct lmdb_writer *w = (struct lmdb_writer *)jw;
    struct target target;
    int64_t now_us = clock_mono_us();
    if (w->txn != NULL || w->touched_count > 0 || w->keep_ms < 0 || now_us < w->trim_after_us)
        return true;
    int64_t until_us = now_us + MIN_OF(MAX_OF((now_us - w->trimmed_us) / 2, TRIM_WORK_US), TRIM_WORK_MAX_US);
    int dead = 0;
    (void)mdb_reader_check(w->env->env, &dead);
    if (!trim_target(w, &target, err))
        return false;
    while ((w->meta.first_seq < target.seq || fences_may_go(w, &target)) && clock_mono_us() < until_us) {
        if (!trim_part(w, &target, err))
            return false;
    }
    w->trimmed_us = clock_mono_us();
    w->trim_after_us = w->meta.first_seq < target.seq ? 0 : w->trimmed_us + TRIM_EVERY_US;
    return true;
}
