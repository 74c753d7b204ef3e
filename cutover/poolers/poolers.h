/*
 * The PgBouncers of a cutover (cutover.poolers), all or none. Every function may be taken again after a crash: what is so
 * already is left alone. Without poolers all succeed at once.
 * @thread owner
 */
#ifndef CUTOVER_POOLERS_POOLERS_H
#define CUTOVER_POOLERS_POOLERS_H

#include "cutover/cutover_internal.h"

struct poolers; /* held by struct cutover from the first use to poolers_free() */

void poolers_free(struct poolers *poolers); /* NULL allowed; pauses stay as they are */
size_t poolers_count(struct cutover *co);   /* configured */

/* PAUSE, and waits until the transactions in all of them have ended. Fails if one has not done it after cutover.pooler_timeout_ms
 * (or stop was asked for); then all of them are resumed. One that was restarted since, and so is not paused any more, is paused
 * again: taken right before the decision it tells whether all still hold their clients. */
bool poolers_pause(struct cutover *co, struct err *err) MUST_CHECK;
/* Points all of them to the target, in their configuration first (what is in a file holds for a pooler that is not there, too), then
 * RELOAD, looked at with SHOW DATABASES, and RESUME. Goes through all of them, whatever one says; the first failure is told. */
bool poolers_switch(struct cutover *co, struct err *err) MUST_CHECK;
/* The same with the entries that were there before, which the files keep: for a rollback. */
bool poolers_switch_back(struct cutover *co, struct err *err) MUST_CHECK;
/* RESUME where they are paused. A pooler whose process is not there has nothing to be resumed. */
bool poolers_resume(struct cutover *co, struct err *err) MUST_CHECK;

struct pooler_look {
    struct strbuf measured; /* one line */
    struct strbuf wrong;    /* "" = all holds */
    struct strbuf
        untried; /* poolers for which no user is known with whom the target's login could be tried; "" = none */
    int64_t wait_ms; /* the least query_wait_timeout, 0 = none: clients that wait for longer are thrown out */
};
#define POOLER_LOOK_INIT                                                                                     \
    {                                                                                                        \
        .measured = STRBUF_INIT(65536), .wrong = STRBUF_INIT(65536), .untried = STRBUF_INIT(65536)           \
    }

/* What a gate asks beforehand: console reachable, with the right to pause; not paused or disabled; transactions or statements
 * pooled; the entry found, what the pooler shows, and to be written; the target's login tried where credentials are known. */
bool poolers_look(struct cutover *co, struct pooler_look *ret, struct err *err) MUST_CHECK;
void pooler_look_release(struct pooler_look *look);

#endif
