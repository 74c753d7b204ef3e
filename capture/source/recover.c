/* Owns: reading back what the last capture left, and the checks before anything goes on. See recover.h. */
#include "capture/source/recover.h"

#include <stdlib.h>
#include <string.h>

#include "capture/publish/stream_index.h"
#include "capture/source/setup.h"
#include "core/alloc.h"

/* So many fences back there is a full one, and every cut that could be met again. */
#define FENCES_READ (2 * FENCE_FULL_EVERY)
/* With fewer there need be no full one. */
#define FENCES_LEAST FENCE_FULL_EVERY

/* --- the end of the fence stream --- */

static void note_range(struct cap_fence_base *base, struct stream_index *index, const struct fence_range *r)
{
    bool is_new = false;
    size_t at = stream_index_at(index, r->stream, r->partition, &is_new);
    if (is_new) {
        base->ranges = xrealloc(base->ranges, ++base->range_count * sizeof *base->ranges);
        base->ranges[at] = (struct fence_range){.stream = xstrdup(r->stream), .partition = r->partition};
    }
    base->ranges[at].next_offset = r->next_offset;
}

static bool note_fence(const struct cap_settings *settings, struct stream_index *index, struct fence *f,
                       struct cap_position *pos, struct err *err)
{
    if (strcmp(f->pipeline, settings->pipeline) != 0)
        return err_set(err, ERR_IDENTITY,
                       "the journal %s holds pipeline %s, not %s: name another journal or topic_prefix",
                       settings->journal.url, f->pipeline, settings->pipeline);
    if (pos->any && f->id != pos->base.last_id + 1)
        return err_set(err, ERR_PROTOCOL, "fence stream: fence %llu follows fence %llu",
                       (unsigned long long)f->id, (unsigned long long)pos->base.last_id);
    if (f->kind == FENCE_SNAPSHOT_BEGIN)
        pos->past_count = 0;
    pos->past = xrealloc(pos->past, (pos->past_count + 1) * sizeof *pos->past);
    pos->past[pos->past_count++] = (struct cap_past_fence){f->lsn, f->transactions};
    pos->any = true;
    pos->complete = f->complete;
    pos->lsn = f->lsn;
    if (f->commit_time_us != 0)
        pos->commit_time_us = f->commit_time_us;
    pos->attempt = f->attempt;
    fence_copy_release(&pos->copy);
    pos->copy = f->copy;
    f->copy = (struct fence_copy){0};
    pos->base.last_id = f->id;
    pos->base.schemas_next = f->schemas_next;
    pos->base.attempt = f->attempt;
    pos->base.system_id = f->source_system_id;
    pos->base.timeline = f->timeline;
    free(pos->gtid);
    free(pos->gtid_from);
    pos->gtid = f->gtid;
    pos->gtid_from = f->gtid_from;
    f->gtid = f->gtid_from = NULL;
    for (size_t i = 0; i < f->range_count; i++)
        note_range(&pos->base, index, &f->ranges[i]);
    if (f->marker.kind == MARKER_COMPARE || f->marker.kind == MARKER_REFUSED)
        cap_hold_note_answered(&pos->hold, f->marker.nonce);
    return true;
}

static bool read_fences(const struct cap_settings *settings, struct journal_reader *jr, const char *stream,
                        struct stream_index *index, struct cap_position *pos, size_t *ret_count,
                        struct err *err)
{
    *ret_count = 0;
    for (;;) {
        struct journal_record rec;
        struct fence f = {0};
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return err_wrap(err, "topic=%s", stream);
        if (end)
            return true;
        if (!fence_decode(rec.value, rec.value_len, &f, err))
            return err_wrap(err, "topic=%s offset=%llu", stream, (unsigned long long)rec.offset);
        bool ok = note_fence(settings, index, &f, pos, err);
        fence_release(&f);
        ++*ret_count;
        if (!ok)
            return false;
    }
}

