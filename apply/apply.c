/* Owns: the apply role's loop: sessions, their errors, the waits at markers, the stop. See apply.h. */
#include "apply/apply.h"

#include <stdio.h>
#include <string.h>

#include "apply/apply_internal.h"
#include "config/reverse.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/sqlstate.h"
#include "journal/journal_settings.h"
#include "target/shard.h"

#define UNKNOWN_CHANGE_BYTES 4096 /* before a batch has told */
#define FENCE_WAIT_MS        200
#define RELEASE_POLL_US      10000
#define TOUCH_US             15000000
#define THROTTLE_POLL_US     50000
#define DIRECT_POLL_US       50000
#define STOP_GRACE_MS        8000
#define BACKOFF_FIRST_MS     100
#define BACKOFF_MAX_MS       5000

static bool read_settings(const struct config *cfg, struct apply_settings *ret, struct err *err)
{
    *ret = (struct apply_settings){
        .target = {.url = config_text(cfg, "target.url"),
                   .pipeline = config_text(cfg, "pipeline"),
                   .shard = config_text(cfg, "apply.shard"),
                   .truncate_nonempty = strcmp(config_text(cfg, "apply.on_nonempty"), "truncate") == 0,
                   .unfit = {.all = target_unfit_named(config_text(cfg, "target.unfit"))},
                   .writers = (size_t)config_int(cfg, "apply.writers"),
                   .writer_rows = (size_t)config_int(cfg, "apply.writer_rows")},
        .codec = codec_by_name(config_text(cfg, "journal.format")),
        .accept_lossy = strcmp(config_text(cfg, "journal.lossy"), "debezium") == 0,
        .dead_letters = strcmp(config_text(cfg, "apply.on_row_error"), "dead_letter") == 0,
        .max_dead_letters = (uint64_t)config_int(cfg, "apply.max_dead_letters"),
        .batch_max_bytes = (size_t)config_int(cfg, "apply.batch_max_bytes"),
    };
    struct target_unfit_rules *unfit = &ret->target.unfit;
    unfit->rules = config_list(cfg, "target.unfit_columns", &unfit->rule_count);
    if (!target_unfit_check(unfit, err) || !shard_parse(ret->target.shard, &ret->shard, err) ||
        !foreign_settings_read(cfg, &ret->foreign, err) || !dual_write_settings(cfg, ret, err))
        return false;
    config_other_pipeline(cfg, ret->target.way_back);
    ret->target.comes_back = config_comes_from_mariadb(cfg);
    ret->target.table_shard = target_shard_of;
    if (ret->foreign.on)
        ret->journal = ret->foreign.journal;
    else
        journal_settings(cfg, &ret->journal);
    return ret->codec != NULL ||
           err_set(err, ERR_CONFIG, "journal.format: %s is not known", config_text(cfg, "journal.format"));
}

/* How many changes a batch may have so that it likely fits into its memory. */
static uint64_t changes_that_fit(const struct apply_run *run)
{
    uint64_t most = throttle_batch(&run->throttle);
    if (run->bytes_per_change == 0)
        return most;
    size_t room =
        run->settings.batch_max_bytes / (run->settings.foreign.on ? 1 : 2); /* half is the next one's */
    uint64_t fit = room / run->bytes_per_change;
    return MAX_OF(1, MIN_OF(most, fit));
}

/* … if it is to have all that the journal holds, as far as that goes. */
static uint64_t changes_of_whole(const struct apply_run *run)
{
    uint64_t each = run->bytes_per_change != 0 ? run->bytes_per_change : UNKNOWN_CHANGE_BYTES;
    return MAX_OF(1, run->settings.batch_max_bytes / each);
}

static void learn_size(struct apply_run *run)
{
    const struct batch_counts *counts = batch_counts(run->batch);
    if (counts->changes > 0)
        run->bytes_per_change = 600 + 2 * counts->value_bytes / counts->changes;
}

