/*
 * The copy's threads. They work in windows: the owner holds the stream back and opens one, each worker copies key ranges, every
 * one under a snapshot of its own, until the window has run its time; when all have ended, the owner lets the held
 * transactions follow and writes a fence over both. So a snapshot lives for seconds, whatever the copy takes, and the
 * slot retains no more than a window's WAL.
 *
 * Why it is right: a range's rows reach the journal before every transaction that its snapshot does not see
 * (those are held), and its snapshot sees everything that was published (cap_visible). Transactions that it does see and that are
 * held come once more, in order, and end in the same state. The fence stands behind all that any snapshot of the window has
 * seen (high_lsn). The idea is DBLog's (Andreakis, Papapanagiotou, 2020), with the rows in front of the window's changes.
 */
#ifndef CAPTURE_COPY_WORK_H
#define CAPTURE_COPY_WORK_H

#include <pthread.h>
#include <stdatomic.h>

#include "capture/capture_internal.h"
#include "capture/copy/copy_plan.h"
#include "capture/copy/visible.h"

struct cap_window {
    uint64_t number;  /* of the one that is open or was last */
    bool alone;       /* one table without key, by one worker */
    lsn_t base_lsn;   /* rows carry this position: before every transaction that is held */
    int64_t until_us; /* mono: no second range is begun later */
};

struct cap_copy {
    const struct cap_session *session; /* read only for workers */
    struct cap_plan *plan;
    const struct cap_visible *visible; /* does not change while a window is open */
    _Atomic uint64_t *rows;            /* per table */
    int64_t range_rows;
    char *where;                  /* only these rows; NULL = all */
    const struct copy_keys *keys; /* … which have these keys; NULL = by where alone. The copier's */
    int64_t started_us;           /* wall */
    int event_fd;                 /* readable when a window has ended, or an alone one has its snapshot */
    atomic_bool abort;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t opened;
    struct cap_window window;
    int working; /* workers that have not ended it */
    bool quit;
    lsn_t high_lsn;          /* insert position after the last snapshot of the window */
    struct cap_snapshot own; /* the last snapshot taken in the window */
    bool own_there;
    struct err first_err;
    struct pg_conn **conns; /* of the workers, to cancel; NULL = none */
};

struct cap_copy_worker {
    struct cap_copy *copy;
    int index;
    pthread_t thread;
};

/* Thread: works until copy->quit or abort is set. arg: struct cap_copy_worker */
void *cap_copy_worker_main(void *arg);
/* Ends all workers soon: sets abort, cancels their statements. lost: the source cannot be reached, so their connections are broken instead (to
 * cancel takes a new one, and minutes where nobody answers). @thread any */
void cap_copy_abort(struct cap_copy *copy, int workers, bool lost);

#endif
