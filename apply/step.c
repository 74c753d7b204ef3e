/*
 * Owns: one batch, from the journal into the target, in one transaction of it. The way of writing escalates,
 * always from the beginning of the batch, which is read again:
 * - plain: sets; rows of a copy go in without a look
 * - set: sets; every row may meet one that is there
 * - ordered: row by row in commit order: for conflicts inside the batch, and to name the row that is refused
 * - replace: sets; all rows that are touched are taken out first: unique values that no order can rotate
 * - isolate: ranges, halved down to the rows that are refused, which become dead letters where the
 *   configuration says so; else for conflicts that each transaction may solve in another way
 */
#include <string.h>

#include "apply/apply_internal.h"
#include "apply/spool.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/sqlstate.h"
#include "core/temp_file.h"

#define IDLE_WAIT_MS   100
#define SILENCE_MAX_MS 60000
#define PROBE_BYTES    ((size_t)1 << 20)

enum way { WAY_PLAIN = 0, WAY_SET, WAY_ORDERED, WAY_REPLACE, WAY_ISOLATE };

static const struct {
    const char *name;
    enum target_mode mode;
} ways[] = {
    [WAY_PLAIN] = {"plain", TARGET_SET},
    [WAY_SET] = {"set", TARGET_SET},
    [WAY_ORDERED] = {"ordered", TARGET_ORDERED},
    [WAY_REPLACE] = {"replace", TARGET_REPLACE},
    [WAY_ISOLATE] = {"isolate", TARGET_MODE_UNKNOWN},
};

/* some_new: rows went in without a look, and may have met others. */
static bool next_way(enum way *way, bool some_new, const struct err *err)
{
    bool conflict = err_fault(err) == FAULT_CONFLICT;
    bool row = err_fault(err) != FAULT_OTHER;
    switch (*way) {
    case WAY_PLAIN:
        *way = conflict && some_new ? WAY_SET : WAY_ORDERED;
        return row;
    case WAY_SET:
        *way = WAY_ORDERED;
        return row;
    case WAY_ORDERED:
        *way = WAY_REPLACE;
        return conflict;
    case WAY_REPLACE:
    case WAY_ISOLATE:
        break;
    }
    return false;
}

/* What this transaction may insert without a look. Beside a copy, changes that its rows have already come as well; and of Debezium's
 * topics nobody knows. */
static enum rows_new rows_new(const struct session *s, const struct fence_batch *fences, enum way way)
{
    if (way != WAY_PLAIN)
        return ROWS_NEW_NONE;
    bool whole = s->foreign == NULL && s->position_found && s->position.complete && fences->complete;
    return whole ? ROWS_NEW_CREATED : ROWS_NEW_READ;
}

static bool write_part(struct session *s, const struct fence_batch *fences, enum way way, struct err *err)
{
    struct batch *b = s->run->batch;
    bool ok = batch_divert(b, s->letters, err);
    if (way == WAY_ISOLATE)
        ok = ok && batch_write_isolating(b, s->tables, s->tgt, s->letters, !s->run->settings.dead_letters,
                                         &s->run->status.narrowing_attempts, err);
    else
        ok = ok && batch_write(b, s->tables, s->tgt, ways[way].mode, rows_new(s, fences, way), err);
    return ok && failpoint("apply.after_part", err);
}

/* The next record of the batch's ranges. *ret_more false: all are read. */
static bool next_record(struct session *s, struct journal_record *rec, bool *ret_more, struct err *err)
{
    for (int64_t silent_ms = 0; silent_ms < SILENCE_MAX_MS; silent_ms += IDLE_WAIT_MS) {
        if (stopper_given_up(s->run->stopper))
            return err_set(err, ERR_INTERRUPTED, "stopped inside a batch");
        enum journal_next got = journal_next(s->data, IDLE_WAIT_MS, rec, err);
        if (got == JOURNAL_ERROR)
            return err_wrap(err, "journal");
        *ret_more = got != JOURNAL_END;
        if (got != JOURNAL_IDLE)
            return true;
    }
    return err_set(err, ERR_TIMEOUT, "journal: records that a fence names do not come");
}

static bool add_record(struct session *s, const struct journal_record *rec, struct err *err)
{
    if (fence_feed_skips(s->feed, rec))
        return true;
    bool ours = s->foreign == NULL; /* of others, the feed tells what came before */
    lsn_t drop_below = ours && s->position_found && s->position.complete ? s->position.lsn : 0;
    return batch_add(s->run->batch, s->run->settings.codec, s->dec, rec, drop_below, err);
}

