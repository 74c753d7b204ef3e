/* Owns: the publisher thread, the queue to it, and when a fence is written. See publisher.h. */
#include "capture/publish/publisher.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/ddl/shapes.h"
#include "capture/publish/count.h"
#include "capture/publish/fence_writer.h"
#include "capture/publish/journal_record.h"
#include "capture/publish/stream_index.h"
#include "core/alive.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/queue.h"

/* Batches that wait; together with the one in work this bounds memory. */
#define QUEUE_BATCHES 2
#define POOL_BATCHES  8
/* In a hurry a fence comes this many times its own cost behind the one before, never later than HURRIED_MAX_US: with Kafka a
 * commit is 25 ms of the broker's CPU whatever it holds (docs/PERFORMANCE.md). */
#define HURRIED_COSTS   8
#define HURRIED_MAX_US  250000
#define HURRIED_LOOK_MS 10

enum item_kind { ITEM_UNKNOWN = 0, ITEM_BATCH, ITEM_CALL };

/* A call: done on the publisher's thread while the caller waits. */
struct call {
    bool (*run)(struct cap_publisher *pub, void *arg, struct err *err);
    void *arg;
    struct err err;
    bool ok, done;
};

struct item {
    enum item_kind kind;
    struct cap_batch *batch;
    struct call *call;
};

struct cap_publisher {
    struct cap_publisher_config config;
    struct journal_writer *jw;
    struct schema_store *schemas;
    struct cap_fence_writer *fences;
    struct queue *queue, *pool;
    pthread_t thread;
    int event_fd;
    atomic_int in_hand;
    atomic_bool hurried;
    pthread_mutex_t lock; /* progress, err, calls */
    pthread_cond_t call_done;
    struct cap_progress progress;
    struct err err;

    /* The thread's own. */
    int *journal_ids; /* by our stream number */
    char **topics;
    size_t stream_count;
    struct stream_index *streams; /* topic → our stream number */
    /* Records or transaction ends are there that no fence names yet, and one may be written. */
    bool fence_due;
    bool mid_transaction;     /* records of an unfinished transaction are in the unit */
    struct cap_boundary last; /* the fence that is due */
    uint64_t unit_changes, unit_transactions, unit_bytes;
    int64_t last_fence_us, fence_cost_us;
    bool complete;
};

/* --- telling the others --- */

static void notify(struct cap_publisher *pub)
{
    uint64_t one = 1;
    ssize_t n = write(pub->event_fd, &one, sizeof one);
    (void)n; /* EAGAIN: the counter is full, so the reader will wake anyway */
}

static void set_failed(struct cap_publisher *pub, const struct err *err)
{
    pthread_mutex_lock(&pub->lock);
    if (!pub->progress.failed)
        pub->err = *err;
    pub->progress.failed = true;
    pthread_mutex_unlock(&pub->lock);
    queue_close(pub->queue);
    notify(pub);
}

static void note_fence(struct cap_publisher *pub, lsn_t lsn, int64_t commit_time_us)
{
    struct journal_numbers journal;
    journal_writer_numbers(pub->jw, &journal);
    pthread_mutex_lock(&pub->lock);
    struct cap_progress *p = &pub->progress;
    p->journal = journal;
    p->durable_lsn = lsn;
    if (commit_time_us != 0)
        p->durable_commit_us = commit_time_us;
    p->fence_id = cap_fence_writer_last_id(pub->fences);
    p->complete = pub->complete;
    p->changes += pub->unit_changes;
    p->transactions += pub->unit_transactions;
    p->bytes += pub->unit_bytes;
    p->fences++;
    pthread_mutex_unlock(&pub->lock);
    notify(pub);
}

/* --- fences --- */

/* Ends the unit: a fence over everything appended since the last one. */
static bool write_fence(struct cap_publisher *pub, struct fence *fence, struct err *err)
{
    fence->changes = pub->unit_changes;
    fence->transactions = pub->unit_transactions;
    fence->complete = pub->complete;
    int64_t began_us = clock_mono_us();
    if (!failpoint("capture.fence_before", err) || !cap_fence_writer_append(pub->fences, fence, err) ||
        !failpoint("capture.fence_appended", err) || !journal_commit(pub->jw, err) ||
        !failpoint("capture.committed", err))
        return err_wrap(err, "lsn=" LSN_FMT, LSN_ARGS(fence->lsn));
    cap_fence_writer_committed(pub->fences);
    cap_count_unit(pub->config.tally, pub->unit_changes, began_us, fence->commit_time_us);
    note_fence(pub, fence->lsn, fence->commit_time_us);
    pub->unit_changes = pub->unit_transactions = pub->unit_bytes = 0;
    pub->fence_due = false;
    pub->last_fence_us = clock_mono_us();
    pub->fence_cost_us = pub->last_fence_us - began_us;
    return journal_trim(pub->jw, err); /* paces itself */
}