/* The fences from this offset on. */
static bool read_from(const struct cap_settings *settings, struct journal_reader *jr,
                      const struct journal_range *range, struct cap_position *ret, size_t *ret_count,
                      struct err *err)
{
    struct stream_index *index = stream_index_new();
    bool ok = journal_assign(jr, range, 1, err) &&
              read_fences(settings, jr, range->stream, index, ret, ret_count, err);
    stream_index_free(index);
    return ok;
}

bool cap_position_read(const struct cap_settings *settings, struct cap_position *ret, struct err *err)
{
    struct journal_reader *jr = NULL;
    struct cap_position pos = {0};
    uint64_t first = 0, next = 0;
    char *stream CLEANUP(free_ptr) = journal_fence_stream(settings->topic_prefix);
    bool ok = journal_reader_open(&settings->journal, NULL, &jr, err) &&
              journal_bounds(jr, stream, 0, &first, &next, err);
    /* Kafka: commit marks take offsets too, so as many fences need about twice as many offsets; what was written without a fence
     * coming of it (each start leaves a mark of its own) takes more. */
    size_t count = 0;
    struct journal_range range = {.stream = stream, .first_offset = next, .next_offset = next};
    for (uint64_t back = 2 * FENCES_READ; ok && range.first_offset > first && count < FENCES_LEAST;
         back *= 4) {
        range.first_offset = next > first + back ? next - back : first;
        cap_position_release(&pos);
        ok = read_from(settings, jr, &range, &pos, &count, err);
    }
    journal_reader_close(jr);
    if (!ok) {
        cap_position_release(&pos);
        return err_wrap(err, "recovery");
    }
    pos.base.pipeline = settings->pipeline;
    *ret = pos;
    return true;
}

bool cap_position_streams(const struct cap_position *pos)
{
    return pos->complete || (pos->copy.there && pos->copy.requested);
}

void cap_position_release(struct cap_position *pos)
{
    for (size_t i = 0; i < pos->base.range_count; i++)
        free(pos->base.ranges[i].stream);
    free(pos->base.ranges);
    free(pos->past);
    free(pos->gtid);
    free(pos->gtid_from);
    fence_copy_release(&pos->copy);
    *pos = (struct cap_position){0};
}

/* --- does the source still fit? --- */

static bool forked(const struct cap_position *pos, const struct repl_identity *now,
                   const struct repl_timeline *history, size_t history_count, struct err *err)
{
    for (size_t i = 0; i < history_count; i++) {
        if (history[i].timeline != pos->base.timeline)
            continue;
        if (history[i].end_lsn >= pos->lsn)
            return true;
        return err_set(
            err, ERR_IDENTITY,
            "the source's history has forked before the journal's end: timeline %u ended at " LSN_FMT
            ", the last fence is at " LSN_FMT
            ". Transactions that the journal holds are gone on this server: start "
            "a new pipeline, or go back to the server that the journal was written from",
            pos->base.timeline, LSN_ARGS(history[i].end_lsn), LSN_ARGS(pos->lsn));
    }
    return err_set(err, ERR_IDENTITY,
                   "the source is on timeline %u, which does not descend from timeline %u of the last fence: "
                   "another server, or "
                   "one restored from a backup. Start a new pipeline",
                   now->timeline, pos->base.timeline);
}

