/*
 * A condition whose waits end at a time of clock_mono_us(), which nobody's setting of the wall clock moves.
 */
#ifndef CORE_MONO_COND_H
#define CORE_MONO_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* To be ended by pthread_cond_destroy(). No error: without a condition there is no thread to be had either, and the process aborts. */
void mono_cond_init(pthread_cond_t *cond);
/* As pthread_cond_wait(), until until_us (mono) at most. False: it is later by now. @thread whoever holds the lock */
bool mono_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_us);

#endif