/* A fence says how many changes it stands for, and that none of them is later: a later one means that the topic is not
 * the one it was. Fewer mean that the journal has lost some (compaction, records deleted or
 * written by somebody else), and nothing of it may be committed. */
static bool all_came(const struct session *s, const struct fence_batch *fences, struct err *err)
{
    const struct batch_counts *counts = batch_counts(s->run->batch);
    uint64_t came = counts->changes + counts->duplicates;
    char newest[LSN_TEXT_MAX], last[LSN_TEXT_MAX];
    if (counts->newest_lsn > fences->last->lsn)
        return err_set(
            err, ERR_IDENTITY,
            "fence %llu stands at lsn=%s, but the journal gives a change of lsn=%s below it: its topics "
            "were recreated or written to by somebody else. Start a new copy with a new journal",
            (unsigned long long)fences->last->id, lsn_format(fences->last->lsn, last),
            lsn_format(counts->newest_lsn, newest));
    if (came == fences->changes)
        return true;
    return err_set(
        err, ERR_GAP,
        "fences up to id %llu name %llu changes, the journal gave %llu: its topics were changed behind the "
        "pipeline (compaction, deleted records, another producer). Start a new copy with a new journal",
        (unsigned long long)fences->last->id, (unsigned long long)fences->changes, (unsigned long long)came);
}

/* All records of the batch, sorted over all partitions. */
static bool fill_spool(struct session *s, const struct fence_batch *fences, struct spool *sp, struct err *err)
{
    struct journal_record rec;
    for (bool more = true;;) {
        if (!next_record(s, &rec, &more, err))
            return false;
        if (!more)
            break;
        if (!add_record(s, &rec, err))
            return false;
        const struct item *at = batch_last_item(s->run->batch);
        if (at != NULL && !spool_add(sp, &rec, at, err))
            return false;
        if (batch_bytes(s->run->batch) > PROBE_BYTES)
            batch_forget_items(s->run->batch);
    }
    if (!all_came(s, fences, err))
        return false;
    batch_clear(s->run->batch);
    return spool_finish(sp, err);
}

static bool write_spooled(struct session *s, const struct fence_batch *fences, struct spool *sp, enum way way,
                          struct err *err)
{
    struct journal_record rec;
    for (bool more = true;;) {
        if (stopper_given_up(s->run->stopper))
            return err_set(err, ERR_INTERRUPTED, "stopped inside a batch");
        if (!spool_next(sp, &rec, &more, err))
            return false;
        if (!more)
            return true;
        if (!add_record(s, &rec, err) || (batch_is_full(s->run->batch) && !write_part(s, fences, way, err)))
            return false;
    }
}

/* A transaction of the target, for the first time or anew. */
static bool begin(struct session *s, const struct fence_batch *fences, struct err *err)
{
    if (fences->begins_copy)
        dual_write_pause(s);
    return target_begin(s->tgt, fences->last->attempt, err) &&
           letters_begin(s->letters, fences->last->id, err) &&
           (!fences->begins_copy ||
            (letters_void(s->letters, NULL, err) && target_write(s->tgt, TARGET_RESET, NULL, 0, err)));
}

static bool write_through_spool(struct session *s, const struct fence_batch *fences, enum way way,
                                struct err *err)
{
    struct spool *sp = NULL;
    log_event(LOG_LEVEL_INFO, "fence_spooled", "fence=%llu changes=%llu way=%s",
              (unsigned long long)fences->last->id, (unsigned long long)fences->changes, ways[way].name);
    batch_clear(s->run->batch);
    if (!begin(s, fences, err))
        return false;
    if (!journal_assign(s->data, fences->ranges, fences->range_count, err))
        return err_wrap(err, "journal");
    bool ok = spool_open(s->run->settings.batch_max_bytes / 2, &sp, err) && fill_spool(s, fences, sp, err) &&
              write_spooled(s, fences, sp, way, err);
    spool_close(sp);
    return ok;
}

/* A part may be written before the rest is read only where order of arrival is order enough: rows of a copy,
 * and sets of tables that come from one partition each. */
static bool parts_may_go(const struct session *s, const struct fence_batch *fences, enum way way)
{
    return batch_only_reads(s->run->batch) ||
           (way != WAY_ORDERED && way != WAY_ISOLATE && !fences->many_partitions);
}

/* Beside a copy a fence is a state of the source, but no part of it need be: rows of a window stand in front of changes that they show
 * already (ARCHITECTURE, The copy), so unique values collide in a part that do not in all of it. */
