/*
 * Where apply stands, told to the brokers as offsets of consumer group crossfade-<pipeline>, for the lag tools
 * that people have. Nobody reads them back: the target's position is the truth. A thread and a handle of its
 * own, so that whatever the group's coordinator does, apply neither waits nor fails; at most one commit a
 * second. A member-less ("simple") group: offsets are committed without subscribing, which brokers take as
 * long as nobody else is in the group.
 */
#include <pthread.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mono_cond.h"
#include "journal/kafka/reader.h"

#define EVERY_MS  1000
#define AGAIN_MS  30000 /* after a failure */
#define ANSWER_MS 15000
#define CLOSE_MS  2000
#define SLICE_MS  50
/* One try, at the handle: closing it waits for one that is under way. */
#define TRY_MS "3000"

struct mark {
    const char *stream; /* the reader's */
    int32_t partition;
    uint64_t next;
    bool dirty; /* not committed yet */
};

struct kafka_group {
    const struct journal_config *config;
    char *name;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows, up to the blank line */
    pthread_cond_t wake;
    struct mark *marks;
    size_t mark_count;
    bool dirty, stop;

    struct kafka_client client; /* the thread's own, like all below */
    rd_kafka_queue_t *queue;
    bool failing;
};

/* --- the thread --- */

static bool stop_asked(struct kafka_group *g)
{
    pthread_mutex_lock(&g->lock);
    bool stop = g->stop;
    pthread_mutex_unlock(&g->lock);
    return stop;
}

/* Until there is something to commit and `not_before_us` (mono) has passed, or a stop. NULL: nothing to do. */
static rd_kafka_topic_partition_list_t *take_marks(struct kafka_group *g, int64_t not_before_us)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    pthread_mutex_lock(&g->lock);
    while (!g->stop && (!g->dirty || clock_mono_us() < not_before_us)) {
        if (g->dirty)
            (void)mono_cond_wait(&g->wake, &g->lock, not_before_us);
        else
            (void)pthread_cond_wait(&g->wake, &g->lock);
    }
    if (g->dirty && !(g->stop && g->failing))
        list = rd_kafka_topic_partition_list_new((int)g->mark_count);
    for (size_t i = 0; list != NULL && i < g->mark_count; i++) {
        struct mark *m = &g->marks[i];
        if (m->dirty)
            rd_kafka_topic_partition_list_add(list, m->stream, m->partition)->offset = (int64_t)m->next;
        m->dirty = false;
    }
    g->dirty = false;
    pthread_mutex_unlock(&g->lock);
    return list;
}

static bool open_client(struct kafka_group *g, struct err *err)
{
    const struct kafka_property properties[] = {
        {"group.id", g->name},
        {"session.timeout.ms", TRY_MS}, /* how long a commit looks for the coordinator */
        {"heartbeat.interval.ms", "1000"},
        {"socket.timeout.ms", TRY_MS},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"allow.auto.create.topics", "false"}};
    if (g->client.rk != NULL)
        return true;
    if (!kafka_client_open(&g->client, g->config, RD_KAFKA_CONSUMER, properties, ARRAY_LEN(properties), NULL,
                           err)) {
        kafka_client_close(&g->client);
        return false;
    }
    g->client.on_trouble = NULL; /* the readers say it */
    g->queue = rd_kafka_queue_new(g->client.rk);
    return true;
}

/* NULL: none within its time. */
static rd_kafka_event_t *wait_answer(struct kafka_group *g)
{
    int64_t begin_us = clock_mono_us();
    rd_kafka_event_t *event = NULL;
    for (bool late = false; event == NULL && !late;) {
        event = rd_kafka_queue_poll(g->queue, SLICE_MS);
        int64_t waited_ms = (clock_mono_us() - begin_us) / 1000;
        late = waited_ms >= (stop_asked(g) ? CLOSE_MS : ANSWER_MS);
        kafka_client_poll(&g->client);
    }
    return event;
}

static rd_kafka_resp_err_t try_commit(struct kafka_group *g, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(g->client.rk, list, g->queue, NULL, NULL);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    rd_kafka_event_t *event = wait_answer(g);
    if (event == NULL)
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    code = rd_kafka_event_error(event);
    const rd_kafka_topic_partition_list_t *done = rd_kafka_event_topic_partition_list(event);
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && done != NULL && i < done->cnt; i++)
        code = done->elems[i].err;
    rd_kafka_event_destroy(event);
    return code;
}

static bool may_pass(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
        return true;
    default:
        return false;
    }
}