static void show_marker(struct session *s)
{
    struct role_status *st = &s->run->status;
    memcpy(st->marker_nonce, s->wait_until_us != 0 ? s->position.marker_nonce : "",
           s->wait_until_us != 0 ? sizeof st->marker_nonce : 1);
}

/* The position as the target has it: still the one that this process wrote last. */
static bool look_at_position(struct session *s, struct err *err)
{
    bool found;
    uint64_t ours = s->position.fence_id;
    if (!target_position(s->tgt, &s->position, &found, err))
        return false;
    if (found == s->position_found && (!found || s->position.fence_id == ours))
        return true;
    return err_set(err, ERR_FENCED,
                   "crossfade.position was moved while this process waited at fence %llu: another apply "
                   "has taken over, or somebody changed it by hand",
                   (unsigned long long)ours);
}

/* A target that hears nothing for long may take us for dead (lib/target/mariadb/lock.c), and so may what lies in between. */
static bool keep_in_touch(struct session *s, struct err *err)
{
    int64_t now_us = clock_mono_us();
    if (s->spoken_us == 0 || now_us - s->spoken_us < TOUCH_US) {
        s->spoken_us = s->spoken_us == 0 ? now_us : s->spoken_us;
        return true;
    }
    s->spoken_us = now_us;
    return look_at_position(s, err);
}

/* At a comparison's fence: nothing is applied until the comparator releases it, or its deadline has passed.
 */
static bool wait_for_release(struct session *s, struct err *err)
{
    struct apply_run *run = s->run;
    if (!failpoint("apply.wait", err))
        return false;
    show_marker(s);
    progress_phase(run, PHASE_HOLDING);
    log_event(LOG_LEVEL_INFO, "waiting_for_release", "fence=%llu nonce=%s",
              (unsigned long long)s->position.fence_id, s->position.marker_nonce);
    bool late = false;
    while (!s->position.released && !late) {
        if (stopper_wait(run->stopper, RELEASE_POLL_US))
            return true; /* the next start waits on */
        late = clock_mono_us() >= s->wait_until_us;
        if (!look_at_position(s, err))
            return false;
        progress_publish(run, false);
    }
    log_event(LOG_LEVEL_INFO, s->position.released ? "released" : "release_deadline", "fence=%llu nonce=%s",
              (unsigned long long)s->position.fence_id, s->position.marker_nonce);
    s->wait_until_us = 0;
    show_marker(s);
    progress_phase(run, s->position.complete ? PHASE_STREAMING : PHASE_SNAPSHOT);
    return true;
}

static bool after_commit(struct session *s, const struct fence_batch *fences, struct err *err)
{
    if (fences->last->marker.kind == MARKER_COMPARE)
        s->wait_until_us = clock_mono_us() + fences->last->marker.deadline_ms * 1000;
    learn_size(s->run);
    dual_write_applied(s);
    progress_applied(s, fences);
    if (batch_counts(s->run->batch)->duplicates > 0)
        log_event(LOG_LEVEL_INFO, "duplicates_dropped", "fence=%llu count=%llu",
                  (unsigned long long)fences->last->id,
                  (unsigned long long)batch_counts(s->run->batch)->duplicates);
    ahead_settle(s->run->ahead);
    bool ok = failpoint("apply.before_confirm", err) &&
              journal_confirm(s->data, fences->ranges, fences->range_count, s->position.fence_offset, err);
    fence_feed_take(s->feed, fences);
    return ok;
}

static bool look_ahead(struct session *s, struct err *err)
{
    uint64_t end;
    if (clock_mono_us() - s->run->published_us < 100000)
        return true;
    if (!fence_feed_end(s->feed, &end, err))
        return false;
    progress_seen(s, end);
    (void)snprintf(s->run->status.notice, sizeof s->run->status.notice, "%s", fence_feed_notice(s->feed));
    progress_publish(s->run, false);
    return true;
}

