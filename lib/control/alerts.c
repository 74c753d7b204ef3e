/* Owns: the queue of alerts that nobody has taken yet, and the thread that delivers. See alerts.h. */
#include "control/alerts.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control/webhook.h"
#include "core/alert_events.h"
#include "core/alloc.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mono_cond.h"
#include "core/nonce.h"
#include "json/text.h"

#define WAITING_MAX   100
#define POST_MS       5000
#define RETRY_BASE_MS 1000
#define RETRY_MAX_MS  60000
#define LOST_NAMES    200
#define FLUSH_US      INT64_C(6000000)

struct alert {
    uint64_t number;
    char *event, *level, *text, *json;
    bool told; /* to the commands */
};

struct alerts {
    struct alert_ways ways;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct alert waiting[WAITING_MAX]; /* oldest first */
    size_t count;
    uint64_t number;
    unsigned tries; /* of the oldest */
    int64_t due_us; /* mono */
    uint64_t lost;  /* not told to the receiver yet */
    char lost_names[LOST_NAMES];
    pthread_t thread;
    bool running, ends, ended;
    int64_t flush_until_us;
    int hurry_fd; /* readable: a command that still runs is to end */
};

struct alert_ways alert_ways_of(const struct config *cfg)
{
    return (struct alert_ways){.pipeline = config_text(cfg, "pipeline"),
                               .webhook = {.url = config_text(cfg, "alerts.webhook"),
                                           .secret = config_text(cfg, "alerts.webhook_secret"),
                                           .ca = config_text(cfg, "alerts.webhook_ca")},
                               .commands = config_list(cfg, "alerts.on_event", NULL),
                               .command_timeout_ms = config_int(cfg, "alerts.on_event_timeout"),
                               .events = config_list(cfg, "alerts.events", NULL),
                               .background = true};
}

static bool any(const char *const *list)
{
    return list != NULL && list[0] != NULL;
}

bool alert_ways_any(const struct alert_ways *ways)
{
    return ways->webhook.url != NULL || any(ways->commands);
}

/* --- the queue; the lock is held --- */

static void release(struct alert *a)
{
    free(a->event);
    free(a->level);
    free(a->text);
    free(a->json);
}

static void drop_oldest(struct alerts *alerts)
{
    release(&alerts->waiting[0]);
    alerts->count--;
    memmove(alerts->waiting, alerts->waiting + 1, alerts->count * sizeof *alerts->waiting);
    alerts->tries = 0;
    alerts->due_us = 0;
}

static void note_lost(struct alerts *alerts, const char *event, const char *why)
{
    size_t used = strlen(alerts->lost_names), more = strlen(event) + 1;
    if (strcmp(event, "alerts_lost") == 0)
        return;
    log_event(LOG_LEVEL_ERROR, "alert_lost", "count=1 event=%s text=\"%s\"", event, why);
    alerts->lost++;
    if (used + more >= sizeof alerts->lost_names) { /* the last ones say more */
        memmove(alerts->lost_names, alerts->lost_names + more, used - MIN_OF(more, used) + 1);
        used = strlen(alerts->lost_names);
    }
    (void)snprintf(alerts->lost_names + used, sizeof alerts->lost_names - used, " %s", event);
}

static char *alert_json(const struct alerts *alerts, const struct alert_event *row, const char *level,
                        const char *text)
{
    char at[ISO_TIME_MAX], id[NONCE_MAX];
    nonce_make(id);
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:s}", "id", id, "event", row->name,
                          "group", row->group, "severity", row->severity, "pipeline",
                          json_text(alerts->ways.pipeline), "level", json_text(level), "text",
                          json_text(text), "at", clock_iso(clock_wall_us(), at), "version", CF_VERSION);
    char *dump = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (dump == NULL)
        BUG("no memory for JSON");
    return dump;
}

static void put(struct alerts *alerts, const struct alert_event *row, const char *level, const char *text,
                bool told)
{
    if (alerts->count == WAITING_MAX) {
        note_lost(alerts, alerts->waiting[0].event, "too many wait for the webhook already");
        drop_oldest(alerts);
    }
    alerts->waiting[alerts->count++] = (struct alert){.number = ++alerts->number,
                                                      .event = xstrdup(row->name),
                                                      .level = xstrdup(level),
                                                      .text = xstrdup(text),
                                                      .json = alert_json(alerts, row, level, text),
                                                      .told = told || !any(alerts->ways.commands)};
}

/* --- commands --- */

