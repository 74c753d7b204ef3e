/* Owns: the thread that reads the next batch. See ahead.h. */
#include "apply/ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "apply/apply_internal.h"
#include "core/alive.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mono_cond.h"

#define IDLE_WAIT_MS 100
#define IDLE_MAX     10 /* a journal that is silent for longer is waited for by the owner */
#define LOOK_MS      50
/* Fewer changes are read sooner than a thread is woken. */
#define CHANGES_MIN 100

enum ahead_state { AHEAD_NONE = 0, AHEAD_READING, AHEAD_READ };

struct ahead {
    struct apply_run *run;
    struct batch *batch;
    size_t max_bytes;
    pthread_t thread;
    bool running; /* the thread is there */
    bool told;    /* in the log, once a process */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum ahead_state state; /* under the lock; the rest is the thread's while it reads, else the owner's */
    bool ending;            /* under the lock */
    atomic_bool given_up;
    struct fence_batch fences;
    struct journal_reader *data;
    struct decoder *dec;
    lsn_t drop_below;
    bool whole; /* all records of the fences are there */
    struct err err;
};

static bool read_ranges(struct ahead *a, struct err *err)
{
    struct journal_record rec;
    if (!journal_assign(a->data, a->fences.ranges, a->fences.range_count, err))
        return err_wrap(err, "journal");
    for (unsigned idle = 0; !atomic_load(&a->given_up) && idle < IDLE_MAX;) {
        enum journal_next got = journal_next(a->data, IDLE_WAIT_MS, &rec, err);
        if (got == JOURNAL_ERROR)
            return err_wrap(err, "journal");
        a->whole = got == JOURNAL_END;
        if (a->whole)
            return true;
        idle = got == JOURNAL_IDLE ? idle + 1 : 0;
        if (got == JOURNAL_IDLE)
            continue;
        if (!batch_add(a->batch, a->run->settings.codec, a->dec, &rec, a->drop_below, err))
            return false;
        if (batch_bytes(a->batch) > a->max_bytes) /* it has to be written in parts */
            return true;
    }
    return true;
}

static void *work(void *arg)
{
    struct ahead *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->ending) {
        if (a->state != AHEAD_READING) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        (void)read_ranges(a, &a->err); /* ahead_take() tells */
        pthread_mutex_lock(&a->lock);
        a->state = AHEAD_READ;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

struct ahead *ahead_new(struct apply_run *run)
{
    struct ahead *a = xcalloc(1, sizeof *a);
    a->run = run;
    a->max_bytes = run->settings.batch_max_bytes / 2;
    a->batch = batch_new(run->settings.batch_max_bytes);
    a->err = (struct err)ERR_INIT;
    pthread_mutex_init(&a->lock, NULL);
    mono_cond_init(&a->changed);
    return a;
}

void ahead_free(struct ahead *a)
{
    if (a == NULL)
        return;
    ahead_drop(a);
    pthread_mutex_lock(&a->lock);
    a->ending = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (a->running && pthread_join(a->thread, NULL) != 0)
        BUG("the thread that reads ahead cannot be joined");
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    batch_free(a->batch);
    free(a);
}

/* Until the thread has nothing to do; `watch`: a stop or a pause gives it up. */
static void await(struct ahead *a, bool watch)
{
    pthread_mutex_lock(&a->lock);
    while (a->state == AHEAD_READING) {
        alive_tick();
        (void)mono_cond_wait(&a->changed, &a->lock, clock_mono_us() + LOOK_MS * 1000);
        if (watch && (stopper_asked(a->run->stopper) || desk_is_paused(a->run->desk)))
            atomic_store(&a->given_up, true);
    }
    pthread_mutex_unlock(&a->lock);
}

void ahead_settle(struct ahead *a)
{
    await(a, true);
}

void ahead_drop(struct ahead *a)
{
    atomic_store(&a->given_up, true);
    await(a, false);
    if (a->state == AHEAD_NONE)
        return;
    batch_clear(a->batch);
    err_clear(&a->err);
    a->state = AHEAD_NONE;
}

const struct fence_batch *ahead_fences(const struct ahead *a)
{
    return a->state == AHEAD_READ ? &a->fences : NULL;
}

/* Only in the plain way of things: then each record of the next fences becomes a change, whatever becomes of those before. */
static bool may_start(const struct session *s)
{
    return s->foreign == NULL && s->position_found && s->position.complete && s->single_fences == 0 &&
           !s->look_whole && !table_map_watches(s->tables) && letters_count(s->letters) == 0;
}

uint64_t ahead_wants(const struct session *s, uint64_t changes)
{
    return may_start(s) ? 2 * changes : changes;
}

static bool wake(struct ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->state = AHEAD_READING;
    a->running = a->running || pthread_create(&a->thread, NULL, work, a) == 0;
    if (!a->running) /* no thread to be had: the owner reads */
        a->state = AHEAD_NONE;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    return a->running;
}

bool ahead_start(struct session *s, const struct fence_batch *fences, struct err *err)
{
    struct ahead *a = s->run->ahead;
    if (!may_start(s) || !fences->complete || !fence_feed_is_behind(s->feed, fences) ||
        batch_bytes(s->run->batch) > a->max_bytes || stopper_asked(s->run->stopper) ||
        desk_is_paused(s->run->desk))
        return true;
    ahead_drop(a);
    if (!fence_feed_pick_behind(s->feed, fences, s->most, &a->fences, err))
        return false;
    if (!a->fences.complete || a->fences.changes < CHANGES_MIN)
        return true;
    a->data = s->data;
    a->dec = s->dec;
    a->drop_below = fences->last->lsn;
    a->whole = false;
    atomic_store(&a->given_up, false);
    batch_clear(a->batch);
    batch_keep_records(a->batch, false);
    batch_large_parts(a->batch, s->tgt->triggers_fire);
    batch_of_shard(a->batch, s->run->settings.shard, s->tgt->layout);
    batch_drop_by_table(a->batch, NULL, NULL); /* (only beside a copy) */
    if (wake(a) && !a->told) {
        a->told = true;
        log_event(LOG_LEVEL_INFO, "reading_ahead", "fence=%llu changes=%llu",
                  (unsigned long long)a->fences.last->id, (unsigned long long)a->fences.changes);
    }
    return true;
}

bool ahead_take(struct session *s, const struct fence_batch *fences, bool *ret_taken, struct err *err)
{
    struct ahead *a = s->run->ahead;
    *ret_taken = false;
    if (ahead_fences(a) == NULL)
        return true;
    bool same = a->fences.count == fences->count && a->fences.last_offset == fences->last_offset;
    if (same && err_is_set(&a->err) && !atomic_load(&a->given_up)) {
        *err = a->err;
        ahead_drop(a);
        return false;
    }
    if (same && a->whole && may_start(s)) {
        struct batch *read = a->batch;
        a->batch = s->run->batch;
        s->run->batch = read;
        batch_drop_by_table(read, apply_session_direct_from, s);
        *ret_taken = true;
    }
    ahead_drop(a);
    return true;
}
