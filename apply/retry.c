/*
 * Owns: what a person has asked for about dead letters (`crossfade apply dlq retry|discard`): done here, between two
 * batches, in a transaction of the target that commits the position once more. The lock and the position's
 * compare-and-set make sure that only one process does it, and that a kill leaves it done or not done. Likewise, before anything else
 * is applied behind a direct load: the rows that it could not put in, by the rules of any other row.
 */
#include <inttypes.h>

#include "apply/apply_internal.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

#define LOOK_EVERY_US 300000
/* A retry that was begun so often and never ended (the process died each time, say) is not begun again unasked. */
#define BEGUN_MAX 3

struct refill {
    struct session *s;
    enum target_mode mode;
    size_t count;
};

/* A chain may be larger than memory: it is written in parts, as it is read. */
static bool add_letter(void *ctx, const struct dead_letter *letter, struct err *err)
{
    struct refill *fill = ctx;
    struct session *s = fill->s;
    struct batch *b = s->run->batch;
    struct journal_record rec;
    fill->count++;
    if (stopper_given_up(s->run->stopper))
        return err_set(err, ERR_INTERRUPTED, "stopped inside a retry of dead letters");
    return letters_record(letter, &rec, err) && batch_add(b, s->run->settings.codec, s->dec, &rec, 0, err) &&
           (!batch_is_full(b) || batch_write(b, s->tables, s->tgt, fill->mode, ROWS_NEW_NONE, err)) &&
           failpoint("apply.retry_letter", err);
}

/* What is settled as applied must have been in the batch. */
static bool all_there(const struct refill *fill, struct err *err)
{
    uint64_t there = batch_counts(fill->s->run->batch)->changes;
    return there == fill->count ||
           err_set(err, ERR_BUG, "of %zu dead letters, or refused rows, %llu became changes", fill->count,
                   (unsigned long long)there);
}

static bool begin(struct session *s, struct err *err)
{
    letters_stale(s->letters);
    return target_begin(s->tgt, s->position.attempt, err);
}

/* The position as it stands, once more. */
static bool commit_position(struct session *s, struct err *err)
{
    struct target_position same = s->position;
    return fence_feed_offsets_at(s->feed, same.fence_id, &same.offsets, err) &&
           target_commit(s->tgt, &same, err);
}

static bool commit(struct session *s, struct err *err)
{
    return failpoint("apply.retry_before_commit", err) && commit_position(s, err) &&
           failpoint("apply.retry_after_commit", err) && letters_begin(s->letters, s->position.fence_id, err);
}

static bool write_chain(struct session *s, int64_t chain, enum target_mode mode, size_t *ret_count,
                        struct err *err)
{
    const struct target_letters_ops *ops = target_letters(s->tgt);
    struct refill fill = {.s = s, .mode = mode};
    batch_clear(s->run->batch);
    batch_keep_records(s->run->batch, false);
    batch_take_repeats(s->run->batch, true);
    bool ok = begin(s, err) && ops->each(s->tgt, LETTERS_CHAIN, chain, add_letter, &fill, err) &&
              all_there(&fill, err) &&
              batch_write(s->run->batch, s->tables, s->tgt, mode, ROWS_NEW_NONE, err) &&
              target_settle(s->tgt, true, err) && ops->settle(s->tgt, chain, NULL, err);
    batch_take_repeats(s->run->batch, false);
    batch_clear(s->run->batch);
    *ret_count = fill.count;
    return ok && commit(s, err);
}

/* Stays held, with the new error; the pipeline goes on. */
static bool keep_held(struct session *s, int64_t chain, size_t count, const struct err *why, struct err *err)
{
    log_event(LOG_LEVEL_WARN, "dead_letters_refused", "chain=%" PRId64 " count=%zu sqlstate=%s text=\"%s\"",
              chain, count, why->sqlstate, why->text);
    return dual_write_after_letter(s, true, err) && begin(s, err) &&
           target_letters(s->tgt)->settle(s->tgt, chain, why, err) && commit(s, err);
}

/* Counted and committed before the work: whatever ends this process on the way, the count stays. */
static bool count_begun(struct session *s, int64_t chain, int64_t *ret_begun, struct err *err)
{
    return begin(s, err) && target_letters(s->tgt)->begun(s->tgt, chain, ret_begun, err) &&
           commit_position(s, err);
}