static bool fence_at(struct cap_publisher *pub, const struct cap_boundary *b,
                     const struct fence_marker *marker, struct err *err)
{
    struct fence fence = {
        .kind = FENCE_STREAM, .lsn = b->commit_end_lsn, .commit_time_us = b->commit_time_us};
    if (marker != NULL)
        fence.marker = *marker;
    return write_fence(pub, &fence, err);
}

/* A copy's fence speaks of everything in the unit. */
static bool copy_fence(struct cap_publisher *pub, const struct cap_copy_fence *wanted, struct err *err)
{
    struct fence fence = {.kind = wanted->complete ? FENCE_STREAM : FENCE_SNAPSHOT,
                          .lsn = wanted->lsn,
                          .commit_time_us = wanted->commit_time_us};
    if (!wanted->complete)
        fence.copy = wanted->place;
    BUG_UNLESS(!pub->mid_transaction);
    pub->complete = wanted->complete;
    return write_fence(pub, &fence, err);
}

static int64_t fence_space_us(const struct cap_publisher *pub)
{
    if (!atomic_load(&pub->hurried))
        return pub->config.fence_interval_us;
    return MAX_OF(pub->config.fence_interval_us, MIN_OF(pub->fence_cost_us * HURRIED_COSTS, HURRIED_MAX_US));
}

static bool is_due(const struct cap_publisher *pub, int64_t now_us)
{
    if (!pub->complete || !pub->fence_due)
        return false;
    if (pub->unit_changes + pub->unit_transactions >= pub->config.fence_max_changes)
        return true;
    return now_us - pub->last_fence_us >= fence_space_us(pub) && queue_len(pub->queue) == 0;
}

/* Until when the thread may sleep: a fence that waits for its interval, or for the hurry to be over. -1 = for ever. */
static int sleep_ms(const struct cap_publisher *pub)
{
    if (!pub->complete || !pub->fence_due)
        return -1;
    int64_t left_us = pub->last_fence_us + fence_space_us(pub) - clock_mono_us();
    int left_ms = left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
    return atomic_load(&pub->hurried) ? MIN_OF(left_ms, HURRIED_LOOK_MS) : left_ms;
}

/* --- batches --- */

static bool append_shape(struct cap_publisher *pub, const struct cap_batch *b, const struct cap_record *r,
                         struct err *err)
{
    char *text CLEANUP(free_ptr) = xstrndup(b->bytes.data + r->value_at, r->value_len);
    return cap_shape_append(pub->jw, pub->config.topic_prefix, text, err);
}

static bool append_record(struct cap_publisher *pub, const struct cap_batch *b, const struct cap_record *r,
                          lsn_t commit_lsn, struct err *err)
{
    if (r->stream == CAP_STREAM_SHAPES)
        return append_shape(pub, b, r, err);
    uint32_t id_be;
    struct journal_record rec = cap_journal_record(b, r, commit_lsn, &id_be);
    pub->unit_changes += r->value_len != CAP_NONE && !r->meta;
    tally_row(pub->config.tally, r->table, r->kind, r->value_len != CAP_NONE && !r->meta);
    pub->unit_bytes += rec.key_len + rec.value_len;
    if (journal_append(pub->jw, pub->journal_ids[r->stream], &rec, err))
        return true;
    return err_wrap(err, "topic=%s", pub->topics[r->stream]);
}

/* commit_lsn: of their transaction; 0 = rows of a copy. */
static bool append_range(struct cap_publisher *pub, const struct cap_batch *b, size_t from, size_t to,
                         lsn_t commit_lsn, struct err *err)
{
    for (size_t i = from; i < to; i++) {
        if (!append_record(pub, b, &b->records[i], commit_lsn, err))
            return false;
    }
    return true;
}

/* Takes over a transaction's end: its fence becomes due, or is written at once if it has a marker, or
 * if what follows is of another shape (apply must be able to stop between the two). */
