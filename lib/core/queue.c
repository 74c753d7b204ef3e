#include "core/queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/mono_cond.h"

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    size_t capacity, len, head;
    bool closed;
    void *items[];
};

struct queue *queue_new(size_t capacity)
{
    struct queue *q = xcalloc(1, sizeof *q + capacity * sizeof(void *));
    q->capacity = capacity;
    pthread_mutex_init(&q->lock, NULL);
    mono_cond_init(&q->not_empty);
    mono_cond_init(&q->not_full);
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    pthread_cond_destroy(&q->not_full);
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static bool push_locked(struct queue *q, void *item)
{
    if (q->closed || q->len == q->capacity)
        return false;
    q->items[(q->head + q->len++) % q->capacity] = item;
    pthread_cond_signal(&q->not_empty);
    return true;
}

bool queue_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->len == q->capacity)
        pthread_cond_wait(&q->not_full, &q->lock);
    bool ok = push_locked(q, item);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

bool queue_try_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    bool ok = push_locked(q, item);
    pthread_mutex_unlock(&q->lock);
    return ok;
}

static void wait_not_empty(struct queue *q, int timeout_ms)
{
    int64_t until_us = clock_mono_us() + (int64_t)timeout_ms * 1000;
    while (q->len == 0 && !q->closed) {
        if (timeout_ms < 0)
            (void)pthread_cond_wait(&q->not_empty, &q->lock);
        else if (!mono_cond_wait(&q->not_empty, &q->lock, until_us))
            return;
    }
}

void *queue_pop(struct queue *q, int timeout_ms)
{
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    if (timeout_ms != 0)
        wait_not_empty(q, timeout_ms);
    if (q->len != 0) {
        item = q->items[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->len--;
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_len(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t len = q->len;
    pthread_mutex_unlock(&q->lock);
    return len;
}

bool queue_is_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}
