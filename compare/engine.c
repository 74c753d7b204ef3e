/* Owns: the planner thread, the workers, and how a table's verdict comes about. See engine.h. */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buckets.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "range.h"

#define JOBS_QUEUED 256
#define TICK_MS     200

enum job_kind { JOB_RANGE, JOB_BUCKETS, JOB_FINISH };

struct job {
    enum job_kind kind;
    struct plan_table *pt;
    struct key_range range;
};

static void key_free(char **key)
{
    for (size_t i = 0; key != NULL && key[i] != NULL; i++)
        free(key[i]);
    free(key);
}

void key_range_release(struct key_range *range)
{
    key_free(range->lower);
    key_free(range->upper);
    *range = (struct key_range){0};
}

static char **key_copy(char *const *key, size_t count)
{
    char **copy = xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(key[i]);
    return copy;
}

static void job_free(struct job *job)
{
    key_range_release(&job->range);
    free(job);
}

bool engine_has_room(struct engine *engine, struct plan_table *pt)
{
    pthread_mutex_lock(&pt->lock);
    bool room = pt->out.difference_count < DIFFERENCES_PER_TABLE &&
                (atomic_load(&engine->differences) < DIFFERENCES_PER_RUN || pt->out.difference_count < 10);
    if (!room)
        pt->out.more = true;
    pthread_mutex_unlock(&pt->lock);
    return room && !atomic_load(&engine->stop);
}

void engine_add_difference(struct engine *engine, struct plan_table *pt, struct compare_difference *diff)
{
    if (pt->out.difference_count >= DIFFERENCES_PER_TABLE) {
        pt->out.more = true;
        difference_release(diff);
        return;
    }
    atomic_fetch_add(&engine->differences, 1);
    table_add_difference(&pt->out, diff);
}

/* Ends the run before its time; the first cause is kept. */
static void engine_break(struct engine *engine, const struct err *err)
{
    pthread_mutex_lock(&engine->lock);
    if (!err_is_set(&engine->broken))
        engine->broken = *err;
    pthread_mutex_unlock(&engine->lock);
    atomic_store(&engine->stop, true);
    queue_close(engine->jobs);
}

bool engine_table_error(struct engine *engine, struct plan_table *pt, struct err *err)
{
    if (err->code == ERR_CONNECT || atomic_load(&engine->stop))
        return false;
    pthread_mutex_lock(&pt->lock);
    table_conclude(&pt->out, VERDICT_INCONCLUSIVE, "%s", err->text);
    pthread_mutex_unlock(&pt->lock);
    err_clear(err);
    return true;
}

/*
 * A snapshot does not protect against TRUNCATE, or ALTER TABLE that rewrites: the rows are gone for older
 * snapshots too. The catalog rows that the snapshot sees are compared with what is there now; our locks (held
 * since the first read) keep it so.
 */
static const char rewritten_sql[] =
    "WITH RECURSIVE tree(oid) AS (SELECT $1::oid UNION ALL SELECT i.inhrelid FROM pg_inherits i"
    "                              JOIN tree ON i.inhparent = tree.oid WHERE $2::bool)"
    "SELECT coalesce(bool_or(c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM "
    "pg_relation_filenode(c.oid)), true)"
    "       OR ($2::bool AND count(*) <> (SELECT count(*) FROM pg_partition_tree($1::oid::regclass)))"
    "  FROM tree JOIN pg_class c ON c.oid = tree.oid";

static bool check_rewritten(struct pair *pair, struct plan_table *pt, struct err *err)
{
    char oids[SIDE_COUNT][16];
    const char *params[SIDE_COUNT][2];
    struct statement st[SIDE_COUNT];
    struct pg_result *results[SIDE_COUNT] = {NULL};
    for (int side = 0; side < SIDE_COUNT; side++) {
        (void)snprintf(oids[side], sizeof oids[side], "%u", pt->oid[side]);
        params[side][0] = oids[side];
        params[side][1] = pt->tree[side] ? "true" : "false";
        st[side] = (struct statement){STRBUF_INIT(4096), 2, params[side]};
        strbuf_adds(&st[side].sql, rewritten_sql);
    }
    bool ok = pair_query(pair, st, results, err);
    for (int side = 0; side < SIDE_COUNT; side++) {
        if (!ok || !pg_cell_bool(results[side], 0, 0))
            continue;
        pt->rewritten = true;
        table_conclude(
            &pt->out, VERDICT_INCONCLUSIVE,
            "truncated, rewritten or dropped on the %s after the snapshot was taken: compare again",
            side_name((enum side)side));
    }
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    pair_results_free(results);
    return ok;
}