static bool take_boundary(struct cap_publisher *pub, const struct cap_batch *b,
                          const struct cap_boundary *bound, struct err *err)
{
    pub->last = *bound;
    if (bound->gtid_len > 0)
        cap_fence_writer_stand(pub->fences, b, bound);
    pub->fence_due = true;
    pub->mid_transaction = false;
    pub->unit_transactions += !bound->synthetic;
    if (!pub->complete) /* a fence of a copy carries its place: those come by themselves */
        return true;
    if (bound->marker != 0)
        return fence_at(pub, bound, &b->markers[bound->marker - 1], err);
    return !bound->fence || fence_at(pub, bound, NULL, err);
}

/* Records of a transaction that goes on: what ended before must be fenced first, never inside of it. */
static bool append_tail(struct cap_publisher *pub, const struct cap_batch *b, size_t from, struct err *err)
{
    if (!b->snapshot) {
        if (pub->complete && pub->fence_due && !fence_at(pub, &pub->last, NULL, err))
            return false;
        pub->mid_transaction = true;
    }
    if (!append_range(pub, b, from, b->record_count, b->tail_commit_lsn, err))
        return false;
    return b->snapshot ? failpoint("capture.snapshot_part", err) : failpoint("capture.txn_part", err);
}

static bool publish_batch(struct cap_publisher *pub, const struct cap_batch *b, struct err *err)
{
    size_t done = 0;
    if (b->fence_first && pub->complete && pub->fence_due && !fence_at(pub, &pub->last, NULL, err))
        return false;
    for (size_t i = 0; i < b->bound_count; i++) {
        if (!append_range(pub, b, done, b->bounds[i].record_end, b->bounds[i].commit_lsn, err) ||
            !take_boundary(pub, b, &b->bounds[i], err))
            return false;
        done = b->bounds[i].record_end;
    }
    if (done < b->record_count && !append_tail(pub, b, done, err))
        return false;
    return !b->copy_fence.wanted || copy_fence(pub, &b->copy_fence, err);
}

static bool run_item(struct cap_publisher *pub, struct item *item, struct err *err)
{
    bool ok = true;
    if (item->kind == ITEM_BATCH) {
        ok = publish_batch(pub, item->batch, err);
        cap_publisher_return(pub, item->batch);
    } else {
        struct call *call = item->call;
        ok = call->run(pub, call->arg, err);
        pthread_mutex_lock(&pub->lock);
        call->ok = ok;
        if (!ok)
            call->err = *err;
        call->done = true;
        pthread_cond_broadcast(&pub->call_done);
        pthread_mutex_unlock(&pub->lock);
    }
    free(item);
    return ok;
}

static void refuse_item(struct cap_publisher *pub, struct item *item)
{
    if (item->kind == ITEM_BATCH) {
        cap_publisher_return(pub, item->batch);
    } else {
        pthread_mutex_lock(&pub->lock);
        item->call->ok = false;
        item->call->err = pub->err;
        item->call->done = true;
        pthread_cond_broadcast(&pub->call_done);
        pthread_mutex_unlock(&pub->lock);
    }
    free(item);
}

static bool turn(struct cap_publisher *pub, bool *ret_end, struct err *err)
{
    struct item *item = queue_pop(pub->queue, sleep_ms(pub));
    if (item != NULL) {
        bool ok = run_item(pub, item, err);
        if (!ok)
            return false;
    } else if (queue_is_closed(pub->queue)) {
        *ret_end = true;
        return true;
    }
    if (is_due(pub, clock_mono_us()) && !fence_at(pub, &pub->last, NULL, err))
        return false;
    if (item != NULL) {
        atomic_fetch_sub(&pub->in_hand, 1);
        notify(pub);
    }
    return true;
}

static void *publisher_main(void *arg)
{
    struct cap_publisher *pub = arg;
    struct err err = ERR_INIT;
    bool end = false;
    while (!end) {
        if (!turn(pub, &end, &err)) {
            set_failed(pub, &err);
            break;
        }
    }
    struct item *item;
    while ((item = queue_pop(pub->queue, 0)) != NULL)
        refuse_item(pub, item);
    /* Here, not by whoever joins: the writer may hold a write transaction of LMDB, whose lock belongs to this thread. */
    schema_store_close(pub->schemas);
    journal_writer_close(pub->jw);
    return NULL;
}

/* --- calls --- */