/* A table that does not fit stops the fence that needs it, not those before it: a person may have to change the target between
 * the two (a column that was renamed). True: go on fence by fence. */
static bool may_split(struct session *s, const struct fence_batch *fences, struct err *err)
{
    struct err lost = ERR_INIT;
    if (err->code != ERR_SCHEMA || fences->count == 1)
        return false;
    if (!target_abandon(s->tgt, &lost))
        return *err = lost, false;
    log_event(LOG_LEVEL_INFO, "batch_split", "fences=%zu text=\"%s\"", fences->count, err->text);
    s->single_fences = fences->count;
    err_clear(err);
    return true;
}

/* May the next batch be written? If not, a moment has passed. */
static bool may_go_on(struct session *s, bool *ret_go, struct err *err)
{
    struct apply_run *run = s->run;
    const char *was = run->status.throttle;
    if (!throttle_look(&run->throttle, s->tgt, desk_is_paused(run->desk), &run->status.throttle, err))
        return false;
    if (run->status.throttle != was &&
        (was == NULL || run->status.throttle == NULL || strcmp(was, run->status.throttle) != 0)) {
        if (run->status.throttle == NULL || strcmp(run->status.throttle, "rows_per_second") != 0)
            log_event(LOG_LEVEL_INFO, "throttle", "waits_for=%s",
                      run->status.throttle != NULL ? run->status.throttle : "nothing");
        progress_working(s);
        progress_publish(run, true);
    }
    *ret_go = run->status.throttle == NULL;
    if (!*ret_go)
        (void)stopper_wait(run->stopper, THROTTLE_POLL_US);
    return true;
}

static void take_config(void *ctx, const struct config *cfg)
{
    struct apply_run *run = ctx;
    throttle_take(&run->throttle, cfg);
    run->status.batch_changes = throttle_batch(&run->throttle);
}

/* What people have asked for meanwhile; a drain ends at the fence that was the last one when it was asked for. */
static bool look_at_desk(struct session *s, struct err *err)
{
    struct apply_run *run = s->run;
    (void)desk_new_config(run->desk, &run->config_seen, take_config, run);
    throttle_rate(&run->throttle, desk_rate_asked(run->desk));
    if (!desk_drain_asked(run->desk))
        return true;
    uint64_t next = s->position_found ? s->position.fence_offset + 1 : 0;
    if (run->drain_end == 0 && !fence_feed_end(s->feed, &run->drain_end, err))
        return false;
    if (next >= run->drain_end) {
        log_event(LOG_LEVEL_INFO, "drained", "fence=%llu", (unsigned long long)s->position.fence_id);
        desk_drained(run->desk);
    }
    return true;
}

/* Those that were read ahead, unless something has come in between. */
static bool pick_fences(struct session *s, struct fence_batch *ret, struct err *err)
{
    struct ahead *ahead = s->run->ahead;
    if (s->single_fences > 0 || s->look_whole)
        ahead_drop(ahead);
    if (ahead_fences(ahead) != NULL)
        return fence_feed_pick_same(s->feed, ahead_fences(ahead), ret, err);
    return fence_feed_pick(s->feed, s->single_fences > 0 ? 0 : s->most, ret, err);
}

