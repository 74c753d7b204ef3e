/*
 * Stop, in two stages: first the batch at hand may be finished; when that takes too long, the running call of
 * the target is cancelled and the batch given up (the target rolls it back, the position stays clean).
 * @thread: one of its own, besides the owner's
 */
#ifndef APPLY_STOPPER_H
#define APPLY_STOPPER_H

#include "target/target.h"

struct stopper;

/* stop_file (NULL = none): once it is there, all is given up at once. */
struct stopper *stopper_start(int stop_fd, const char *stop_file, int64_t grace_ms);
void stopper_end(struct stopper *st);
/* What is to be cancelled; NULL before it is closed. */
void stopper_watch(struct stopper *st, struct target *tgt);
bool stopper_asked(const struct stopper *st);    /* finish what is at hand */
bool stopper_by_file(const struct stopper *st);  /* it was the file */
bool stopper_given_up(const struct stopper *st); /* drop what is at hand */
/* Waits up to us; true at once when a stop is asked for. */
bool stopper_wait(struct stopper *st, int64_t us);

#endif