static bool retry_chain(struct session *s, int64_t chain, struct err *err)
{
    static const enum target_mode modes[] = {TARGET_ORDERED, TARGET_REPLACE};
    struct err why = ERR_INIT;
    size_t count = 0;
    int64_t begun = 0;
    if (!count_begun(s, chain, &begun, err))
        return false;
    if (begun > BEGUN_MAX) {
        err_set(
            &why, ERR_SQL,
            "the retry was begun %d times and never came to an end (the log of apply says why): it is not "
            "begun again until it is asked for",
            BEGUN_MAX);
        return keep_held(s, chain, 0, &why, err);
    }
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct err refused = ERR_INIT;
        if (write_chain(s, chain, modes[i], &count, &refused)) {
            log_event(LOG_LEVEL_INFO, "dead_letters_applied", "chain=%" PRId64 " count=%zu", chain, count);
            return dual_write_after_letter(s, false, err);
        }
        if (err_policy(refused.code) != POLICY_HALT || refused.code == ERR_FENCED)
            return *err = refused, false;
        if (i == 0)
            why = refused;
    }
    return keep_held(s, chain, count, &why, err);
}

static bool discard(struct session *s, int64_t count, struct err *err)
{
    if (!begin(s, err) || !target_letters(s->tgt)->discard(s->tgt, err) || !commit(s, err))
        return false;
    log_event(LOG_LEVEL_WARN, "dead_letters_discarded", "count=%" PRId64, count);
    return true;
}

/* --- rows that a direct load left --- */

static bool add_refused(void *ctx, const struct dead_letter *letter, struct err *err)
{
    struct refill *fill = ctx;
    struct session *s = fill->s;
    struct journal_record rec;
    fill->count++;
    return letters_record(letter, &rec, err) &&
           batch_add(s->run->batch, s->run->settings.codec, s->dec, &rec, 0, err);
}

/* Each page by itself: as a batch that is narrowed down, since each of them has been refused once. What is forgotten afterwards must have
 * been in a batch. */
static bool write_refused(struct session *s, size_t *ret_count, struct err *err)
{
    const struct target_letters_ops *ops = target_letters(s->tgt);
    for (int64_t last = 0, before = -1; last != before;) {
        struct refill fill = {.s = s};
        before = last;
        batch_clear(s->run->batch);
        if (stopper_given_up(s->run->stopper))
            return err_set(err, ERR_INTERRUPTED, "stopped while refused rows were taken up");
        if (!ops->refused(s->tgt, before, add_refused, &fill, &last, err) || !all_there(&fill, err) ||
            !batch_write_isolating(s->run->batch, s->tables, s->tgt, s->letters,
                                   !s->run->settings.dead_letters, &s->run->status.narrowing_attempts, err))
            return false;
        *ret_count += fill.count;
    }
    return true;
}

bool apply_session_take_refused(struct session *s, struct err *err)
{
    const struct target_letters_ops *ops = target_letters(s->tgt);
    size_t count = 0;
    if (ops == NULL)
        return true;
    batch_clear(s->run->batch);
    batch_keep_records(s->run->batch, true);
    batch_take_repeats(s->run->batch, true);
    bool ok = begin(s, err) && letters_begin(s->letters, s->position.fence_id, err) &&
              write_refused(s, &count, err) && (count == 0 || ops->forget_refused(s->tgt, err));
    batch_take_repeats(s->run->batch, false);
    batch_clear(s->run->batch);
    if (!ok || count == 0)
        return ok && target_abandon(s->tgt, err);
    if (!failpoint("apply.retry_refused", err) || !commit(s, err))
        return false;
    log_event(LOG_LEVEL_WARN, "direct_refused", "rows=%zu dead_letters=%llu", count,
              (unsigned long long)letters_count(s->letters));
    return true;
}

bool apply_session_requests(struct session *s, struct err *err)
{
    int64_t discards = 0, chain = 0;
    if (letters_count(s->letters) == 0 || clock_mono_us() < s->look_at_requests_us)
        return true;
    do { /* each round settles what it finds: the number of rounds is bounded by that of letters */
        if (!target_letters(s->tgt)->asked(s->tgt, &discards, &chain, err) ||
            (discards > 0 && !discard(s, discards, err)) || (chain != 0 && !retry_chain(s, chain, err)))
            return false;
        s->run->status.dead_letters = letters_count(s->letters);
        if (discards > 0 || chain != 0)
            progress_publish(s->run, true);
    } while (chain != 0 && !stopper_asked(s->run->stopper));
    s->look_at_requests_us = clock_mono_us() + LOOK_EVERY_US;
    return true;
}