static bool call_and_wait(struct cap_publisher *pub,
                          bool (*run)(struct cap_publisher *, void *, struct err *), void *arg,
                          struct err *err)
{
    struct call call = {.run = run, .arg = arg};
    struct item *item = xcalloc(1, sizeof *item);
    *item = (struct item){.kind = ITEM_CALL, .call = &call};
    atomic_fetch_add(&pub->in_hand, 1);
    bool pushed = queue_push(pub->queue, item);
    pthread_mutex_lock(&pub->lock);
    alive_wait_begin(); /* for a registry, or for the journal */
    while (pushed && !call.done)
        pthread_cond_wait(&pub->call_done, &pub->lock);
    alive_wait_end();
    if (!pushed)
        call.err = pub->err;
    pthread_mutex_unlock(&pub->lock);
    if (!pushed) {
        atomic_fetch_sub(&pub->in_hand, 1);
        free(item);
    }
    if (!call.ok)
        *err = call.err;
    return call.ok;
}

struct register_args {
    const char *topic, *subject, *key_json, *value_json;
    struct cap_stream_ids *ret;
};

static uint32_t stream_number(struct cap_publisher *pub, const char *topic)
{
    bool is_new = false;
    size_t n = stream_index_at(pub->streams, topic, 0, &is_new);
    if (is_new) {
        pub->stream_count = n + 1;
        pub->topics = xrealloc(pub->topics, pub->stream_count * sizeof *pub->topics);
        pub->journal_ids = xrealloc(pub->journal_ids, pub->stream_count * sizeof *pub->journal_ids);
        pub->topics[n] = xstrdup(topic);
        pub->journal_ids[n] = -1;
    }
    return (uint32_t)n;
}

static bool register_schema(struct cap_publisher *pub, const char *name, const char *part, const char *json,
                            uint32_t *ret_id, struct err *err)
{
    char *subject CLEANUP(free_ptr) = xasprintf("%s-%s", name, part);
    *ret_id = 0;
    return json == NULL ||
           schema_store_register(pub->schemas, pub->jw, subject, pub->config.codec->name, json, ret_id, err);
}

static bool run_register(struct cap_publisher *pub, void *arg, struct err *err)
{
    struct register_args *a = arg;
    struct cap_stream_ids ids = {.stream = stream_number(pub, a->topic)};
    if (!journal_stream(pub->jw, a->topic, STREAM_DATA, &pub->journal_ids[ids.stream], err) ||
        !register_schema(pub, a->subject, "key", a->key_json, &ids.key_schema_id, err) ||
        !register_schema(pub, a->subject, "value", a->value_json, &ids.value_schema_id, err))
        return err_wrap(err, "topic=%s", a->topic);
    *a->ret = ids;
    return true;
}

bool cap_publisher_register(struct cap_publisher *pub, const char *topic, const char *subject,
                            const char *key_json, const char *value_json, struct cap_stream_ids *ret,
                            struct err *err)
{
    struct register_args args = {topic, subject != NULL ? subject : topic, key_json, value_json, ret};
    return call_and_wait(pub, run_register, &args, err);
}

static bool run_note_shape(struct cap_publisher *pub, void *arg, struct err *err)
{
    return cap_shape_append(pub->jw, pub->config.topic_prefix, arg, err);
}

bool cap_publisher_note_shape(struct cap_publisher *pub, const char *text, struct err *err)
{
    return call_and_wait(pub, run_note_shape, (void *)(uintptr_t)text, err);
}

struct begin_args {
    lsn_t lsn;
    const struct fence_copy *place;
};

static bool run_begin_copy(struct cap_publisher *pub, void *arg, struct err *err)
{
    const struct begin_args *a = arg;
    struct fence fence = {.kind = FENCE_SNAPSHOT_BEGIN, .lsn = a->lsn, .copy = *a->place};
    return cap_shape_append(pub->jw, pub->config.topic_prefix, cap_shapes_forgotten, err) &&
           write_fence(pub, &fence, err);
}

bool cap_publisher_begin_copy(struct cap_publisher *pub, lsn_t lsn, const struct fence_copy *place,
                              struct err *err)
{
    struct begin_args args = {lsn, place};
    return call_and_wait(pub, run_begin_copy, &args, err);
}

static bool run_drain(struct cap_publisher *pub, void *arg, struct err *err)
{
    (void)arg;
    return !pub->complete || !pub->fence_due || pub->mid_transaction || fence_at(pub, &pub->last, NULL, err);
}

bool cap_publisher_drain(struct cap_publisher *pub, struct err *err)
{
    return call_and_wait(pub, run_drain, NULL, err);
}

/* --- the other side of the queue --- */