static void conclude(struct plan_table *pt)
{
    struct compare_table *out = &pt->out;
    if (pt->rewritten) { /* what seemed to differ may be the rewriting */
        table_drop_differences(out);
        return;
    }
    if (out->verdict == VERDICT_INCONCLUSIVE && out->chunks_differing == 0)
        return;
    if (out->difference_count > 0)
        table_conclude(out, VERDICT_FAIL, "%s%zu row%s", out->more ? "at least " : "", out->difference_count,
                       out->difference_count == 1 ? " differs" : "s differ");
    else if (out->chunks_differing > 0)
        table_conclude(out, VERDICT_FAIL, "%llu of %llu parts differ",
                       (unsigned long long)out->chunks_differing, (unsigned long long)out->chunks);
    else
        table_conclude(out, VERDICT_PASS, "%s", "");
}

/* Ranges met rows that are equal on both sides, elsewhere: their order is not the same. Buckets need none. */
static bool compare_again(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    struct compare_table *out = &pt->out;
    table_drop_differences(out);
    out->chunks = out->chunks_differing = out->rows_source = out->rows_target = 0;
    out->more = false;
    table_add_note(out, "keys do not sort alike on both sides: compared again by hash buckets");
    return buckets_compare(engine, pair, pt, err);
}

/* By the one who finishes the last job of the table: nobody else touches it any more. */
static bool finish_table(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    bool ok = true;
    if (pt->order_suspect && pt->out.verdict == VERDICT_UNKNOWN)
        ok = compare_again(engine, pair, pt, err);
    ok = ok && (pt->out.verdict == VERDICT_INCONCLUSIVE || check_rewritten(pair, pt, err));
    if (!ok && !engine_table_error(engine, pt, err))
        return false;
    conclude(pt);
    atomic_fetch_add(&engine->tables_done, 1);
    if (pt->out.verdict == VERDICT_FAIL)
        atomic_fetch_add(&engine->tables_failed, 1);
    pt->done = true;
    return true;
}

/* True for the one that ends the table. */
static bool drop_pending(struct plan_table *pt)
{
    pthread_mutex_lock(&pt->lock);
    bool last = --pt->pending == 0;
    pthread_mutex_unlock(&pt->lock);
    return last;
}

static bool given_up(struct plan_table *pt)
{
    pthread_mutex_lock(&pt->lock);
    bool up = pt->out.verdict == VERDICT_INCONCLUSIVE;
    pthread_mutex_unlock(&pt->lock);
    return up;
}

static bool run_job(struct engine *engine, struct pair *pair, struct job *job, struct err *err)
{
    struct plan_table *pt = job->pt;
    bool ok = true;
    if (job->kind == JOB_BUCKETS)
        ok = buckets_compare(engine, pair, pt, err);
    else if (job->kind == JOB_RANGE && !given_up(pt))
        ok = range_compare(engine, pair, pt, &job->range, err);
    if (!ok && !engine_table_error(engine, pt, err))
        return false;
    return !drop_pending(pt) || finish_table(engine, pair, pt, err);
}

static void thread_ends(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    engine->threads_running--;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

struct worker {
    struct engine *engine;
    struct pair *pair;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct job *job;
    while (!atomic_load(&w->engine->stop) && (job = queue_pop(w->engine->jobs, -1)) != NULL) {
        struct err err = ERR_INIT;
        if (!run_job(w->engine, w->pair, job, &err))
            engine_break(w->engine, &err);
        job_free(job);
    }
    thread_ends(w->engine);
    return NULL;
}

static bool push_job(struct engine *engine, enum job_kind kind, struct plan_table *pt, struct key_range range)
{
    struct job *job = xcalloc(1, sizeof *job);
    *job = (struct job){.kind = kind, .pt = pt, .range = range};
    pthread_mutex_lock(&pt->lock);
    pt->pending += kind != JOB_FINISH; /* which takes over the planner's own count */
    pthread_mutex_unlock(&pt->lock);
    if (queue_push(engine->jobs, job))
        return true;
    job_free(job); /* closed: the run has ended */
    return false;
}

static bool plan_ranges(struct engine *engine, struct plan_table *pt, struct err *err)
{
    char **lower = NULL, **next = NULL;
    do {
        next = NULL;
        if (!range_walk(engine->walker, pt, lower, engine->chunk_rows, &next, err)) {
            key_free(lower);
            return false;
        }
        struct key_range range = {.lower = lower, .upper = next};
        lower = next != NULL ? key_copy(next, pt->key_count) : NULL;
        if (!push_job(engine, JOB_RANGE, pt, range)) {
            key_free(lower);
            return err_set(err, ERR_INTERRUPTED, "stopped");
        }
    } while (next != NULL && !atomic_load(&engine->stop));
    key_free(lower);
    return true;
}

static bool plan_table_jobs(struct engine *engine, struct plan_table *pt, struct err *err)
{
    pt->pending = 1; /* ours: the table cannot end while we add to it */
    pt->out.method = pt->ranges ? METHOD_RANGES : METHOD_BUCKETS;
    bool ok =
        pt->ranges ? plan_ranges(engine, pt, err) : push_job(engine, JOB_BUCKETS, pt, (struct key_range){0});
    if (!ok && atomic_load(&engine->stop))
        return false;
    if (!ok && (!engine_table_error(engine, pt, err) || !session_recover(engine->walker, err)))
        return false;
    pthread_mutex_lock(&pt->lock);
    bool alone = pt->pending == 1;
    if (!alone)
        pt->pending--;
    pthread_mutex_unlock(&pt->lock);
    /* All jobs are done already? Ending the table takes a worker's connections. */
    return !alone || push_job(engine, JOB_FINISH, pt, (struct key_range){0});
}

static void *planner_main(void *arg)
{
    struct engine *engine = arg;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < engine->plan->count && !atomic_load(&engine->stop); i++) {
        struct plan_table *pt = engine->plan->tables[i];
        if (pt->comparable && !plan_table_jobs(engine, pt, &err)) {
            if (err_is_set(&err))
                engine_break(engine, &err);
            break;
        }
    }
    queue_close(engine->jobs);
    thread_ends(engine);
    return NULL;
}

