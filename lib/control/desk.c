/* Owns: the orders that wait, and what holds by now. See desk.h. */
#include "control/desk.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/queue.h"

#define ORDERS_MAX 16
/* Our own commands wait 30 s for an answer: what has not begun long before is not done any more, and what is done late says so. */
#define BEGUN_WITHIN_US INT64_C(20000000)
#define LATE_US         INT64_C(25000000)

struct job {
    struct desk_order order;
    desk_done *done;
    void *ctx;
    int64_t asked_us; /* mono */
};

struct desk {
    struct desk_hooks hooks;
    struct queue *jobs;
    pthread_t thread;
    bool open;
    atomic_uint can;
    atomic_bool paused, drain;
    atomic_llong rate;
    pthread_mutex_t lock; /* guards what follows */
    desk_check *check;
    struct config *config;  /* NULL: the first one still holds */
    atomic_uint generation; /* of config */
};

static const char *const verb_names[DESK_VERB_MAX_] = {
    [DESK_UNKNOWN] = "",          [DESK_PAUSE] = "pause",   [DESK_RESUME] = "resume",
    [DESK_THROTTLE] = "throttle", [DESK_RELOAD] = "reload", [DESK_DRAIN] = "drain",
};

const char *desk_verb_name(enum desk_verb verb)
{
    return (unsigned)verb < DESK_VERB_MAX_ ? verb_names[verb] : "";
}

enum desk_verb desk_verb_of(const char *name)
{
    for (unsigned i = DESK_UNKNOWN + 1; i < DESK_VERB_MAX_; i++) {
        if (strcmp(verb_names[i], name) == 0)
            return (enum desk_verb)i;
    }
    return DESK_UNKNOWN;
}

struct desk *desk_new(void)
{
    struct desk *desk = xcalloc(1, sizeof *desk);
    desk->jobs = queue_new(ORDERS_MAX);
    if (pthread_mutex_init(&desk->lock, NULL) != 0)
        BUG("pthread_mutex_init failed");
    atomic_init(&desk->can, DESK_CAN(DESK_RELOAD));
    atomic_init(&desk->rate, DESK_AS_CONFIGURED);
    return desk;
}

