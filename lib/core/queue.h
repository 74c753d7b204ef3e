/* Bounded queue of pointers between threads. Ownership of an item moves with push. @thread any */
#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue *queue_new(size_t capacity);
/* Items left inside are not freed: drain before. NULL is allowed. */
void queue_free(struct queue *q);
/* Waits while full. False if the queue was closed: the item stays the caller's. */
bool queue_push(struct queue *q, void *item);
/* False at once when full or closed. */
bool queue_try_push(struct queue *q, void *item);
/* Waits up to timeout_ms (-1 = for ever). NULL: nothing came, or closed and empty. */
void *queue_pop(struct queue *q, int timeout_ms);
/* Wakes all waiters; later pushes fail, pops drain what is left. */
void queue_close(struct queue *q);
size_t queue_len(struct queue *q);
bool queue_is_closed(struct queue *q);

#endif