static bool only_as_a_whole(const struct session *s, const struct fence_batch *fences, enum way way)
{
    bool copying = s->foreign == NULL && !(s->position_found && s->position.complete && fences->complete);
    return copying && (way == WAY_REPLACE || way == WAY_ISOLATE);
}

static bool overflow(struct session *s, const struct fence_batch *fences, enum way way, struct err *err)
{
    log_event(LOG_LEVEL_INFO, "batch_in_file", "fence=%llu changes=%llu way=%s folder=%s",
              (unsigned long long)fences->last->id, (unsigned long long)fences->changes, ways[way].name,
              temp_file_folder());
    return batch_overflow(s->run->batch, err);
}

static bool read_and_write(struct session *s, const struct fence_batch *fences, enum way way, struct err *err)
{
    struct batch *b = s->run->batch;
    struct journal_record rec;
    if (!journal_assign(s->data, fences->ranges, fences->range_count, err))
        return err_wrap(err, "journal");
    for (bool more = true;;) {
        if (!next_record(s, &rec, &more, err))
            return false;
        if (!more)
            return all_came(s, fences, err);
        if (!add_record(s, &rec, err))
            return false;
        if (!batch_is_full(b) && !batch_is_over(b))
            continue;
        if (only_as_a_whole(s, fences, way)) {
            if (!overflow(s, fences, way, err))
                return false;
            continue;
        }
        if (!parts_may_go(s, fences, way)) /* (parts that went before are rolled back) */
            return write_through_spool(s, fences, way, err);
        if (batch_is_full(b) && !write_part(s, fences, way, err))
            return false;
    }
}

/* All that is not written yet is in the batch then. */
static bool read_rest(struct session *s, const struct fence_batch *fences, enum way way, struct err *err)
{
    bool taken = false;
    if (way == WAY_PLAIN && !ahead_take(s, fences, &taken, err))
        return false;
    return taken ? all_came(s, fences, err) : read_and_write(s, fences, way, err);
}

static void position_after(const struct fence_batch *fences, struct target_position *ret)
{
    const struct fence *f = fences->last;
    *ret = (struct target_position){.fence_id = f->id,
                                    .fence_offset = fences->last_offset,
                                    .lsn = f->lsn,
                                    .source_system_id = f->source_system_id,
                                    .attempt = f->attempt,
                                    .complete = f->complete,
                                    .commit_time_us = f->commit_time_us,
                                    .marker_kind = f->marker.kind};
    memcpy(ret->marker_nonce, f->marker.nonce, sizeof ret->marker_nonce);
}

static bool apply_way(struct session *s, const struct fence_batch *fences, enum way way, struct err *err)
{
    struct target_position next;
    batch_clear(s->run->batch);
    position_after(fences, &next);
    if (!fence_feed_offsets(s->feed, fences, &next.offsets, err))
        return false;
    if (!begin(s, fences, err) || !failpoint("apply.before_write", err))
        return false;
    batch_keep_records(s->run->batch, way == WAY_ISOLATE || letters_count(s->letters) > 0);
    if (!read_rest(s, fences, way, err) || (way == WAY_PLAIN && !ahead_start(s, fences, err)) ||
        !write_part(s, fences, way, err) || !failpoint("apply.after_write", err) ||
        !target_commit(s->tgt, &next, err))
        return false;
    letters_committed(s->letters);
    s->position = next;
    s->position.offsets = NULL; /* the feed's, for this call only */
    s->position_found = true;
    return failpoint("apply.after_commit", err);
}

bool apply_session_apply(struct session *s, const struct fence_batch *fences, struct err *err)
{
    enum way way = WAY_PLAIN;
    for (;;) {
        struct err failed = ERR_INIT;
        if (apply_way(s, fences, way, &failed))
            return true;
        ahead_drop(
            s->run
                ->ahead); /* the reader is needed for these fences again, and nothing is certain about the next ones */
        enum way before = way;
        bool may_isolate = target_letters(s->tgt) != NULL && way != WAY_ISOLATE &&
                           err_fault(&failed) != FAULT_OTHER &&
                           (s->run->settings.dead_letters || way == WAY_REPLACE);
        if (!next_way(&way, batch_counts(s->run->batch)->reads + batch_counts(s->run->batch)->inserts > 0,
                      &failed)) {
            if (!may_isolate) {
                *err = failed;
                return false;
            }
            way = WAY_ISOLATE;
        }
        log_event(LOG_LEVEL_INFO, "batch_again", "fence=%llu from=%s to=%s sqlstate=%s text=\"%s\"",
                  (unsigned long long)fences->last->id, ways[before].name, ways[way].name, failed.sqlstate,
                  failed.text);
        progress_retry(s->run, &failed);
    }
}
