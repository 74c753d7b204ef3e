/* Owns: the thread that looks at how long the end takes. See end_guard.h. */
#include "end_guard.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/log.h"
#include "core/mono_cond.h"

struct end_guard {
    int code;
    void (*last_word)(void *ctx);
    void *ctx;
    int64_t end_us; /* mono; of all */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    const char *step;
    int64_t began_us, until_us;
    bool done;
};

/* The lock is held. */
static void give_up(struct end_guard *g)
{
    log_event(LOG_LEVEL_ERROR, "end_given_up",
              "step=%s after_ms=%lld text=\"the end of this process does not wait for it any longer\"",
              g->step, (long long)((clock_mono_us() - g->began_us) / 1000));
    g->last_word(g->ctx);
    _exit(g->code);
}

static void *watch(void *arg)
{
    struct end_guard *g = arg;
    pthread_mutex_lock(&g->lock);
    while (!g->done) {
        int64_t until_us = MIN_OF(g->until_us, g->end_us);
        if (clock_mono_us() >= until_us)
            give_up(g);
        (void)mono_cond_wait(&g->wake, &g->lock, until_us);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

static void release(struct end_guard *g)
{
    (void)pthread_cond_destroy(&g->wake);
    (void)pthread_mutex_destroy(&g->lock);
    free(g);
}

struct end_guard *end_guard_start(int code, void (*last_word)(void *ctx), void *ctx)
{
    struct end_guard *g = xcalloc(1, sizeof *g);
    int64_t now_us = clock_mono_us();
    *g = (struct end_guard){.code = code,
                            .last_word = last_word,
                            .ctx = ctx,
                            .step = "end",
                            .began_us = now_us,
                            .until_us = now_us + END_WITHIN_MS * 1000,
                            .end_us = now_us + END_WITHIN_MS * 1000};
    mono_cond_init(&g->wake);
    if (pthread_mutex_init(&g->lock, NULL) != 0)
        BUG("no lock for the end");
    int rc = pthread_create(&g->thread, NULL, watch, g);
    if (rc == 0)
        return g;
    log_event(LOG_LEVEL_WARN, "end_unbounded",
              "errno=%d text=\"no thread can be started to look at the time\"", rc);
    release(g);
    return NULL;
}

void end_guard_step(struct end_guard *g, const char *name, int64_t within_ms)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->lock);
    g->step = name;
    g->began_us = clock_mono_us();
    g->until_us = g->began_us + within_ms * 1000;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

void end_guard_stop(struct end_guard *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->lock);
    g->done = true;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
    (void)pthread_join(g->thread, NULL);
    release(g);
}
