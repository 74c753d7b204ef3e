/* Owns: the queue of alerts that nobody has taken yet. See alerts.h. */
#include "control/alerts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/webhook.h"
#include "core/alloc.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/log.h"

#define WAITING_MAX   100
#define POST_MS       5000
#define RETRY_BASE_MS 1000
#define RETRY_MAX_MS  60000

struct alerts {
    struct alert_ways ways;
    char *waiting[WAITING_MAX]; /* JSON, oldest first */
    size_t count;
    unsigned tries; /* of the oldest */
    int64_t due_us; /* mono */
};

struct alerts *alerts_new(const struct alert_ways *ways)
{
    struct alerts *alerts = xcalloc(1, sizeof *alerts);
    alerts->ways = *ways;
    return alerts;
}

static void drop_oldest(struct alerts *alerts)
{
    free(alerts->waiting[0]);
    alerts->count--;
    memmove(alerts->waiting, alerts->waiting + 1, alerts->count * sizeof *alerts->waiting);
    alerts->tries = 0;
    alerts->due_us = 0;
}

void alerts_free(struct alerts *alerts)
{
    if (alerts == NULL)
        return;
    if (alerts->count > 0)
        log_event(LOG_LEVEL_ERROR, "alert_lost",
                  "count=%zu text=\"the watch ends before its webhook took them\"", alerts->count);
    while (alerts->count > 0)
        drop_oldest(alerts);
    free(alerts);
}

static char *alert_json(const struct alerts *alerts, const char *event, const char *level, const char *text)
{
    char at[ISO_TIME_MAX];
    json_t *j = json_pack("{s:s, s:s, s:s, s:s%, s:s}", "event", event, "pipeline", alerts->ways.pipeline,
                          "level", level, "text", text, strlen(text), "at", clock_iso(clock_wall_us(), at));
    char *dump = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return dump;
}

static void run_command(const struct alerts *alerts, const char *command, const char *const *env,
                        const char *json)
{
    const struct child_order order = {.command = command,
                                      .more = env,
                                      .hidden = "CROSSFADE_",
                                      .input = json,
                                      .timeout_ms = alerts->ways.command_timeout_ms,
                                      .stop_fd = -1};
    struct child_end end;
    struct err err = ERR_INIT;
    char masked[200], how[CHILD_TEXT_MAX];
    (void)log_mask_url(command, masked, sizeof masked);
    if (!child_run(&order, &end, &err)) {
        log_event(LOG_LEVEL_ERROR, "alert_failed", "command=\"%s\" text=\"%s\"", masked, err.text);
        return;
    }
    if (!child_ended_well(&end))
        log_event(LOG_LEVEL_ERROR, "alert_failed", "command=\"%s\" text=\"%s\"", masked,
                  child_end_text(&end, alerts->ways.command_timeout_ms, how));
    child_end_release(&end);
}

static void run_commands(const struct alerts *alerts, const char *event, const char *level, const char *text,
                         const char *json)
{
    char *env[] = {xasprintf("CROSSFADE_EVENT=%s", event), xasprintf("CROSSFADE_LEVEL=%s", level),
                   xasprintf("CROSSFADE_TEXT=%s", text),
                   xasprintf("CROSSFADE_PIPELINE=%s", alerts->ways.pipeline), NULL};
    for (const char *const *command = alerts->ways.commands; command != NULL && *command != NULL; command++)
        run_command(alerts, *command, (const char *const *)env, json);
    for (size_t i = 0; env[i] != NULL; i++)
        free(env[i]);
}

static void wait_for_webhook(struct alerts *alerts, const char *json)
{
    if (alerts->count == WAITING_MAX) {
        log_event(LOG_LEVEL_ERROR, "alert_lost", "count=1 text=\"%d wait for the webhook already\"",
                  WAITING_MAX);
        drop_oldest(alerts);
    }
    alerts->waiting[alerts->count++] = xstrdup(json);
}

void alerts_raise(struct alerts *alerts, const char *event, const char *level, const char *text, bool good)
{
    log_event(good ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "alert", "event=%s level=%s text=\"%s\"", event, level,
              text);
    char *json = alert_json(alerts, event, level, text);
    if (json == NULL) {
        log_event(LOG_LEVEL_ERROR, "alert_lost", "count=1 text=\"it cannot be said in JSON\"");
        return;
    }
    if (alerts->ways.url != NULL)
        wait_for_webhook(alerts, json);
    run_commands(alerts, event, level, text, json);
    free(json);
}

void alerts_deliver(struct alerts *alerts)
{
    while (alerts->count > 0 && alerts->due_us <= clock_mono_us()) {
        struct err err = ERR_INIT;
        if (webhook_post(alerts->ways.url, alerts->ways.secret, alerts->waiting[0], POST_MS, &err)) {
            drop_oldest(alerts);
            continue;
        }
        log_event(LOG_LEVEL_ERROR, "alert_failed", "waiting=%zu text=\"%s\"", alerts->count, err.text);
        if (err.code != ERR_CONNECT) /* it will not take this one later either */
            drop_oldest(alerts);
        else
            alerts->due_us = clock_mono_us() + clock_backoff_us(alerts->tries++, RETRY_BASE_MS, RETRY_MAX_MS);
        return;
    }
}

int64_t alerts_due_us(const struct alerts *alerts)
{
    return alerts->count == 0 ? 0 : alerts->due_us > 0 ? alerts->due_us : 1;
}
