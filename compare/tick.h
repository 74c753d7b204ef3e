/*
 * The turn of a thread that waits for workers: it looks at the stop and tells of the progress a few times a second. Private to this
 * module.
 */
#ifndef COMPARE_TICK_H
#define COMPARE_TICK_H

#include <pthread.h>
#include <stdbool.h>

/* stop_fd is readable; -1 = never. */
bool tick_stop_asked(int stop_fd);
/* Waits until `changed`, of mono_cond_init(), is signalled or a fifth of a second is over. The caller holds the lock. */
void tick_wait(pthread_cond_t *changed, pthread_mutex_t *lock);

#endif
