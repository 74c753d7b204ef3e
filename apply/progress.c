/* Owns: what apply tells about itself. */
#include <stdio.h>
#include <string.h>

#include "apply/apply_internal.h"
#include "control/tally.h"
#include "core/clock.h"
#include "core/log.h"

#define PUBLISH_EVERY_US 200000
#define VERDICT_EVERY_US 5000000

void progress_publish(struct apply_run *run, bool now)
{
    int64_t t = clock_mono_us();
    if (!now && t - run->published_us < PUBLISH_EVERY_US)
        return;
    run->published_us = t;
    status_board_publish(run->board, &run->status);
}

void progress_phase(struct apply_run *run, enum role_phase phase)
{
    if (run->status.phase == phase)
        return;
    run->status.phase = phase;
    run->status.phase_since_us = clock_wall_us();
    progress_publish(run, true);
}

void progress_working(struct session *s)
{
    const char *why = s->run->status.throttle;
    bool paused = why != NULL && (strcmp(why, "paused") == 0 || strcmp(why, "schedule") == 0);
    progress_phase(s->run, paused                                      ? PHASE_PAUSED
                           : s->position_found && s->position.complete ? PHASE_STREAMING
                                                                       : PHASE_SNAPSHOT);
}

/* Told once for each time that the lag goes over the limit, or comes back. */
void progress_alarm(struct apply_run *run)
{
    struct role_status *st = &run->status;
    int64_t since_us = MAX_OF(st->position_commit_us, st->caught_up_us);
    int64_t lag_us = since_us != 0 ? clock_wall_us() - since_us : 0;
    st->lag_limit_us = run->throttle.max_lag_us;
    bool late = run->throttle.max_lag_us > 0 && lag_us > run->throttle.max_lag_us;
    if (late == st->lag_alarm)
        return;
    st->lag_alarm = late;
    log_event(late ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, late ? "lag_alarm" : "lag_alarm_over",
              "lag_ms=%lld max_lag_ms=%lld", (long long)(lag_us / 1000),
              (long long)(run->throttle.max_lag_us / 1000));
    progress_publish(run, true);
}

void progress_error(struct apply_run *run, const struct err *err)
{
    run->status.errors++;
    tally_error(status_board_tally(run->board), err);
    run->status.last_error_us = clock_wall_us();
    run->status.failed_batches++;
    (void)snprintf(run->status.last_error, sizeof run->status.last_error, "%.590s", err->text);
    memcpy(run->status.last_sqlstate, err->sqlstate, sizeof run->status.last_sqlstate);
}

void progress_retry(struct apply_run *run, const struct err *err)
{
    run->status.retries++;
    tally_retry(status_board_tally(run->board), err);
}

/* A batch is committed. took_us: since it was taken up. */
void progress_batch(struct session *s, int64_t took_us)
{
    struct tally *t = status_board_tally(s->run->board);
    uint64_t changes = batch_counts(s->run->batch)->changes;
    batch_tally(s->run->batch, t);
    tally_observe(t, TALLY_BATCH_ROWS, (double)changes);
    tally_observe(t, TALLY_BATCH_SECONDS, (double)took_us / 1e6);
    if (changes > 0 && s->position.complete && s->position.commit_time_us != 0)
        tally_observe(t, TALLY_COMMIT_SECONDS,
                      (double)MAX_OF(clock_wall_us() - s->position.commit_time_us, 0) / 1e6);
}

/* The last verdict is a comparison's, and comes by the target. One that may not be read is not asked for again in this session:
 * nothing that is applied depends on it. */
bool progress_verdict(struct session *s, struct err *err)
{
    struct role_status *st = &s->run->status;
    struct target_verdict v;
    struct err refused = ERR_INIT;
    int64_t now_us = clock_mono_us();
    if (s->verdict_unknown || (s->verdict_looked_us != 0 && now_us - s->verdict_looked_us < VERDICT_EVERY_US))
        return true;
    s->verdict_looked_us = now_us;
    if (!target_verdict(s->tgt, &v, &refused)) {
        if (err_policy(refused.code) != POLICY_HALT)
            return *err = refused, false;
        s->verdict_unknown = true;
        log_event(LOG_LEVEL_WARN, "verdict_unknown", "text=\"%s\"", refused.text);
        return target_abandon(s->tgt, err);
    }
    (void)snprintf(st->verdict, sizeof st->verdict, "%s", v.last);
    int64_t wall_us = clock_wall_us();
    st->verdict_us = wall_us - v.age_us;
    st->full_pass_us = v.full_pass_age_us >= 0 ? wall_us - v.full_pass_age_us : 0;
    return true;
}

void progress_seen(struct session *s, uint64_t fences_end)
{
    struct role_status *st = &s->run->status;
    uint64_t next = s->position_found ? s->position.fence_offset + 1 : 0;
    st->unapplied_fences = fences_end > next ? fences_end - next : 0;
    st->journaled_lsn = MAX_OF(fence_feed_newest_lsn(s->feed), st->applied_lsn);
    if (st->unapplied_fences == 0)
        st->caught_up_us = clock_wall_us();
}

void progress_applied(struct session *s, const struct fence_batch *fences)
{
    struct role_status *st = &s->run->status;
    const struct batch_counts *counts = batch_counts(s->run->batch);
    st->applied_lsn = s->position.lsn;
    st->position_commit_us = s->position.commit_time_us;
    st->fence_id = s->position.fence_id;
    st->attempt = s->position.attempt;
    st->complete = s->position.complete;
    st->dead_letters = letters_count(s->letters);
    if (fences == NULL)
        return;
    st->changes += counts->changes;
    st->snapshot_rows += counts->reads;
    st->bytes += counts->value_bytes;
    st->transactions += fences->transactions;
    st->fences += fences->count;
    if (fences->begins_copy) {
        st->snapshot_started_us = clock_wall_us();
        st->snapshot_finished_us = 0;
    } else if (st->complete && st->snapshot_started_us != 0 && st->snapshot_finished_us == 0) {
        st->snapshot_finished_us = clock_wall_us();
    }
}