bool cap_identity_fits(const struct cap_position *pos, const struct repl_identity *now,
                       const struct repl_timeline *history, size_t history_count, struct err *err)
{
    if (!pos->any)
        return true;
    if (pos->gtid != NULL)
        return err_set(err, ERR_IDENTITY,
                       "the journal was written from MariaDB, the source is PostgreSQL: check source.url, or "
                       "start a new pipeline with an empty journal");
    if (pos->base.system_id != now->system_id)
        return err_set(
            err, ERR_IDENTITY,
            "the journal was written from a server with system identifier %llu, the source has %llu: another "
            "server. Check source.url, or start a new pipeline with an empty journal",
            (unsigned long long)pos->base.system_id, (unsigned long long)now->system_id);
    if (!cap_position_streams(pos)) /* the copy starts over anyway */
        return true;
    if (pos->base.timeline != now->timeline && !forked(pos, now, history, history_count, err))
        return false;
    if (now->wal_lsn >= pos->lsn)
        return true;
    return err_set(err, ERR_IDENTITY,
                   "the source's WAL ends at " LSN_FMT ", before the last fence at " LSN_FMT
                   ": it was restored from an earlier backup. Start a new pipeline with an empty journal",
                   LSN_ARGS(now->wal_lsn), LSN_ARGS(pos->lsn));
}

bool cap_check_identity(struct cap_session *s, struct err *err)
{
    struct repl_timeline *history = NULL;
    size_t count = 0;
    if (!repl_identify(s->stream, &s->identity, err))
        return false;
    if (s->standby && s->position.any &&
        s->identity.wal_lsn < s->position.lsn) /* started again a moment ago */
        return err_set(err, ERR_TRANSIENT,
                       "the standby has replayed up to " LSN_FMT ", the last fence is at " LSN_FMT,
                       LSN_ARGS(s->identity.wal_lsn), LSN_ARGS(s->position.lsn));
    if (cap_position_streams(&s->position) && s->position.base.timeline != s->identity.timeline &&
        !repl_timeline_history(s->stream, s->identity.timeline, &history, &count, err))
        return false;
    bool ok = cap_identity_fits(&s->position, &s->identity, history, count, err);
    free(history);
    return ok;
}

bool cap_check_slot(struct cap_session *s, struct err *err)
{
    struct source_slot slot;
    const char *advice = "What was written since is lost to this pipeline: start over with an empty journal";
    if (!cap_slot_free(s, &slot, err))
        return false;
    if (!slot.exists)
        return err_set(err, ERR_GAP, "slot %s is gone; the last fence is at " LSN_FMT ". %s",
                       s->settings->slot, LSN_ARGS(s->position.lsn), advice);
    if (slot.lost)
        return err_set(err, ERR_GAP,
                       "slot %s was invalidated by the server (max_slot_wal_keep_size, or a conflict with "
                       "recovery on a standby); the last fence is at " LSN_FMT ". %s",
                       s->settings->slot, LSN_ARGS(s->position.lsn), advice);
    if (slot.confirmed_lsn > s->position.lsn)
        return err_set(err, ERR_GAP,
                       "slot %s is ahead of the journal: confirmed " LSN_FMT ", last fence " LSN_FMT
                       ". Someone else has read from it, or the journal was restored. %s",
                       s->settings->slot, LSN_ARGS(slot.confirmed_lsn), LSN_ARGS(s->position.lsn), advice);
    s->slot_lsn = slot.confirmed_lsn;
    return true;
}

static bool expects_commits(const struct cap_position *pos, lsn_t from_lsn)
{
    for (size_t i = 1; i < pos->past_count; i++) {
        if (pos->past[i - 1].lsn >= from_lsn && pos->past[i].transactions > 0)
            return true;
    }
    return false;
}

bool cap_check_history(const struct cap_position *pos, lsn_t from_lsn, uint64_t commits,
                       int64_t last_commit_time_us, struct err *err)
{
    if (commits > 0 ? last_commit_time_us == pos->commit_time_us : !expects_commits(pos, from_lsn))
        return true;
    return err_set(err, ERR_IDENTITY,
                   "the source's history between " LSN_FMT " (confirmed by the slot) and " LSN_FMT
                   " (the last fence) is not the one that the journal holds: the server was restored from an "
                   "earlier backup and "
                   "written to since. Start a new pipeline with an empty journal",
                   LSN_ARGS(from_lsn), LSN_ARGS(pos->lsn));
}