/* One turn: wait for fences, apply a batch of them. */
static bool turn(struct session *s, struct err *err)
{
    struct fence_batch fences;
    bool ready = false;
    s->most = s->look_whole ? changes_of_whole(s->run) : changes_that_fit(s->run);
    if (s->wait_until_us != 0)
        return wait_for_release(s, err);
    if (!keep_in_touch(s, err) || !dual_write_turn(s, err) || !apply_session_requests(s, err) ||
        !progress_verdict(s, err))
        return false;
    bool go = false;
    progress_alarm(s->run);
    if (!look_at_desk(s, err) || !look_ahead(s, err) || !may_go_on(s, &go, err))
        return false;
    if (!go)
        return true;
    if (!fence_feed_read(s->feed, FENCE_WAIT_MS, ahead_wants(s, s->most), &ready, err) || !ready)
        return !err_is_set(err);
    if (desk_is_paused(s->run->desk)) /* while it waited for fences: these are not written any more */
        return true;
    if (!pick_fences(s, &fences, err))
        return false;
    source_clock_saw(&s->run->source_clock, fences.last->commit_time_us, clock_wall_us());
    bool wait = false;
    if (!apply_session_direct(s, &fences, &wait, err))
        return false;
    if (wait) {
        (void)stopper_wait(s->run->stopper, DIRECT_POLL_US);
        return true;
    }
    s->single_fences -= MIN_OF(s->single_fences, fences.count);
    s->spoken_us = clock_mono_us();
    int64_t began_us = clock_mono_us();
    table_map_defer(s->tables, !s->look_whole);
    bool ok = apply_session_apply(s, &fences, err);
    table_map_defer(s->tables, false);
    if (!ok)
        return dual_write_may_wait(s, &fences, err) || may_split(s, &fences, err);
    throttle_note(&s->run->throttle, fences.changes, clock_mono_us() - began_us);
    s->run->status.batch_changes = throttle_batch(&s->run->throttle);
    progress_batch(s, clock_mono_us() - began_us);
    return after_commit(s, &fences, err);
}

/* True: the turn that failed is taken again in this session, out of its transaction: much is asked before the next one begins.
 * *err is cleared. */
