/* Owns: the loop of `cutover watch`. See cutover/watch.h. */
#include "cutover/watch.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "maria/url.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"
#include "watching.h"

#define TARGET_TABLES                                                                                        \
    "crossfade.position crossfade.verdict crossfade.comparison crossfade.cutover crossfade.cutover_watch"
#define STATEMENT_MS 20000 /* most time of one statement on the target, by its server */

/* --- the session on the target --- */

static bool control_tables(struct watching *w, struct err *err)
{
    if (w->co.store == &store_mariadb)
        return w->co.store->make(&w->co, err) &&
               store_mariadb_make(&w->co,
                                  "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
                                  "DATABASE() AND TABLE_NAME = 'crossfade_cutover_watch'",
                                  err);
    return pg_exec(w->co.target, "SET lock_timeout = '10s'", err) &&
           pg_control_tables_ensure(w->co.target, TARGET_TABLES, embedded_sql_target_sql, "target", err);
}

/* One watch at a time: held as long as its session lives. */
static bool lock(struct watching *w, struct err *err)
{
    ROWSET_AUTO rs = NULL;
    if (!watch_ask(&w->co, ASK_LOCK, 1, &w->pipeline, &rs, err))
        return false;
    return (rowset_rows(rs) > 0 && rowset_bool(rs, 0, 0)) ||
           err_set(err, ERR_BUSY, "another `crossfade cutover watch` of pipeline %s is running", w->pipeline);
}

static bool target_open(struct watching *w, struct err *err)
{
    struct err dead = ERR_INIT;
    if (watch_alive(&w->co, &dead))
        return true;
    watch_side_lost(&w->co);
    if (cutover_open_target(&w->co, w->cfg, err) && w->co.store->limit(&w->co, STATEMENT_MS, err) &&
        control_tables(w, err) && lock(w, err))
        return true;
    watch_side_lost(&w->co);
    return false;
}

/* Told once, until it is back. */
static void tell_away(struct watching *w, const struct err *away)
{
    if (away != NULL && !w->away)
        alerts_raise(w->alerts, "target_away", "target", away->text, false);
    else if (away == NULL && w->away)
        alerts_raise(w->alerts, "target_back", "target", "the target answers again", true);
    w->away = away != NULL;
}

/* --- one reading --- */

static bool save(struct watching *w, struct err *err)
{
    struct err failed = ERR_INIT;
    if (!watch_there(&w->co) || store_save(w, &failed))
        return true;
    log_event(LOG_LEVEL_ERROR, "watch_failed", "text=\"%s\"", failed.text);
    if (w->request->once)
        *err = failed;
    return !w->request->once;
}

/* What is to be undone or begun is asked of a state that is kept; what came of it is kept as well. A target that is away, for whatever reason, ends no
 * watch: other signals go on, and somebody is told. */
static bool read_once(struct watching *w, struct err *err)
{
    int64_t now_us = clock_wall_us();
    struct err away = ERR_INIT;
    bool there = target_open(w, &away) && store_stage(w, &away);
    if (!there && w->request->once) {
        *err = away;
        return false;
    }
    tell_away(w, there ? NULL : &away);
    signals_read(w);
    triggers_step(w, now_us);
    alerts_deliver(
        w->alerts); /* before it is kept that they were raised: a kill between makes them come twice, not never */
    if (!save(w, err))
        return false;
    actions_take(w);
    automatic_look(w);
    if (!save(w, err))
        return false;
    alerts_deliver(w->alerts);
    json_t *report = w->request->reading != NULL ? watch_report(w, now_us) : NULL;
    if (report != NULL)
        w->request->reading(w->request->ctx, report);
    json_decref(report);
    return true;
}

static bool stop_within(const struct watching *w, int64_t ms)
{
    struct pollfd fd = {.fd = w->request->stop_fd, .events = POLLIN};
    return poll(&fd, 1, (int)MAX_OF(ms, 0)) > 0;
}

static bool loop(struct watching *w, struct err *err)
{
    int64_t every_ms = config_int(w->cfg, "cutover.watch.every");
    for (;;) {
        int64_t began_us = clock_mono_us();
        if (!read_once(w, err))
            return false;
        if (w->request->once || stop_within(w, every_ms - (clock_mono_us() - began_us) / 1000))
            return true;
    }
}

/* --- beginning and end --- */

/* A source that is away is a matter of signals; one where a newer version has worked is not ours to read. */
static bool source_is_known(struct watching *w, struct err *err)
{
    struct err away = ERR_INIT;
    if (watch_source(w, &away) != NULL || away.code != ERR_UNSUPPORTED)
        return true;
    *err = away;
    return false;
}