int cap_publisher_fd(const struct cap_publisher *pub)
{
    return pub->event_fd;
}

void cap_publisher_progress(struct cap_publisher *pub, struct cap_progress *ret)
{
    uint64_t ignored;
    ssize_t n = read(pub->event_fd, &ignored, sizeof ignored);
    (void)n; /* EAGAIN: nothing new, the numbers are right all the same */
    pthread_mutex_lock(&pub->lock);
    *ret = pub->progress;
    ret->queued = atomic_load(&pub->in_hand);
    pthread_mutex_unlock(&pub->lock);
}

uint64_t cap_publisher_fences(struct cap_publisher *pub)
{
    pthread_mutex_lock(&pub->lock);
    uint64_t fences = pub->progress.fences;
    pthread_mutex_unlock(&pub->lock);
    return fences;
}

void cap_publisher_hurry(struct cap_publisher *pub, bool hurried)
{
    atomic_store(&pub->hurried, hurried);
}

bool cap_publisher_idle(struct cap_publisher *pub)
{
    return atomic_load(&pub->in_hand) == 0;
}

static bool submit(struct cap_publisher *pub, struct cap_batch *batch, bool wait)
{
    struct item *item = xcalloc(1, sizeof *item);
    *item = (struct item){.kind = ITEM_BATCH, .batch = batch};
    atomic_fetch_add(&pub->in_hand, 1);
    if (wait ? queue_push(pub->queue, item) : queue_try_push(pub->queue, item))
        return true;
    atomic_fetch_sub(&pub->in_hand, 1);
    free(item);
    return false;
}

bool cap_publisher_try_submit(struct cap_publisher *pub, struct cap_batch *batch)
{
    return submit(pub, batch, false);
}

bool cap_publisher_submit(struct cap_publisher *pub, struct cap_batch *batch)
{
    return submit(pub, batch, true);
}

struct cap_batch *cap_publisher_batch(struct cap_publisher *pub)
{
    struct cap_batch *b = queue_pop(pub->pool, 0);
    return b != NULL ? b : cap_batch_new();
}

void cap_publisher_return(struct cap_publisher *pub, struct cap_batch *batch)
{
    cap_batch_clear(batch);
    if (!queue_try_push(pub->pool, batch))
        cap_batch_free(batch);
}

/* --- life --- */

struct cap_publisher *cap_publisher_start(const struct cap_publisher_config *config,
                                          struct journal_writer *jw, struct schema_store *schemas,
                                          lsn_t durable_lsn)
{
    struct cap_publisher *pub = xcalloc(1, sizeof *pub);
    *pub = (struct cap_publisher){.config = *config, .jw = jw, .schemas = schemas};
    tally_forget(config->tally); /* noted by the one before, and not durable */
    pub->fences = cap_fence_writer_new(jw, config->topic_prefix, &config->base);
    pub->streams = stream_index_new();
    pub->queue = queue_new(QUEUE_BATCHES);
    pub->pool = queue_new(POOL_BATCHES);
    pub->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    BUG_UNLESS(pub->event_fd >= 0);
    pthread_mutex_init(&pub->lock, NULL);
    pthread_cond_init(&pub->call_done, NULL);
    pub->progress.durable_lsn = durable_lsn;
    pub->progress.fence_id = config->base.last_id;
    pub->progress.attempt = config->base.attempt;
    pub->progress.complete = pub->complete = config->complete;
    BUG_UNLESS(pthread_create(&pub->thread, NULL, publisher_main, pub) == 0);
    return pub;
}

bool cap_publisher_stop(struct cap_publisher *pub, struct cap_progress *ret_last, struct err *err)
{
    if (pub == NULL)
        return true;
    queue_close(pub->queue);
    pthread_join(pub->thread, NULL);
    *ret_last = pub->progress;
    bool ok = !pub->progress.failed;
    if (!ok)
        *err = pub->err;
    cap_fence_writer_free(pub->fences);
    struct cap_batch *b;
    while ((b = queue_pop(pub->pool, 0)) != NULL)
        cap_batch_free(b);
    queue_free(pub->pool);
    queue_free(pub->queue);
    for (size_t i = 0; i < pub->stream_count; i++)
        free(pub->topics[i]);
    free(pub->topics);
    stream_index_free(pub->streams);
    free(pub->journal_ids);
    close(pub->event_fd);
    pthread_cond_destroy(&pub->call_done);
    pthread_mutex_destroy(&pub->lock);
    free(pub);
    return ok;
}