static void run_command(const struct alerts *alerts, const char *command, const char *const *env,
                        const char *json)
{
    const struct child_order order = {.command = command,
                                      .more = env,
                                      .hidden = "CROSSFADE_",
                                      .input = json,
                                      .timeout_ms = alerts->ways.command_timeout_ms,
                                      .stop_fd = alerts->hurry_fd};
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

static void run_commands(const struct alerts *alerts, const struct alert *a)
{
    char *env[] = {xasprintf("CROSSFADE_EVENT=%s", a->event), xasprintf("CROSSFADE_LEVEL=%s", a->level),
                   xasprintf("CROSSFADE_TEXT=%s", a->text),
                   xasprintf("CROSSFADE_PIPELINE=%s", alerts->ways.pipeline), NULL};
    for (const char *const *command = alerts->ways.commands; command != NULL && *command != NULL; command++)
        run_command(alerts, *command, (const char *const *)env, a->json);
    for (size_t i = 0; env[i] != NULL; i++)
        free(env[i]);
}

static struct alert copy_of(const struct alert *a)
{
    return (struct alert){.number = a->number,
                          .event = xstrdup(a->event),
                          .level = xstrdup(a->level),
                          .text = xstrdup(a->text),
                          .json = xstrdup(a->json)};
}

/* The first one that commands have not got; they run without the lock. False: there is none. */
static bool tell_one(struct alerts *alerts)
{
    size_t i = 0;
    while (i < alerts->count && alerts->waiting[i].told)
        i++;
    if (i == alerts->count)
        return false;
    alerts->waiting[i].told = true;
    struct alert copy = copy_of(&alerts->waiting[i]);
    if (alerts->ways.webhook.url == NULL) { /* nobody else waits for it */
        while (i-- > 0)
            drop_oldest(alerts);
        drop_oldest(alerts);
    }
    pthread_mutex_unlock(&alerts->lock);
    run_commands(alerts, &copy);
    pthread_mutex_lock(&alerts->lock);
    release(&copy);
    return true;
}

/* --- the webhook --- */

/* What was given up, told once somebody takes it; while as many wait as may, it would only push out another. */
static void tell_lost(struct alerts *alerts)
{
    char text[LOST_NAMES + 120];
    if (alerts->lost == 0 || alerts->count == WAITING_MAX)
        return;
    (void)snprintf(text, sizeof text, "%llu alerts were given up, the last ones:%s",
                   (unsigned long long)alerts->lost, alerts->lost_names);
    alerts->lost = 0;
    alerts->lost_names[0] = '\0';
    put(alerts, alert_event_find("alerts_lost"), "webhook", text, true);
}

/* The oldest has been tried; it may have been given up meanwhile. */
static void judge(struct alerts *alerts, const struct alert *tried, bool taken, const struct err *err)
{
    bool there = alerts->count > 0 && alerts->waiting[0].number == tried->number;
    if (!taken)
        log_event(LOG_LEVEL_ERROR, "alert_failed", "waiting=%zu event=%s text=\"%s\"", alerts->count,
                  tried->event, err->text);
    if (taken && there) {
        drop_oldest(alerts);
    } else if (taken && alerts->lost > 0 && strcmp(tried->event, "alerts_lost") != 0) {
        if (--alerts->lost == 0) /* it was not lost after all */
            alerts->lost_names[0] = '\0';
    } else if (there && err->code != ERR_CONNECT) { /* it will not take this one later either */
        note_lost(alerts, tried->event, "the webhook refuses it");
        drop_oldest(alerts);
    } else if (!taken) {
        alerts->due_us = clock_mono_us() + clock_backoff_us(alerts->tries++, RETRY_BASE_MS, RETRY_MAX_MS);
    }
    if (taken)
        tell_lost(alerts);
}

/* How long an attempt may take: told to end, no longer than what is left. <= 0: not at all. */
static int64_t post_ms(const struct alerts *alerts)
{
    int64_t left_ms = (alerts->flush_until_us - clock_mono_us()) / 1000;
    return alerts->ends ? MIN_OF(left_ms, POST_MS) : POST_MS;
}

/* One attempt, without the lock. False: nothing is due, or nobody took it. */
static bool post_one(struct alerts *alerts)
{
    struct err err = ERR_INIT;
    int64_t within_ms = post_ms(alerts);
    if (alerts->ways.webhook.url == NULL || alerts->count == 0 || alerts->due_us > clock_mono_us() ||
        within_ms <= 0)
        return false;
    struct alert copy = copy_of(&alerts->waiting[0]);
    pthread_mutex_unlock(&alerts->lock);
    bool taken = webhook_post(&alerts->ways.webhook, copy.json, (int)within_ms, &err);
    pthread_mutex_lock(&alerts->lock);
    judge(alerts, &copy, taken, &err);
    release(&copy);
    return taken;
}

void alerts_deliver(struct alerts *alerts)
{
    if (alerts->ways.background)
        return;
    pthread_mutex_lock(&alerts->lock);
    while (post_one(alerts))
        continue;
    pthread_mutex_unlock(&alerts->lock);
}

int64_t alerts_due_us(struct alerts *alerts)
{
    pthread_mutex_lock(&alerts->lock);
    int64_t due_us = alerts->count == 0 || alerts->ways.background ? 0 : MAX_OF(alerts->due_us, 1);
    pthread_mutex_unlock(&alerts->lock);
    return due_us;
}

/* --- in the background --- */

static void wait_for_work(struct alerts *alerts)
{
    int64_t until_us =
        alerts->count > 0 && alerts->due_us > 0 ? alerts->due_us : clock_mono_us() + RETRY_MAX_MS * 1000;
    (void)mono_cond_wait(&alerts->wake, &alerts->lock, until_us);
}

/* Told to end, it goes on while somebody takes what waits, for some seconds. */
static bool goes_on(const struct alerts *alerts)
{
    bool left = alerts->count > 0;
    return !alerts->ends || (left && clock_mono_us() < alerts->flush_until_us);
}

static void *work(void *arg)
{
    struct alerts *alerts = arg;
    pthread_mutex_lock(&alerts->lock);
    while (goes_on(alerts)) {
        bool did = tell_one(alerts);
        if (post_one(alerts) || did)
            continue;
        if (goes_on(alerts) && (!alerts->ends || alerts->due_us < alerts->flush_until_us))
            wait_for_work(alerts);
        else if (alerts->ends)
            break;
    }
    alerts->ended = true;
    pthread_cond_broadcast(&alerts->wake);
    pthread_mutex_unlock(&alerts->lock);
    return NULL;
}

/* The lock is held. */
static void await_end(struct alerts *alerts)
{
    while (!alerts->ended && mono_cond_wait(&alerts->wake, &alerts->lock, alerts->flush_until_us))
        continue;
    if (!alerts->ended && eventfd_write(alerts->hurry_fd, 1) != 0)
        BUG("eventfd_write failed");
}

struct alerts *alerts_new(const struct alert_ways *ways)
{
    struct alerts *alerts = xcalloc(1, sizeof *alerts);
    alerts->ways = *ways;
    mono_cond_init(&alerts->wake);
    if (pthread_mutex_init(&alerts->lock, NULL) != 0)
        BUG("no lock for alerts");
    alerts->running = ways->background && alert_ways_any(ways);
    alerts->hurry_fd = alerts->running ? eventfd(0, EFD_CLOEXEC) : -1;
    if (alerts->running && alerts->hurry_fd < 0)
        BUG("no eventfd for alerts");
    if (alerts->running && pthread_create(&alerts->thread, NULL, work, alerts) != 0)
        BUG("no thread for alerts");
    return alerts;
}

void alerts_free(struct alerts *alerts)
{
    if (alerts == NULL)
        return;
    pthread_mutex_lock(&alerts->lock);
    alerts->ends = true;
    alerts->flush_until_us = clock_mono_us() + FLUSH_US;
    pthread_cond_broadcast(&alerts->wake);
    if (alerts->running)
        await_end(alerts);
    pthread_mutex_unlock(&alerts->lock);
    if (alerts->running) {
        pthread_join(alerts->thread, NULL);
        (void)close(alerts->hurry_fd);
    }
    if (alerts->count > 0)
        log_event(LOG_LEVEL_ERROR, "alert_lost",
                  "count=%zu text=\"this process ends before its webhook took them\"", alerts->count);
    while (alerts->count > 0)
        drop_oldest(alerts);
    pthread_cond_destroy(&alerts->wake);
    pthread_mutex_destroy(&alerts->lock);
    free(alerts);
}

/* --- raising --- */

static bool is_wanted(const struct alerts *alerts, const struct alert_event *row)
{
    for (const char *const *e = alerts->ways.events; any(alerts->ways.events) && *e != NULL; e++) {
        if (strcmp(*e, row->name) == 0 || strcmp(*e, row->group) == 0)
            return true;
    }
    return !any(alerts->ways.events);
}

void alerts_raise(struct alerts *alerts, const char *event, const char *level, const char *text, bool good)
{
    const struct alert_event *row = alert_event_find(event);
    if (row == NULL)
        BUG("alert %s is not in the table", event);
    log_event(good ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "alert", "event=%s level=%s text=\"%s\"", event, level,
              text);
    if (!alert_ways_any(&alerts->ways) || !is_wanted(alerts, row))
        return;
    pthread_mutex_lock(&alerts->lock);
    put(alerts, row, level, text, false);
    while (!alerts->ways.background && tell_one(alerts))
        continue;
    pthread_cond_signal(&alerts->wake);
    pthread_mutex_unlock(&alerts->lock);
}