/* The state that an earlier watch has left is needed before the first step: a target that is away is waited for. */
static bool take_up(struct watching *w, bool *ret_stopped, struct err *err)
{
    for (unsigned attempt = 0;; attempt++) {
        struct err away = ERR_INIT;
        if (source_is_known(w, &away) && target_open(w, &away) && store_stage(w, &away) &&
            store_load(w, &away)) {
            tell_away(w, NULL);
            return true;
        }
        if (w->request->once || err_policy(away.code) == POLICY_HALT || away.code == ERR_BUSY) {
            *err = away;
            return false;
        }
        tell_away(w, &away);
        alerts_deliver(w->alerts);
        *ret_stopped = stop_within(w, clock_backoff_us(attempt, 1000, 60000) / 1000);
        if (*ret_stopped)
            return true;
    }
}

/* A trigger that rolls back needs what `crossfade rollback` needs, or a command in its place. */
static bool may_roll_back(const struct watching *w, const struct err *cannot, struct err *err)
{
    if (!err_is_set(cannot) || config_text(w->cfg, "cutover.watch.rollback_command") != NULL)
        return true;
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        for (size_t i = 0; i < w->triggers[k].level_count; i++) {
            if (w->triggers[k].levels[i].rule.action == TRIGGER_ROLLBACK)
                return err_set(err, ERR_CONFIG,
                               "cutover.triggers.%s: action rollback: %s. Hint: alert or pause, or set "
                               "cutover.watch.rollback_command",
                               trigger_table[k].name, cannot->text);
        }
    }
    return true;
}

/* Named, or ours turned round, if it can be. */
static bool open_reverse(struct watching *w, struct err *err)
{
    struct err cannot = ERR_INIT;
    struct config *turned = NULL;
    const char *named = config_text(w->cfg, "cutover.watch.reverse_config");
    bool can = config_reversed(w->cfg, &turned, &cannot); /* as `crossfade rollback` asks */
    w->turned = can && named == NULL && strcmp(config_text(w->cfg, "cutover.reverse"), "off") != 0;
    if (w->turned)
        w->reverse = turned;
    else if (can)
        config_free(turned);
    if (named != NULL &&
        (!config_load(named, NULL, 0, &w->reverse, err) ||
         !config_require(w->reverse, err, "pipeline", "source.url", "target.url", (char *)NULL)))
        return err_wrap(err, "cutover.watch.reverse_config");
    return may_roll_back(w, &cannot, err);
}

static bool open_config(struct watching *w, struct err *err)
{
    size_t windows = 0;
    const char *const *texts = config_list(w->cfg, "cutover.auto_cutover_on.maintenance_window", &windows);
    if (maria_is_url(config_text(w->cfg, "source.url")))
        return err_set(err, ERR_CONFIG,
                       "source.url names MariaDB: cutover watch looks after pipelines whose source is "
                       "PostgreSQL (the way back from MariaDB is watched by the watch of the way there)");
    if (!triggers_open(w, err) || !open_reverse(w, err))
        return false;
    if (windows > 0 && !maintenance_open(texts, windows, &w->maintenance, err))
        return err_wrap(err, "cutover.auto_cutover_on.maintenance_window");
    return true;
}

static void close_all(struct watching *w)
{
    alerts_free(w->alerts);
    cutover_close(&w->co);
    pg_close(w->source);
    watch_side_lost(&w->back);
    maintenance_free(w->maintenance);
    config_free(w->reverse);
    json_decref(w->unsaved);
}

static void tell_unsaved(const struct watching *w)
{
    if (json_array_size(w->unsaved) > 0)
        log_event(LOG_LEVEL_ERROR, "watch_failed",
                  "text=\"%zu events are not in the audit chain: the target is away\"",
                  json_array_size(w->unsaved));
}

bool cutover_watch(const struct config *cfg, const struct cutover_watch_request *request, bool *ret_firing,
                   struct err *err)
{
    const char *const *on_alert = config_list(cfg, "cutover.watch.on_alert", NULL);
    struct alert_ways ways = alert_ways_of(cfg);
    ways.background = false; /* what is kept of a reading is kept behind its alerts */
    ways.webhook.url = config_text(cfg, "cutover.watch.webhook");
    ways.webhook.secret = config_text(cfg, "cutover.watch.webhook_secret");
    if (on_alert[0] != NULL) {
        ways.commands = on_alert;
        ways.command_timeout_ms = config_int(cfg, "cutover.hook_timeout_ms");
    }
    struct watching *w = xcalloc(1, sizeof *w);
    *w = (struct watching){.cfg = cfg,
                           .request = request,
                           .pipeline = ways.pipeline,
                           .co = {.timer_fd = -1, .deadline_fd = -1},
                           .unsaved = json_array()};
    w->alerts = alerts_new(&ways);
    bool stopped = false;
    bool ok = open_config(w, err) && take_up(w, &stopped, err) && (stopped || loop(w, err));
    *ret_firing = triggers_firing(w);
    alerts_deliver(w->alerts);
    tell_unsaved(w);
    close_all(w);
    free(w);
    return ok;
}
