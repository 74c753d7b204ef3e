/* Owns: the planner thread, the workers, and how a table's verdict comes about. See engine.h. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/mono_cond.h"
#include "history/history.h"
#include "range.h"
#include "strays.h"
#include "tick.h"

#define JOBS_QUEUED 256

enum job_kind { JOB_RANGE, JOB_KEYS, JOB_BUCKETS, JOB_COUNT, JOB_FINISH };

struct job {
    enum job_kind kind;
    struct plan_table *pt;
    struct key_range range;
    struct key_batch keys;
    uint64_t seq; /* among the parts of its table */
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
    free(job->keys.bytes);
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

/* A snapshot does not protect against TRUNCATE, or ALTER TABLE that rewrites: the rows are gone for older snapshots too. Each
 * catalog says how that is seen; locks that we hold since the first read keep it so. */
static bool check_rewritten(struct pair *pair, struct plan_table *pt, struct err *err)
{
    char oids[SIDE_COUNT][16];
    const char *params[SIDE_COUNT][2];
    struct statement st[SIDE_COUNT];
    struct rowset *results[SIDE_COUNT] = {NULL};
    for (int side = 0; side < SIDE_COUNT; side++) {
        (void)snprintf(oids[side], sizeof oids[side], "%u", pt->oid[side]);
        params[side][0] = oids[side];
        params[side][1] = pt->tree[side] ? "true" : "false";
        st[side] = (struct statement){STRBUF_INIT(4096), 2, params[side]};
        strbuf_adds(&st[side].sql, catalog_rewritten_sql(pt->dialect[side]));
    }
    bool ok = pair_query(pair, st, results, err);
    for (int side = 0; side < SIDE_COUNT; side++) {
        if (!ok || !rowset_bool(results[side], 0, 0))
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

/* The whole of LEVEL_COUNTS. */
static bool count_rows(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    struct statement st[SIDE_COUNT];
    struct rowset *results[SIDE_COUNT] = {NULL};
    int64_t began_us = clock_mono_us();
    for (int side = 0; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){STRBUF_INIT(STRBUF_SQL_MAX), 0, NULL};
        strbuf_addf(&st[side].sql, "SELECT count(*) FROM %s", pt->from[side]);
    }
    bool ok = pair_query(pair, st, results, err);
    if (ok) {
        pt->out.rows_source = (uint64_t)rowset_int64(results[SIDE_SOURCE], 0, 0);
        pt->out.rows_target = (uint64_t)rowset_int64(results[SIDE_TARGET], 0, 0);
        pt->out.duration_us = clock_mono_us() - began_us;
        pt->out.chunks = 1;
        atomic_fetch_add(&engine->rows_done, (long long)pt->out.rows_source);
    }
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    pair_results_free(results);
    return ok;
}

static void conclude_counts(struct compare_table *out)
{
    uint64_t s = out->rows_source, t = out->rows_target;
    if (s != t)
        table_conclude(out, VERDICT_FAIL, "%llu row%s %s on the target",
                       (unsigned long long)(s > t ? s - t : t - s), s - t == 1 || t - s == 1 ? "" : "s",
                       s > t ? "missing" : "too many");
}

static void note_scope(struct compare_table *out)
{
    if (out->where[SIDE_SOURCE] == NULL)
        return;
    bool same = strcmp(out->where[SIDE_SOURCE], out->where[SIDE_TARGET]) == 0;
    table_add_note(out, "%llu of about %llu rows were compared, those inside: %s%s%s",
                   (unsigned long long)out->rows_source,
                   (unsigned long long)MAX_OF(out->rows_estimate, out->rows_source), out->where[SIDE_SOURCE],
                   same ? "" : "; on the target: ", same ? "" : out->where[SIDE_TARGET]);
}

static void conclude(struct plan_table *pt)
{
    struct compare_table *out = &pt->out;
    note_scope(out);
    if (pt->lenient_rows > 0)
        table_add_note(out,
                       "%llu rows are not equal, but count as such by compare.tolerance, compare.json, "
                       "compare.text or compare.unicode",
                       (unsigned long long)pt->lenient_rows);
    if (pt->rewritten) { /* what seemed to differ may be the rewriting */
        table_drop_differences(out);
        return;
    }
    if (out->verdict == VERDICT_INCONCLUSIVE && out->chunks_differing == 0)
        return;
    if (pt->split > 0 && out->difference_count == 0) {
        table_conclude(
            out, VERDICT_INCONCLUSIVE,
            "%zu row%s equal on both sides, and inside the condition on one side only: say it for the "
            "target in its own SQL (--target-where, compare.target_where)",
            pt->split, pt->split == 1 ? " is" : "s are");
        return;
    }
    if (out->method == METHOD_COUNTS)
        conclude_counts(out);
    if (out->difference_count > 0)
        table_conclude(out, VERDICT_FAIL, "%s%zu row%s", out->more ? "at least " : "", out->difference_count,
                       out->difference_count == 1 ? " differs" : "s differ");
    else if (out->chunks_differing > 0 && (pt->lenient_rows == 0 || out->more))
        table_conclude(out, VERDICT_FAIL, "%llu of %llu parts differ",
                       (unsigned long long)out->chunks_differing, (unsigned long long)out->chunks);
    else
        table_conclude(out, VERDICT_PASS, "%s", "");
}

/* Ranges met rows that are equal on both sides, elsewhere: their order is not the same. Buckets need none. */
static bool compare_again(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    struct compare_table *out = &pt->out;
    pthread_mutex_lock(&pt->lock); /* its history may be looked at */
    table_drop_differences(out);
    out->chunks = out->chunks_differing = out->rows_source = out->rows_target = 0;
    out->more = false;
    pt->lenient_rows = 0;
    strays_clear(pt->strays);
    out->built = BUILT_NONE;
    pt->split = 0;
    table_add_note(out, "keys do not sort alike on both sides: compared again by hash buckets");
    pthread_mutex_unlock(&pt->lock);
    return buckets_compare(engine, pair, pt, err) && strays_settle(engine, pair, pt, err);
}

/* Parts differ, and not one row does: what differs is their order. */
static bool differs_without_rows(const struct plan_table *pt)
{
    const struct compare_table *out = &pt->out;
    bool by_order = out->method == METHOD_RANGES || out->method == METHOD_KEYS;
    return pt->split == 0 && pt->lenient_rows == 0 && by_order && out->chunks_differing > 0 &&
           out->difference_count == 0 && !out->more;
}

/* By the one who finishes the last job of the table: nobody else touches it any more. */
static bool finish_table(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    bool in_vain = pt->order_suspect || pt->out.verdict == VERDICT_INCONCLUSIVE;
    bool ok = in_vain || strays_settle(engine, pair, pt, err);
    if (ok && (pt->order_suspect || differs_without_rows(pt)) && pt->out.verdict == VERDICT_UNKNOWN)
        ok = compare_again(engine, pair, pt, err);
    bool read = pt->out.chunks > 0; /* else it was proven before, and nothing has changed */
    ok = ok && (!read || pt->out.verdict == VERDICT_INCONCLUSIVE || check_rewritten(pair, pt, err)) &&
         strays_mark(pair, pt, err);
    if (!ok && !engine_table_error(engine, pt, err))
        return false;
    pthread_mutex_lock(&pt->lock); /* its history may be looked at */
    conclude(pt);
    pt->done = true;
    pthread_mutex_unlock(&pt->lock);
    atomic_fetch_add(&engine->tables_done, 1);
    if (pt->out.verdict == VERDICT_FAIL)
        atomic_fetch_add(&engine->tables_failed, 1);
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

static bool run_range(struct engine *engine, struct pair *pair, struct job *job, struct err *err)
{
    struct range_digest digest = {0};
    if (!range_compare(engine, pair, job->pt, &job->range, &digest, err))
        return false;
    pace_spend(&engine->pace, (uint64_t)digest.rows[SIDE_SOURCE]);
    history_part_done(job->pt, job->seq, digest.same, true, job->range.upper,
                      (uint64_t)digest.rows[SIDE_SOURCE]);
    return true;
}

static bool run_buckets(struct engine *engine, struct pair *pair, struct plan_table *pt, struct err *err)
{
    if (!buckets_compare(engine, pair, pt, err))
        return false;
    pace_spend(&engine->pace, pt->out.rows_source);
    return true;
}

static bool run_keys(struct engine *engine, struct pair *pair, struct job *job, struct err *err)
{
    bool same = false;
    uint64_t rows = 0;
    if (!keys_compare(engine, pair, job->pt, &job->keys, &same, &rows, err))
        return false;
    pace_spend(&engine->pace, rows);
    history_part_done(job->pt, job->seq, same, false, NULL, rows);
    return true;
}

static bool run_job(struct engine *engine, struct pair *pair, struct job *job, struct err *err)
{
    struct plan_table *pt = job->pt;
    int64_t began_us;
    if (job->kind != JOB_FINISH && !pace_wait(&engine->pace, &engine->stop, err))
        return false;
    began_us = clock_mono_us();
    bool ok = true;
    if (job->kind == JOB_BUCKETS)
        ok = run_buckets(engine, pair, pt, err);
    else if (job->kind == JOB_COUNT)
        ok = count_rows(engine, pair, pt, err);
    else if (job->kind == JOB_RANGE && !given_up(pt))
        ok = run_range(engine, pair, job, err);
    else if (job->kind == JOB_KEYS && !given_up(pt))
        ok = run_keys(engine, pair, job, err);
    pace_took(&engine->pace, clock_mono_us() - began_us);
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

/* Takes what the template owns. */
static bool push(struct engine *engine, struct job template)
{
    struct plan_table *pt = template.pt;
    struct job *job = xcalloc(1, sizeof *job);
    *job = template;
    job->seq = pt->history != NULL ? pt->history->next_seq++ : 0;
    pthread_mutex_lock(&pt->lock);
    pt->pending += job->kind != JOB_FINISH; /* which takes over the planner's own count */
    pthread_mutex_unlock(&pt->lock);
    if (queue_push(engine->jobs, job))
        return true;
    job_free(job); /* closed: the run has ended */
    return false;
}

static bool push_job(struct engine *engine, enum job_kind kind, struct plan_table *pt, struct key_range range)
{
    return push(engine, (struct job){.kind = kind, .pt = pt, .range = range});
}

bool engine_push_keys(struct engine *engine, struct plan_table *pt, struct key_batch *batch)
{
    return push(engine, (struct job){.kind = JOB_KEYS, .pt = pt, .keys = *batch});
}

/* The walk reads as well. */
static bool walk_on(struct engine *engine, struct plan_table *pt, char **lower, char ***ret_next,
                    struct err *err)
{
    if (!pace_wait(&engine->pace, &engine->stop, err))
        return false;
    int64_t began_us = clock_mono_us();
    bool ok = range_walk(engine->walker, pt, lower, engine->chunk_rows, ret_next, err);
    pace_took(&engine->pace, clock_mono_us() - began_us);
    return ok;
}

static bool plan_ranges(struct engine *engine, struct plan_table *pt, struct err *err)
{
    char **lower = pt->out.built == BUILT_REST ? key_copy(pt->history->base.upper, pt->key_count) : NULL;
    char **next = NULL;
    do {
        next = NULL;
        if (!walk_on(engine, pt, lower, &next, err)) {
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
    bool ok = true;
    if (engine->counts_only) {
        pt->out.method = METHOD_COUNTS;
        ok = push_job(engine, JOB_COUNT, pt, (struct key_range){0});
    } else if (pt->out.built == BUILT_CHANGED)
        pt->out.method = METHOD_KEYS; /* they are queued already */
    else if ((pt->out.method = pt->ranges ? METHOD_RANGES : METHOD_BUCKETS) == METHOD_RANGES)
        ok = plan_ranges(engine, pt, err);
    else
        ok = push_job(engine, JOB_BUCKETS, pt, (struct key_range){0});
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
    if (engine->history != NULL && !history_plan_keys(engine->history, engine, &err))
        engine_break(engine, &err);
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
    p.waits_for = (enum compare_wait)atomic_load(&engine->pace.waits_for);
    for (int i = 0; i < WAIT_KINDS; i++)
        p.waited_us += atomic_load(&engine->pace.waited_us[i]);
    req->progress(req->progress_ctx, &p);
}

/* Ends what the servers are at, again and again until all threads are gone: one cancel may fall between
 * statements. */
static void cancel_all(struct engine *engine)
{
    session_cancel(engine->walker);
    for (size_t i = 0; i < engine->worker_count; i++) {
        session_cancel(engine->pairs[i].session[SIDE_SOURCE]);
        session_cancel(engine->pairs[i].session[SIDE_TARGET]);
    }
}

static void wait_tick(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->threads_running > 0)
        tick_wait(&engine->changed, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
}

static bool threads_run(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool run = engine->threads_running > 0;
    pthread_mutex_unlock(&engine->lock);
    return run;
}

/* compare.max_snapshot_age. Not before something has been proven under them: else the run would never come to its end. */
static void end_snapshots(struct engine *engine)
{
    struct err err = ERR_INIT;
    if (engine->history != NULL && !history_has_come_further(engine->history))
        return;
    err_set(&err, ERR_TIMEOUT, "its snapshots are as old as compare.max_snapshot_age allows");
    engine->aged = true;
    engine_break(engine, &err);
}

static void supervise(struct engine *engine, const struct compare_request *req)
{
    int64_t started_us = clock_mono_us();
    while (threads_run(engine)) {
        wait_tick(engine);
        report_progress(engine, req, started_us);
        if (engine->history != NULL)
            (void)!history_save(engine->history, false, NULL);
        if (!atomic_load(&engine->stop) && tick_stop_asked(req->stop_fd)) {
            struct err err = ERR_INIT;
            err_set(&err, ERR_INTERRUPTED, "stopped before the comparison was done");
            engine_break(engine, &err);
        }
        if (!atomic_load(&engine->stop) && engine->end_us != 0 && clock_mono_us() > engine->end_us)
            end_snapshots(engine);
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
    mono_cond_init(&engine->changed);
    engine->jobs = queue_new(JOBS_QUEUED);
    for (size_t i = 0; i < engine->plan->count; i++) {
        engine->plan->tables[i]->pending = 1; /* the planner's: the table cannot end while it adds to it */
        atomic_fetch_add(&engine->tables_done, !engine->plan->tables[i]->comparable);
    }
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
