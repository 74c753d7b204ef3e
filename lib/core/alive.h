/*
 * Whether the process's main loop still goes round: what a watchdog and a liveness probe ask. The loop says so itself, by
 * alive_tick() in each turn and in each of its own waits; nobody says it in its place. Where it stands in a call to a server that
 * takes as long as the server likes (a statement, a COPY), it declares that: a slow server is no reason to end the process, for
 * a new one would wait in the same place. In all other threads these functions do nothing.
 */
#ifndef CORE_ALIVE_H
#define CORE_ALIVE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* This thread is the loop. on_tick (NULL = none) is called by it, at most every `every_us`, as a tick or the end of a wait comes.
 * @thread the loop's, once, before it begins */
void alive_loop_is_here(void (*on_tick)(void), int64_t every_us);
/* The loop has ended: what comes now is no turn of it. */
void alive_loop_ended(void);

/* The loop has come round. Costs two loads and a clock's reading. @thread any, counts in the loop's */
void alive_tick(void);
/* The loop goes into a call to a server, and is back. They nest. @thread any, count in the loop's */
void alive_wait_begin(void);
void alive_wait_end(void);

/* poll() of the loop: as long as timeout_ms, in pieces between which it ticks. @thread any */
int alive_poll(struct pollfd *fds, size_t count, int64_t timeout_ms);

/* @thread any */
bool alive_waits(void);
/* Microseconds since the loop was last seen; 0 while it waits for a server, or when there is no loop. */
int64_t alive_age_us(void);

#endif
