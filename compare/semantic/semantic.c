/* Owns: the workers of a comparison's checks. See semantic.h. */
#include "compare/semantic/semantic.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare/semantic/jobs.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/mono_cond.h"
#include "tick.h"

struct pool {
    const struct semantic *semantic;
    struct engine *engine;
    struct job_list jobs;
    atomic_size_t next, done;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t running;
    struct err broken; /* what ended the run before its time */
};

struct worker {
    struct pool *pool;
    struct pair *pair;
};

static void pool_break(struct pool *pool, const struct err *err)
{
    pthread_mutex_lock(&pool->lock);
    if (!err_is_set(&pool->broken))
        pool->broken = *err;
    pthread_mutex_unlock(&pool->lock);
    atomic_store(&pool->stop, true);
}

/* Reads whole tables, within a time for each statement; what is set stands before the savepoint, so that a failed statement does not take
 * it back. Queries of people look unqualified names up where people have their tables. */
static bool prepare_pair(const struct semantic *semantic, struct pair *pair, struct err *err)
{
    if (!pair_scan_whole(pair, true, err))
        return false;
    for (int side = 0; side < SIDE_COUNT; side++) {
        struct session *session = pair->session[side];
        bool postgres = session_dialect(session) == DIALECT_POSTGRES;
        if (!session_limit_time(session, semantic->statement_limit_ms, err) ||
            (postgres && !session_exec(session, "SET LOCAL search_path = 'public'", err)) ||
            !session_savepoint(session, err))
            return err_wrap(err, "%s", side_name((enum side)side));
    }
    return true;
}

static bool is_open(const struct semantic_job *job)
{
    return job->run != NULL && (job->pt == NULL || job->pt->comparable);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *pool = w->pool;
    struct err err = ERR_INIT;
    bool ok = prepare_pair(pool->semantic, w->pair, &err);
    while (ok && !atomic_load(&pool->stop)) {
        size_t i = atomic_fetch_add(&pool->next, 1);
        if (i >= pool->jobs.count)
            break;
        struct semantic_job *job = &pool->jobs.jobs[i];
        ok = !is_open(job) || job->run(job, w->pair, &err);
        atomic_fetch_add(&pool->done, 1);
    }
    if (!ok)
        pool_break(pool, &err);
    pthread_mutex_lock(&pool->lock);
    pool->running--;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* False when all workers have ended. */
static bool wait_tick(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->running > 0)
        tick_wait(&pool->changed, &pool->lock);
    bool running = pool->running > 0;
    pthread_mutex_unlock(&pool->lock);
    return running;
}

static void tell(const struct pool *pool, const struct compare_request *req, int64_t began_us)
{
    char text[80];
    if (req->progress == NULL)
        return;
    (void)snprintf(text, sizeof text, "%zu of %zu checks", atomic_load(&pool->done), pool->jobs.count);
    struct compare_progress p = {.stage = "checks", .text = text, .elapsed_us = clock_mono_us() - began_us};
    req->progress(req->progress_ctx, &p);
}

static void supervise(struct pool *pool, const struct compare_request *req)
{
    int64_t began_us = clock_mono_us();
    while (wait_tick(pool)) {
        tell(pool, req, began_us);
        if (!atomic_load(&pool->stop) && tick_stop_asked(req->stop_fd)) {
            struct err err = ERR_INIT;
            err_set(&err, ERR_INTERRUPTED, "stopped before the comparison was done");
            pool_break(pool, &err);
        }
        for (size_t i = 0; atomic_load(&pool->stop) && i < pool->engine->worker_count; i++) {
            session_cancel(pool->engine->pairs[i].session[SIDE_SOURCE]);
            session_cancel(pool->engine->pairs[i].session[SIDE_TARGET]);
        }
    }
}

static void run_threads(struct pool *pool, const struct compare_request *req)
{
    size_t count =
        pool->engine->worker_count < pool->jobs.count ? pool->engine->worker_count : pool->jobs.count;
    pthread_t *threads = xcalloc(count, sizeof *threads);
    struct worker *workers = xcalloc(count, sizeof *workers);
    pool->running = count;
    for (size_t i = 0; i < count; i++) {
        workers[i] = (struct worker){pool, &pool->engine->pairs[i]};
        if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0)
            BUG("no thread");
    }
    supervise(pool, req);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(workers);
}

static void conclude_unfinished(const struct pool *pool)
{
    for (size_t i = 0; i < pool->jobs.count; i++) {
        struct semantic_job *job = &pool->jobs.jobs[i];
        if (job->check_count == 0 && err_is_set(&pool->broken))
            (void)job_add_check(job, CHECK_AGGREGATE, NULL, NULL, "aggregates", SEVERITY_REGRESSION);
        for (size_t c = 0; c < job->check_count; c++)
            check_conclude(&job->checks[c],
                           job->checks[c].state == STATE_UNKNOWN ? STATE_INCONCLUSIVE : STATE_UNKNOWN,
                           "not checked to the end: %s",
                           err_is_set(&pool->broken) ? pool->broken.text : "the run ended");
    }
}

bool semantic_run(const struct semantic *semantic, struct engine *engine, const struct compare_request *req,
                  struct compare_result *out, struct err *err)
{
    struct pool pool = {.semantic = semantic, .engine = engine, .jobs = jobs_make(semantic)};
    pthread_mutex_init(&pool.lock, NULL);
    mono_cond_init(&pool.changed);
    if (pool.jobs.count > 0)
        run_threads(&pool, req);
    conclude_unfinished(&pool);
    jobs_hand_over(&pool.jobs, out);
    pthread_mutex_destroy(&pool.lock);
    pthread_cond_destroy(&pool.changed);
    if (err_is_set(&pool.broken) && pool.broken.code == ERR_INTERRUPTED) {
        *err = pool.broken;
        return false;
    }
    return true;
}
