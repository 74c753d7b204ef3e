/*
 * Owns: cutovers that run by themselves: looks whether one may, runs it with an end of the time in which it may be undecided, and notes the attempt
 * beforehand. The rule is automatic_rule.c's; the cutover is the one that a person runs.
 */
#include "automatic.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compare/watch.h"
#include "core/clock.h"
#include "core/log.h"
#include "watching.h"
#include "json/text.h"

#define LOOK_EVERY_US (15 * INT64_C(1000000)) /* gates write markers and walk the journal */

/* --- what the cutover asks of us --- */

static void say(void *ctx, const char *text)
{
    (void)ctx;
    log_event(LOG_LEVEL_INFO, "cutover", "text=\"%s\"", text);
}

/* Also the end of the maintenance window: what is not decided by then is put back. */
static bool stop_asked(void *ctx)
{
    const struct watching *w = ctx;
    struct pollfd fd = {.fd = w->request->stop_fd, .events = POLLIN};
    return (fd.fd >= 0 && poll(&fd, 1, 0) > 0) || clock_wall_us() >= w->auto_until_us;
}

/* The person who waived the question in the configuration has named the database there. */
static bool confirmed(void *ctx, const char *database)
{
    const struct watching *w = ctx;
    const char *named = config_text(w->cfg, "cutover.auto_cutover_on.confirm");
    return named != NULL && strcmp(named, database) == 0;
}

static struct cutover_talk talk_of(struct watching *w)
{
    return (struct cutover_talk){
        .ctx = w, .say = say, .stop_asked = stop_asked, .confirm = confirmed, .stop_fd = w->request->stop_fd};
}

/* --- telling --- */

/* Told once for each reason; figures behind its colon change all the time. */
static void waits(struct watching *w, const char *why)
{
    size_t len = strcspn(why, ":");
    bool told = strcspn(w->automatic.waits, ":") == len && strncmp(w->automatic.waits, why, len) == 0;
    (void)snprintf(w->automatic.waits, sizeof w->automatic.waits, "%s", why);
    if (told)
        return;
    store_event(w, "auto_cutover.waits", json_pack("{s:o}", "text", json_text(why)));
    log_event(LOG_LEVEL_INFO, "auto_cutover", "text=\"%s\"", why);
    if (strncmp(why, "waits for approval", 18) == 0) /* it waits for somebody */
        alerts_raise(w->alerts, "auto_cutover", "waits", why, true);
}

static void ended(struct watching *w, const struct cutover_report *report, const struct err *err, bool ok)
{
    char text[WATCH_TEXT_MAX];
    bool done = ok && strcmp(report->outcome, "done") == 0;
    int64_t retry_us = config_int(w->cfg, "cutover.auto_cutover_on.retry") * 1000000;
    (void)snprintf(text, sizeof text, "cutover %s: %s%s%.400s",
                   report->id[0] != '\0' ? report->id : "of none", ok ? report->outcome : "needs a person",
                   ok && report->reason[0] == '\0' ? "" : ": ", ok ? report->reason : err->text);
    for (int64_t i = 1; i < w->automatic.attempts && i < 10; i++)
        retry_us *= 2;
    w->automatic.not_before_us = clock_wall_us() + retry_us;
    w->automatic.waits[0] = '\0';
    store_event(w, done ? "auto_cutover.done" : "auto_cutover.not_done",
                json_pack("{s:o}", "text", json_text(text)));
    alerts_raise(w->alerts, "auto_cutover", ok ? report->outcome : "needs_person", text, done);
}

/* --- doing --- */

static void run(struct watching *w)
{
    struct cutover_talk talk = talk_of(w);
    struct cutover_report report;
    struct err err = ERR_INIT;
    w->automatic.attempts++;
    store_event(w, "auto_cutover.begun", json_pack("{s:I}", "attempt", (json_int_t)w->automatic.attempts));
    if (!store_save(w, &err)) { /* an attempt that nobody would know of is none */
        w->automatic.attempts--;
        json_array_remove(w->unsaved, json_array_size(w->unsaved) - 1);
        waits(w, err.text);
        return;
    }
    alerts_raise(w->alerts, "auto_cutover", "begun", "all holds: a cutover begins", true);
    bool ok = cutover_execute(w->cfg, &talk, &report, &err);
    ended(w, &report, &err, ok);
}

/* The gates as a plan asks them, then the cutover, which asks them again. */
static void ask_gates(struct watching *w)
{
    struct cutover_talk talk = talk_of(w);
    struct cutover_report report;
    struct err err = ERR_INIT;
    char why[WATCH_TEXT_MAX];
    if (w->automatic.looked_us != 0 && clock_mono_us() - w->automatic.looked_us < LOOK_EVERY_US &&
        w->automatic.waits[0] != '\0')
        return;
    w->automatic.looked_us = clock_mono_us();
    if (!cutover_plan(w->cfg, &talk, &report, &err)) {
        waits(w, err.text);
        return;
    }
    automatic_gates(&report, w->auto_until_us - clock_wall_us(), why, sizeof why);
    if (why[0] != '\0')
        waits(w, why);
    else if (!w->request->execute)
        waits(w, "all holds: a cutover would begin with --execute");
    else
        run(w);
}

static bool view_of(struct watching *w, struct automatic_view *ret, struct err *err)
{
    const char *postpone = config_text(w->cfg, "cutover.postpone_file");
    int64_t since_us = 0;
    *ret = (struct automatic_view){.cut_over = w->stage != STAGE_BEFORE,
                                   .firing = triggers_firing(w),
                                   .postponed = postpone != NULL && access(postpone, F_OK) == 0,
                                   .now_us = clock_wall_us(),
                                   .clean_for_us =
                                       config_int(w->cfg, "cutover.auto_cutover_on.clean_for") * 1000000,
                                   .max_attempts = config_int(w->cfg, "cutover.auto_cutover_on.max_attempts"),
                                   .not_before_us = w->automatic.not_before_us};
    ret->in_window = maintenance_now(w->maintenance, ret->now_us, &since_us, &ret->until_us);
    if (!ret->in_window) {
        ret->next_us = maintenance_next(w->maintenance, ret->now_us);
        return true;
    }
    w->auto_until_us = ret->until_us;
    if (w->automatic.window_us != since_us)
        w->automatic.attempts = 0;
    w->automatic.window_us = since_us;
    ret->attempts = w->automatic.attempts;
    return watch_clean_since(w->cfg, &ret->clean_since_us, err);
}

void automatic_look(struct watching *w)
{
    struct automatic_view view;
    struct err err = ERR_INIT;
    char why[WATCH_TEXT_MAX];
    if (w->maintenance == NULL || !watch_there(&w->co))
        return;
    if (!view_of(w, &view, &err)) {
        waits(w, err.text);
        return;
    }
    automatic_waits(&view, why, sizeof why);
    if (why[0] != '\0')
        waits(w, why);
    else
        ask_gates(w);
}
