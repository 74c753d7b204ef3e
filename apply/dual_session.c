/*
 * Owns: dual write as the role's loop sees it: its settings, when the look begins, the time limit, and when a conflict may be decided.
 *
 * A target that is ahead of what apply has read looks like a conflict: the application has changed the row twice on both sides, and
 * apply has read the first change alone. So a batch that meets a conflict is given up, and taken up again with all fences that the
 * journal holds; only then the rules decide. `halt`, which would stop for it, decides later still: at the first fence whose last commit
 * is, by the source's clock, later than the moment in which the conflict was met first. That is a place in the log: how late
 * it is read changes nothing, and a clock of the source's that goes before apply's shows itself (source_clock.h). Until then the conflict is open for people to see, and goes away if the source's own change comes.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "apply/apply_internal.h"
#include "core/clock.h"
#include "core/log.h"

/* The source's clock may be before apply's, beyond what is known of that (source_clock.h): by the time that the quickest record took. */
#define CLOCKS_DIFFER_US INT64_C(5000000)
#define TELL_AFTER_US    INT64_C(5000000)
#define LOOK_AGAIN_US    200000
#define HOUR_US          INT64_C(3600000000)

/* 2026-09-30T22:00Z or with seconds; the configuration's pattern has seen to the form. */
static bool read_time(const char *text, int64_t *ret_us, struct err *err)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL) {
        tm = (struct tm){0};
        end = strptime(text, "%Y-%m-%dT%H:%MZ", &tm);
    }
    if (end == NULL || *end != '\0')
        return err_set(err, ERR_CONFIG,
                       "apply.dual_write_until: found \"%s\", expected a time such as 2026-09-30T22:00Z",
                       text);
    *ret_us = (int64_t)timegm(&tm) * 1000000;
    return true;
}

bool dual_write_settings(const struct config *cfg, struct apply_settings *ret, struct err *err)
{
    size_t count;
    const char *const *texts = config_list(cfg, "apply.conflicts", &count);
    const char *until = config_text(cfg, "apply.dual_write_until");
    if (until != NULL && !read_time(until, &ret->dual_write_until_us, err))
        return false;
    if (count == 0)
        return true;
    if (until == NULL)
        return err_set(
            err, ERR_CONFIG,
            "apply.conflicts: writing on both sides has to end: set apply.dual_write_until, such as "
            "2026-09-30T22:00Z");
    if (ret->foreign.on)
        return err_set(err, ERR_CONFIG, "apply.conflicts is not there yet for source.debezium");
    return conflict_rules_new(texts, count, &ret->conflicts, err);
}

/* Warned of a day, an hour and ten minutes before, and at the start within these. */
static bool within_limit(struct apply_run *run, struct err *err)
{
    static const int64_t warn_us[] = {HOUR_US / 6, HOUR_US, 24 * HOUR_US};
    int64_t left_us = run->settings.dual_write_until_us - clock_wall_us();
    if (left_us <= 0)
        return err_set(
            err, ERR_SQL,
            "apply.dual_write_until has passed: the application may not write both sides any more. "
            "Hint: let it write the source alone and take apply.conflicts out, or move the limit; "
            "then start apply again: nothing was skipped");
    for (size_t i = 0; i < ARRAY_LEN(warn_us); i++) {
        if (left_us > warn_us[i])
            continue;
        if (run->dual_write_left_us == 0 || run->dual_write_left_us > warn_us[i])
            log_event(
                LOG_LEVEL_WARN, "dual_write_ends",
                "minutes_left=%lld text=\"apply halts at apply.dual_write_until: end the dual write before "
                "(docs/OPERATIONS.md)\"",
                (long long)(left_us / 60000000));
        run->dual_write_left_us = left_us;
        break;
    }
    return true;
}

static const struct conflict_rule *rule_of(void *ctx, const char *schema, const char *table)
{
    return conflict_rules_find(ctx, schema, table);
}

static bool begin(struct session *s, struct err *err)
{
    struct apply_settings *set = &s->run->settings;
    const struct target_conflict_ops *ops = target_conflicts(s->tgt);
    size_t count = conflict_rules_count(set->conflicts);
    bool complete = s->position_found && s->position.complete, begun = true;
    s->watch_looked = true;
    if (ops != NULL && /* else there are no rules: open_target */
        !ops->start(s->tgt, rule_of, set->conflicts, count, complete, &begun, &s->run->status.conflicts_open,
                    err))
        return false;
    s->watching = begun && complete;
    if (begun && ops != NULL && count > 0) {
        table_map_watch(s->tables, set->conflicts);
        log_event(LOG_LEVEL_INFO, "dual_write", "tables=\"%s\" open=%llu", s->run->status.dual_written,
                  (unsigned long long)s->run->status.conflicts_open);
    }
    return true;
}