void desk_free(struct desk *desk)
{
    if (desk == NULL)
        return;
    desk_close(desk);
    queue_free(desk->jobs);
    config_free(desk->config);
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

static void say_rate(const struct desk_order *order, struct strbuf *said)
{
    if (order->rows_per_second == DESK_AS_CONFIGURED)
        strbuf_adds(said, "rows per second are as configured");
    else if (order->rows_per_second == 0)
        strbuf_adds(said, "no limit of rows per second, until a restart");
    else
        strbuf_addf(said, "%" PRId64 " rows per second at most, until a restart", order->rows_per_second);
}

static void hold_to(struct desk *desk, const struct desk_order *order, struct strbuf *said)
{
    switch (order->verb) {
    case DESK_PAUSE:
        atomic_store(&desk->paused, true);
        strbuf_adds(said, "pauses behind what is at hand, until resume or a restart");
        break;
    case DESK_RESUME:
        atomic_store(&desk->paused, false);
        strbuf_adds(said, "goes on");
        break;
    case DESK_THROTTLE:
        atomic_store(&desk->rate, order->rows_per_second);
        say_rate(order, said);
        break;
    case DESK_DRAIN:
        atomic_store(&desk->paused, false); /* else it would never come to the end */
        atomic_store(&desk->drain, true);
        strbuf_adds(said, "finishes what is there by now, then stops");
        break;
    case DESK_UNKNOWN:
    case DESK_RELOAD:
    case DESK_VERB_MAX_:
        break;
    }
}

static bool carry_out(struct desk *desk, const struct desk_order *order, struct strbuf *said, struct err *err)
{
    if ((atomic_load(&desk->can) & DESK_CAN(order->verb)) == 0)
        return err_set(err, ERR_UNSUPPORTED, "this role has no %s", desk_verb_name(order->verb));
    if (order->verb == DESK_RELOAD)
        return desk->hooks.reload(desk->hooks.ctx, order, said, err);
    if (!desk->hooks.note(desk->hooks.ctx, order, err))
        return err_wrap(err, "%s is not done, since it cannot be noted in the audit chain",
                        desk_verb_name(order->verb));
    hold_to(desk, order, said);
    return true;
}

static void finish(struct desk *desk, struct job *job)
{
    struct err err = ERR_INIT;
    struct strbuf said = STRBUF_INIT(DESK_TEXT_MAX);
    const struct desk_order *order = &job->order;
    int64_t waited_us = clock_mono_us() - job->asked_us;
    bool ok =
        job->done != NULL && waited_us > BEGUN_WITHIN_US
            ? err_set(&err, ERR_BUSY, "it has waited %lld s behind other commands and is not done: ask again",
                      (long long)(waited_us / 1000000))
            : carry_out(desk, order, &said, &err);
    int64_t took_us = clock_mono_us() - job->asked_us;
    if (ok && took_us > LATE_US)
        strbuf_addf(&said, "; done %lld s after it was asked for: whoever asked may have had no answer",
                    (long long)(took_us / 1000000));
    log_event(ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, ok ? "control" : "control_refused",
              "verb=%s who=\"%s\" from=%s text=\"%s\"", desk_verb_name(order->verb), order->who, order->from,
              ok ? said.data : err.text);
    if (job->done != NULL)
        job->done(job->ctx, ok, &err, ok ? said.data : err.text);
    strbuf_release(&said);
    free(job);
}

static void *work(void *arg)
{
    struct desk *desk = arg;
    struct job *job;
    while ((job = queue_pop(desk->jobs, -1)) != NULL)
        finish(desk, job);
    return NULL;
}

void desk_open(struct desk *desk, const struct desk_hooks *hooks)
{
    desk->hooks = *hooks;
    if (pthread_create(&desk->thread, NULL, work, desk) != 0)
        BUG("no thread for control");
    desk->open = true;
}

void desk_close(struct desk *desk)
{
    if (!desk->open)
        return;
    queue_close(desk->jobs);
    pthread_join(desk->thread, NULL);
    desk->open = false;
}

bool desk_submit(struct desk *desk, const struct desk_order *order, desk_done *done, void *ctx)
{
    struct job *job = xmalloc(sizeof *job);
    *job = (struct job){.order = *order, .done = done, .ctx = ctx, .asked_us = clock_mono_us()};
    if (queue_try_push(desk->jobs, job))
        return true;
    free(job);
    return false;
}

void desk_can(struct desk *desk, unsigned verbs)
{
    atomic_fetch_or(&desk->can, verbs);
}

bool desk_is_paused(const struct desk *desk)
{
    return atomic_load_explicit(&desk->paused, memory_order_relaxed);
}

int64_t desk_rate_asked(const struct desk *desk)
{
    return atomic_load_explicit(&desk->rate, memory_order_relaxed);
}

int64_t desk_rate(const struct desk *desk, int64_t configured)
{
    int64_t asked = desk_rate_asked(desk);
    return asked == DESK_AS_CONFIGURED ? configured : asked;
}

bool desk_drain_asked(const struct desk *desk)
{
    return atomic_load_explicit(&desk->drain, memory_order_relaxed);
}

void desk_drained(struct desk *desk)
{
    if (atomic_exchange(&desk->drain, false) && desk->hooks.stop != NULL)
        desk->hooks.stop(desk->hooks.ctx);
}

bool desk_new_config(struct desk *desk, unsigned *seen, desk_take *take, void *ctx)
{
    if (atomic_load_explicit(&desk->generation, memory_order_acquire) == *seen)
        return false;
    pthread_mutex_lock(&desk->lock);
    *seen = atomic_load_explicit(&desk->generation, memory_order_relaxed);
    take(ctx, desk->config);
    pthread_mutex_unlock(&desk->lock);
    return true;
}

void desk_check_by(struct desk *desk, desk_check *check)
{
    pthread_mutex_lock(&desk->lock);
    desk->check = check;
    pthread_mutex_unlock(&desk->lock);
}

bool desk_config_fits(struct desk *desk, const struct config *cfg, struct err *err)
{
    pthread_mutex_lock(&desk->lock);
    desk_check *check = desk->check;
    pthread_mutex_unlock(&desk->lock);
    return check == NULL || check(cfg, err);
}

void desk_set_config(struct desk *desk, struct config *cfg)
{
    pthread_mutex_lock(&desk->lock);
    config_free(desk->config);
    desk->config = cfg;
    atomic_fetch_add_explicit(&desk->generation, 1, memory_order_release);
    pthread_mutex_unlock(&desk->lock);
}