static void report_progress(struct engine *engine, const struct compare_request *req, int64_t started_us)
{
    if (req->progress == NULL)
        return;
    struct compare_progress p = {.stage = "compare", .text = "", .tables_total = engine->plan->count};
    for (size_t i = 0; i < engine->plan->count; i++)
        p.rows_estimate += (uint64_t)engine->plan->tables[i]->rows_estimate;
    p.tables_done = atomic_load(&engine->tables_done);
    p.tables_failed = atomic_load(&engine->tables_failed);
    p.rows_done = (uint64_t)atomic_load(&engine->rows_done);
    p.elapsed_us = clock_mono_us() - started_us;
    req->progress(req->progress_ctx, &p);
}

/* Ends what the servers are at, again and again until all threads are gone: one cancel may fall between
 * statements. */
static void cancel_all(struct engine *engine)
{
    pg_cancel(engine->walker);
    for (size_t i = 0; i < engine->worker_count; i++) {
        pg_cancel(engine->pairs[i].conn[SIDE_SOURCE]);
        pg_cancel(engine->pairs[i].conn[SIDE_TARGET]);
    }
}

static bool stop_asked(int stop_fd)
{
    struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
    return stop_fd >= 0 && poll(&fd, 1, 0) == 1;
}

static void wait_tick(struct engine *engine)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&engine->lock);
    if (engine->threads_running > 0)
        (void)pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
    pthread_mutex_unlock(&engine->lock);
}

static bool threads_run(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool run = engine->threads_running > 0;
    pthread_mutex_unlock(&engine->lock);
    return run;
}

static void supervise(struct engine *engine, const struct compare_request *req)
{
    int64_t started_us = clock_mono_us();
    while (threads_run(engine)) {
        wait_tick(engine);
        report_progress(engine, req, started_us);
        if (!atomic_load(&engine->stop) && stop_asked(req->stop_fd)) {
            struct err err = ERR_INIT;
            err_set(&err, ERR_INTERRUPTED, "stopped before the comparison was done");
            engine_break(engine, &err);
        }
        if (atomic_load(&engine->stop))
            cancel_all(engine);
    }
}

static void start_threads(struct engine *engine, pthread_t *threads, struct worker *workers)
{
    engine->threads_running = engine->worker_count + 1;
    for (size_t i = 0; i < engine->worker_count; i++) {
        workers[i] = (struct worker){engine, &engine->pairs[i]};
        if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0)
            BUG("no thread");
    }
    if (pthread_create(&threads[engine->worker_count], NULL, planner_main, engine) != 0)
        BUG("no thread");
}

static void conclude_unfinished(struct engine *engine)
{
    for (size_t i = 0; i < engine->plan->count; i++) {
        struct plan_table *pt = engine->plan->tables[i];
        if (pt->comparable && !pt->done)
            table_conclude(&pt->out, VERDICT_INCONCLUSIVE, "not compared to the end: %s",
                           err_is_set(&engine->broken) ? engine->broken.text : "the run ended");
    }
}

bool engine_run(struct engine *engine, const struct compare_request *req, struct err *err)
{
    pthread_t *threads = xcalloc(engine->worker_count + 1, sizeof *threads);
    struct worker *workers = xcalloc(engine->worker_count, sizeof *workers);
    struct job *job;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->changed, NULL);
    engine->jobs = queue_new(JOBS_QUEUED);
    for (size_t i = 0; i < engine->plan->count; i++)
        atomic_fetch_add(&engine->tables_done, !engine->plan->tables[i]->comparable);
    start_threads(engine, threads, workers);
    supervise(engine, req);
    for (size_t i = 0; i <= engine->worker_count; i++)
        pthread_join(threads[i], NULL);
    while ((job = queue_pop(engine->jobs, 0)) != NULL)
        job_free(job);
    queue_free(engine->jobs);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->changed);
    free(threads);
    free(workers);
    conclude_unfinished(engine);
    if (engine->broken.code == ERR_INTERRUPTED) {
        *err = engine->broken;
        return false;
    }
    return true;
}
