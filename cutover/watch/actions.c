/*
 * Owns: what levels that fire do beyond alerts. What cannot be done yet is tried again with each reading for as long as the level fires; why it
 * waits is told once. A rollback is recorded before it begins: whatever becomes of this process, no watch begins a second one for a cutover.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "core/alloc.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "watching.h"
#include "json/text.h"

#define ANSWER_MS 3000

static void event_of(struct watching *w, const char *event, const struct watch_level_state *l,
                     const char *text)
{
    store_event(w, event, json_pack("{s:s, s:o}", "level", l->id, "text", json_text(text)));
}

/* Told once for each reason. */
static void waits(struct watching *w, struct watch_level_state *l, const char *why)
{
    if (strcmp(l->why, why) == 0)
        return;
    (void)snprintf(l->why, sizeof l->why, "%s", why);
    event_of(w, "trigger.waits", l, why);
    alerts_raise(w->alerts, "trigger_waits", l->id, why, false);
}

/* --- pause --- */

static void pause_apply(struct watching *w, struct watch_level_state *l)
{
    const struct config *cfg = watch_running(w);
    char *body = NULL, text[WATCH_TEXT_MAX];
    int code = 0;
    struct err err = ERR_INIT;
    if (cfg == NULL) {
        waits(w, l,
              "pause: there is no way back (crossfade --reverse capture and apply, or "
              "cutover.watch.reverse_config)");
        return;
    }
    const char *address = config_text(cfg, "apply.listen");
    const struct http_access access = http_access_of(cfg);
    bool ok = http_post(&access, address, "/control/pause", "{\"reason\": \"cutover watch\"}", ANSWER_MS,
                        &body, &code, &err);
    free(body);
    if (!ok || code / 100 != 2) {
        (void)snprintf(text, sizeof text, "pause: apply at %.80s %s: it is tried again", address,
                       !ok                          ? "does not answer"
                       : code == 403 || code == 401 ? "refused (control.token_file)"
                                                    : "refused");
        waits(w, l, text);
        return;
    }
    (void)snprintf(text, sizeof text, "apply is paused; `crossfade apply resume` lets it go on");
    l->acted = true;
    event_of(w, "trigger.paused", l, text);
    alerts_raise(w->alerts, "paused", l->id, text, false);
}

/* --- rollback --- */

/* NULL: it may begin. */
static const char *rollback_refused(const struct watching *w, int64_t now_us)
{
    switch (w->stage) {
    case STAGE_UNKNOWN:
        return "rollback: the target does not say where the cutover stands";
    case STAGE_BEFORE:
        return "rollback: there was no cutover yet, the source serves";
    case STAGE_CUTTING:
        return "rollback: a cutover is not ended: `crossfade cutover status`";
    case STAGE_BACK:
        return "rollback: the application was moved back already";
    case STAGE_AFTER:
        break;
    }
    if (strcmp(w->rollback.cutover_id, w->cutover_id) == 0)
        return w->rollback.outcome[0] == '\0'
                   ? "rollback: one was begun and its end is not known: look at it, and run `crossfade "
                     "rollback run --execute` by hand"
                   : "rollback: one was tried already and failed: a person is needed";
    if (now_us - w->switched_us > config_int(w->cfg, "cutover.rollback_window") * 1000000)
        return "rollback: cutover.rollback_window is over";
    return NULL;
}

static bool rollback_intend(struct watching *w, const struct watch_level_state *l, struct err *err)
{
    struct watch_rollback before = w->rollback;
    w->rollback = (struct watch_rollback){.begun_us = clock_wall_us()};
    (void)snprintf(w->rollback.cutover_id, sizeof w->rollback.cutover_id, "%s", w->cutover_id);
    event_of(w, "trigger.rollback_begun", l, w->cutover_id);
    if (store_save(w, err))
        return failpoint("cutover.watch_rollback_begun", err);
    w->rollback = before;
    json_array_remove(w->unsaved, json_array_size(w->unsaved) - 1);
    return false;
}

