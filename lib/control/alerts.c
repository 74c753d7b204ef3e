/* Owns: the queue of alerts that nobody has taken yet. See alerts.h. */
#include "alerts.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/webhook.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"

#define WAITING_MAX   100
#define POST_MS       5000
#define RETRY_BASE_MS 1000
#define RETRY_MAX_MS  60000

struct alerts {
    const char *pipeline, *url, *secret;
    char *waiting[WAITING_MAX]; /* JSON, oldest first */
    size_t count;
    unsigned tries; /* of the oldest */
    int64_t due_us; /* mono */
};

struct alerts *alerts_new(const struct config *cfg)
{
    struct alerts *alerts = xcalloc(1, sizeof *alerts);
    alerts->pipeline = config_text(cfg, "pipeline");
    alerts->url = config_text(cfg, "compare.watch.webhook");
    alerts->secret = config_text(cfg, "compare.watch.webhook_secret");
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
    json_t *j = json_pack("{s:s, s:s, s:s, s:s%, s:s}", "event", event, "pipeline", alerts->pipeline, "level",
                          level, "text", text, strlen(text), "at", clock_iso(clock_wall_us(), at));
    char *dump = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return dump;
}

void alerts_raise(struct alerts *alerts, const char *event, const char *level, const char *text)
{
    bool good = strcmp(event, "recovered") == 0 || strcmp(event, "clean") == 0;
    log_event(good ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "alert", "event=%s level=%s text=\"%s\"", event, level,
              text);
    if (alerts->url == NULL)
        return;
    if (alerts->count == WAITING_MAX) {
        log_event(LOG_LEVEL_ERROR, "alert_lost", "count=1 text=\"%d wait for the webhook already\"",
                  WAITING_MAX);
        drop_oldest(alerts);
    }
    char *json = alert_json(alerts, event, level, text);
    if (json == NULL)
        log_event(LOG_LEVEL_ERROR, "alert_lost", "count=1 text=\"it cannot be said in JSON\"");
    else
        alerts->waiting[alerts->count++] = json;
}

void alerts_deliver(struct alerts *alerts)
{
    while (alerts->count > 0 && alerts->due_us <= clock_mono_us()) {
        struct err err = ERR_INIT;
        if (webhook_post(alerts->url, alerts->secret, alerts->waiting[0], POST_MS, &err)) {
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