/* A coordinator is looked for with patience: the brokers make the offsets topic when the first group comes. */
static bool commit(struct kafka_group *g, const rd_kafka_topic_partition_list_t *list, struct err *err)
{
    if (!open_client(g, err))
        return false;
    int64_t until_us = clock_mono_us() + (int64_t)ANSWER_MS * 1000;
    rd_kafka_resp_err_t code;
    do {
        int64_t not_before_us = clock_mono_us() + (int64_t)SLICE_MS * 1000;
        code = try_commit(g, list);
        while (may_pass(code) && clock_mono_us() < not_before_us)
            (void)rd_kafka_poll(g->client.rk, SLICE_MS);
    } while (may_pass(code) && !stop_asked(g) && clock_mono_us() < until_us);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ||
           kafka_fail(&g->client, code, "committing the consumer group's offsets", NULL, err);
}

/* They are the newest again, unless newer ones came. */
static void put_back(struct kafka_group *g, const rd_kafka_topic_partition_list_t *list)
{
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0, n = 0; n < (size_t)list->cnt && i < g->mark_count; i++) {
        struct mark *m = &g->marks[i];
        if (m->stream == NULL || m->partition != list->elems[n].partition ||
            strcmp(m->stream, list->elems[n].topic) != 0)
            continue;
        m->dirty = true; /* the list has the marks' order */
        n++;
    }
    g->dirty = true;
    pthread_mutex_unlock(&g->lock);
}

static void tell(struct kafka_group *g, bool ok, const struct err *err)
{
    if (!ok && !g->failing)
        log_event(LOG_LEVEL_WARN, "group_offsets",
                  "group=%s text=\"%s (apply goes on; only lag tools see old figures)\"", g->name, err->text);
    if (ok && g->failing)
        log_event(LOG_LEVEL_INFO, "group_offsets", "group=%s text=\"committed again\"", g->name);
    g->failing = !ok;
}

static void *run(void *arg)
{
    struct kafka_group *g = arg;
    int64_t not_before_us = 0;
    for (bool more = true; more;) {
        rd_kafka_topic_partition_list_t *list = take_marks(g, not_before_us);
        struct err err = ERR_INIT;
        more = !stop_asked(g);
        if (list == NULL)
            continue;
        bool ok = commit(g, list, &err);
        if (!ok)
            put_back(g, list);
        if (ok || more)
            tell(g, ok, &err);
        rd_kafka_topic_partition_list_destroy(list);
        not_before_us = clock_mono_us() + (int64_t)(ok ? EVERY_MS : AGAIN_MS) * 1000;
    }
    return NULL;
}

/* --- the reader's side --- */

bool kafka_group_start(const struct journal_config *config, struct kafka_group **ret, struct err *err)
{
    struct kafka_group *g = xcalloc(1, sizeof *g);
    g->config = config;
    g->name = xasprintf("crossfade-%s", config->pipeline);
    pthread_mutex_init(&g->lock, NULL);
    mono_cond_init(&g->wake);
    int error = pthread_create(&g->thread, NULL, run, g);
    if (error == 0) {
        *ret = g;
        return true;
    }
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    free(g->name);
    free(g);
    return err_set_errno(err, error, "kafka journal: a thread for the consumer group");
}

void kafka_group_note(struct kafka_group *g, size_t index, const char *stream, int32_t partition,
                      uint64_t next)
{
    pthread_mutex_lock(&g->lock);
    if (index >= g->mark_count) {
        size_t count = MAX_OF(index + 1, 2 * g->mark_count);
        g->marks = xrealloc(g->marks, count * sizeof *g->marks);
        memset(g->marks + g->mark_count, 0, (count - g->mark_count) * sizeof *g->marks);
        g->mark_count = count;
    }
    struct mark *m = &g->marks[index];
    *m = (struct mark){
        .stream = stream, .partition = partition, .next = next, .dirty = m->dirty || m->next != next};
    if (m->dirty && !g->dirty) {
        g->dirty = true;
        pthread_cond_signal(&g->wake);
    }
    pthread_mutex_unlock(&g->lock);
}

void kafka_group_stop(struct kafka_group *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    if (g->queue != NULL)
        rd_kafka_queue_destroy(g->queue);
    if (g->client.rk != NULL) /* there is no membership to leave */
        rd_kafka_destroy_flags(g->client.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    g->client.rk = NULL;
    kafka_client_close(&g->client);
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    free(g->marks);
    free(g->name);
    free(g);
}