static void rollback_run(struct watching *w, const struct watch_level_state *l, struct child_end *end,
                         bool *ret_started, struct err *err)
{
    const char *command = config_text(w->cfg, "cutover.watch.rollback_command");
    /* Who configures the action has answered the question of cutover.approval: [confirm] by it. */
    const char *const argv[] = {"/proc/self/exe", "-c",        config_file(w->cfg),    "rollback", "run",
                                "--execute",      "--confirm", watch_database(&w->co), NULL};
    char *env[] = {xstrdup("CROSSFADE_EVENT=rollback"), xasprintf("CROSSFADE_LEVEL=%s", l->id),
                   xasprintf("CROSSFADE_PIPELINE=%s", w->pipeline),
                   xasprintf("CROSSFADE_CUTOVER_ID=%s", w->cutover_id), NULL};
    const struct child_order order = {
        .command = command, .argv = argv, .more = (const char *const *)env, .stop_fd = w->request->stop_fd};
    *ret_started = child_run(&order, end, err);
    for (size_t i = 0; env[i] != NULL; i++)
        free(env[i]);
}

static void rollback_ended(struct watching *w, struct watch_level_state *l, struct child_end *end)
{
    char how[CHILD_TEXT_MAX], masked[1000], text[WATCH_TEXT_MAX];
    char *rest = end->said.data;
    for (char *line; (line = child_line(&rest)) != NULL;)
        log_event(LOG_LEVEL_INFO, "rollback", "text=\"%s\"", log_mask_url(line, masked, sizeof masked));
    w->rollback.well = child_ended_well(end);
    (void)snprintf(w->rollback.outcome, sizeof w->rollback.outcome, "%s", child_end_text(end, 0, how));
    (void)snprintf(text, sizeof text, "cutover %s: the rollback has ended: %s", w->cutover_id, how);
    event_of(w, w->rollback.well ? "trigger.rolled_back" : "trigger.rollback_failed", l, text);
    alerts_raise(w->alerts, w->rollback.well ? "rolled_back" : "rollback_failed", l->id, text, false);
    l->acted = true;
}

static void roll_back(struct watching *w, struct watch_level_state *l)
{
    struct err err = ERR_INIT;
    struct child_end end;
    bool started = false;
    const char *refused = rollback_refused(w, clock_wall_us());
    if (refused != NULL) {
        waits(w, l, refused);
        return;
    }
    if (!rollback_intend(w, l, &err)) {
        waits(w, l, err.text);
        return;
    }
    alerts_raise(w->alerts, "rollback", l->id, "the application is being moved back", false);
    rollback_run(w, l, &end, &started, &err);
    if (started) {
        rollback_ended(w, l, &end);
        child_end_release(&end);
        return;
    }
    (void)snprintf(w->rollback.outcome, sizeof w->rollback.outcome, "not started");
    event_of(w, "trigger.rollback_failed", l, err.text);
    alerts_raise(w->alerts, "rollback_failed", l->id, err.text, false);
    l->acted = true;
}

/* --- all --- */

static void act(struct watching *w, struct watch_level_state *l)
{
    char text[WATCH_TEXT_MAX];
    if (l->state.phase != TRIGGER_FIRING || l->acted)
        return;
    if (!w->request->execute) {
        (void)snprintf(text, sizeof text, "%s: not done without --execute",
                       trigger_action_name(l->rule.action));
        waits(w, l, text);
        return;
    }
    if (l->rule.action == TRIGGER_PAUSE)
        pause_apply(w, l);
    else if (l->rule.action == TRIGGER_ROLLBACK)
        roll_back(w, l);
}

void actions_take(struct watching *w)
{
    for (size_t k = 0; k < TRIGGER_KINDS; k++) {
        for (size_t i = 0; i < w->triggers[k].level_count; i++)
            act(w, &w->triggers[k].levels[i]);
    }
}