bool dual_write_turn(struct session *s, struct err *err)
{
    /* What was watched before a table was added, say, stays so after a restart; the position is not complete then. */
    bool turn = s->position_found && (s->position.complete ? !s->watching : !s->watch_looked);
    if (turn && !begin(s, err))
        return false;
    return s->run->settings.conflicts == NULL || within_limit(s->run, err);
}

void dual_write_pause(struct session *s)
{
    s->watching = false;
    table_map_watch(s->tables, NULL);
}

bool dual_write_after_letter(struct session *s, bool keep, struct err *err)
{
    const struct target_conflict_ops *ops = target_conflicts(s->tgt);
    if (s->run->settings.conflicts == NULL || !ops->halted(s->tgt))
        return true;
    s->watching = s->watching && !keep; /* they are counted anew */
    return ops->give_up(s->tgt, keep, err);
}

/* Has apply read what the source had committed when the conflict was met first? The log itself says so: with a commit that is later by
 * the source's own clock, however late it is read. Or nothing more can come into the batch. */
static bool is_final(const struct session *s, const struct fence_batch *fences)
{
    int64_t since_us = s->conflict_since_us + source_clock_ahead_us(&s->run->source_clock);
    return fences->last->commit_time_us >= since_us + CLOCKS_DIFFER_US ||
           fence_feed_is_behind(s->feed, fences);
}

static bool was_there(const struct session *s, const char *row)
{
    for (size_t i = 0; i < CONFLICT_HALTED_MAX; i++) {
        if (strcmp(s->conflict_rows[i], row) == 0)
            return true;
    }
    return false;
}

/* While an application writes, some row of the target is always ahead: the wait is for the rows at hand, and begins anew when none of
 * those is left with which it began. */
static void note_rows(struct session *s, int64_t now_us)
{
    const struct target_conflict_ops *ops = target_conflicts(s->tgt);
    char rows[CONFLICT_HALTED_MAX][CONFLICT_HALTED_LEN] = {0};
    const char *hashes[2];
    bool left = false;
    for (size_t i = 0; i < CONFLICT_HALTED_MAX && ops->halted_row(s->tgt, i, hashes); i++) {
        (void)snprintf(rows[i], sizeof rows[i], "%s %s", hashes[0], hashes[1]);
        left = left || was_there(s, rows[i]);
    }
    if (s->conflict_since_us != 0 && left)
        return;
    memcpy(s->conflict_rows, rows, sizeof rows);
    s->conflict_since_us = now_us;
    s->conflict_told = false;
}

/* People see it, and may answer, while apply goes on looking. */
static void tell(struct session *s, const struct err *err)
{
    if (s->conflict_told)
        return;
    s->conflict_told = true;
    s->watching = false; /* open ones are counted anew */
    log_event(LOG_LEVEL_WARN, "conflict_waits",
              "text=\"%s; apply waits until it has read what the source had committed when this was met\"",
              err->text);
}

bool dual_write_may_wait(struct session *s, const struct fence_batch *fences, struct err *err)
{
    struct err failed = ERR_INIT;
    const struct target_conflict_ops *ops = target_conflicts(s->tgt);
    if (s->run->settings.conflicts == NULL || !ops->halted(s->tgt))
        return false;
    bool first = !s->look_whole, keep = false, final = false;
    int64_t now_us = clock_wall_us();
    s->look_whole = true;
    if (!first) {
        note_rows(s, now_us);
        final = is_final(s, fences);
        keep = final || now_us - s->conflict_since_us >= TELL_AFTER_US;
    }
    if (!ops->give_up(s->tgt, keep, &failed)) {
        *err = failed;
        return false;
    }
    if (final)
        return false;
    if (keep)
        tell(s, err);
    err_clear(err);
    if (!first)
        (void)stopper_wait(s->run->stopper, LOOK_AGAIN_US);
    return true;
}

void dual_write_applied(struct session *s)
{
    struct role_status *st = &s->run->status;
    const struct conflict_counts *counts = &batch_counts(s->run->batch)->conflicts;
    s->conflict_since_us = 0;
    s->look_whole = s->conflict_told = false;
    st->conflicts_source += counts->source;
    st->conflicts_target += counts->target;
    st->conflicts_open -= MIN_OF(st->conflicts_open, counts->settled);
}