static bool may_retry(struct session *s, unsigned *failures, struct err *err)
{
    struct apply_run *run = s->run;
    struct err lost = ERR_INIT;
    if (err_policy(err->code) != POLICY_RETRY || stopper_asked(run->stopper))
        return false;
    if (!target_abandon(s->tgt, &lost)) { /* recover() opens another session */
        log_event(LOG_LEVEL_WARN, "rollback_failed", "text=\"%s\"", lost.text);
        return false;
    }
    progress_retry(run, err);
    progress_error(run, err);
    log_event(LOG_LEVEL_WARN, "batch_retry", "class=%s text=\"%s\"", err_code_name(err->code), err->text);
    err_clear(err);
    progress_publish(run, true);
    (void)stopper_wait(run->stopper, clock_backoff_us((*failures)++, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
    return true;
}

static bool run_session(struct apply_run *run, unsigned *failures, struct err *err)
{
    struct session *s = NULL;
    bool ok = apply_session_open(run, &s, err);
    if (ok) {
        status_board_set_ready(run->board);
        progress_applied(s, NULL);
        progress_phase(run, s->position_found && s->position.complete ? PHASE_STREAMING : PHASE_SNAPSHOT);
    }
    while (ok && !stopper_asked(run->stopper)) {
        if (turn(s, err)) {
            if (s->wait_until_us == 0)
                progress_working(s);
            *failures = 0;
            run->status.failed_batches = 0;
        } else {
            ok = may_retry(s, failures, err);
        }
    }
    apply_session_close(s);
    return ok;
}

/* The table of SQLSTATE classes knows what a person may do, where the server's text does not say it. */
static void add_advice(struct err *err)
{
    const struct sqlstate_rule *rule = sqlstate_rule(err->sqlstate);
    struct err was = *err;
    if (err->sqlstate[0] == '\0' || rule->advice == NULL || strstr(err->text, "Hint:") != NULL)
        return;
    err_set(err, was.code, "%s. Hint: %s", was.text, rule->advice);
    memcpy(err->sqlstate, was.sqlstate, sizeof was.sqlstate);
}

/* True: try again. */
static bool recover(struct apply_run *run, unsigned *failures, struct err *err)
{
    enum err_policy policy = err_policy(err->code);
    if (policy == POLICY_BUG)
        BUG("%s", err->text);
    if (stopper_asked(run->stopper) && policy != POLICY_HALT) {
        err_clear(err);
        return false;
    }
    if (policy == POLICY_HALT)
        add_advice(err);
    progress_alarm(run);
    progress_error(run, err);
    if (policy != POLICY_RECONNECT && policy != POLICY_RETRY) {
        progress_phase(run, PHASE_HALTED);
        progress_publish(run, true);
        return false;
    }
    log_event(LOG_LEVEL_WARN, "session_lost", "class=%s text=\"%s\"", err_code_name(err->code), err->text);
    progress_retry(run, err);
    progress_phase(run, PHASE_RETRYING);
    progress_publish(run, true);
    err_clear(err);
    return !stopper_wait(run->stopper, clock_backoff_us((*failures)++, BACKOFF_FIRST_MS, BACKOFF_MAX_MS));
}

bool apply_run(const struct config *cfg, struct status_board *board, int stop_fd, struct err *err)
{
    struct apply_run run = {.board = board, .status = {.role = "apply", .retained_wal_bytes = -1}};
    unsigned failures = 0;
    if (!config_require(cfg, err, "pipeline", "target.url", NULL) ||
        !read_settings(cfg, &run.settings, err) ||
        (!run.settings.foreign.on && !config_require(cfg, err, "journal.url", NULL)) ||
        !throttle_init(&run.throttle, cfg, err)) {
        foreign_settings_release(&run.settings.foreign);
        conflict_rules_free(run.settings.conflicts);
        return false;
    }
    conflict_rules_show(run.settings.conflicts, run.status.dual_written, sizeof run.status.dual_written);
    if (run.settings.conflicts != NULL)
        (void)snprintf(run.status.dual_write_until, sizeof run.status.dual_write_until, "%s",
                       config_text(cfg, "apply.dual_write_until"));
    run.desk = status_board_desk(board);
    run.status.batch_changes = throttle_batch(&run.throttle);
    run.settings.journal.on_trouble = run.settings.foreign.journal.on_trouble = status_board_trouble;
    run.settings.journal.trouble_ctx = run.settings.foreign.journal.trouble_ctx = board;
    desk_check_by(run.desk, throttle_check);
    desk_can(run.desk,
             DESK_CAN(DESK_PAUSE) | DESK_CAN(DESK_RESUME) | DESK_CAN(DESK_THROTTLE) | DESK_CAN(DESK_DRAIN));
    if (run.settings.foreign.on)
        (void)snprintf(run.status.promise, sizeof run.status.promise, "%s",
                       foreign_promise(&run.settings.foreign));
    strncpy(run.status.pipeline, run.settings.target.pipeline, sizeof run.status.pipeline - 1);
    if (run.settings.shard.count > 1)
        (void)snprintf(run.status.shard, sizeof run.status.shard, "%s", run.settings.target.shard);
    run.batch = batch_new(run.settings.batch_max_bytes);
    run.ahead = ahead_new(&run);
    run.stopper = stopper_start(stop_fd, config_text(cfg, "apply.stop_file"), STOP_GRACE_MS);
    progress_phase(&run, PHASE_STARTING);
    struct err last = ERR_INIT;
    bool again = true;
    while (again && !stopper_asked(run.stopper)) {
        err_clear(&last);
        again = run_session(&run, &failures, &last) || recover(&run, &failures, &last);
    }
    if (!err_is_set(&last))
        progress_phase(&run, PHASE_STOPPING);
    if (stopper_by_file(run.stopper)) {
        err_set(&last, ERR_SQL,
                "apply.stop_file: %s is there: stopped at fence %llu, what was under way is rolled back. "
                "Remove it "
                "and start apply again",
                config_text(cfg, "apply.stop_file"), (unsigned long long)run.status.fence_id);
        progress_error(&run, &last);
        progress_phase(&run, PHASE_HALTED);
    }
    stopper_end(run.stopper);
    ahead_free(run.ahead);
    batch_free(run.batch);
    conflict_rules_free(run.settings.conflicts);
    foreign_settings_release(&run.settings.foreign);
    if (err_is_set(&last))
        *err = last;
    return !err_is_set(&last);
}
