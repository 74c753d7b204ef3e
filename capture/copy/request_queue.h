/*
 * Copies that were asked for while everything streams: what is worked on, what waits. It lives in the session and goes
 * with every fence that is written while a copy runs, so a capture that dies goes on with it.
 * @thread owner
 */
#ifndef CAPTURE_REQUEST_QUEUE_H
#define CAPTURE_REQUEST_QUEUE_H

#include "change/fence.h"
#include "core/err.h"

struct cap_session;

struct cap_request_queue {
    /* The copy at hand is that of items[0] (of nothing when there is none); else it is the first one. */
    bool requested;
    struct copy_request *items;
    size_t count;
    bool grown; /* since the session began: its tables are to be loaded */
};

/* As the last fence has it. */
void cap_queue_take(struct cap_request_queue *q, const struct fence_copy *place);
void cap_queue_release(struct cap_request_queue *q);
/* Takes `req` over. False: it is there already, or the queue is full (logged). */
bool cap_queue_add(struct cap_request_queue *q, struct copy_request *req);
/* The copy at hand is done. True: a request is at hand now. */
bool cap_queue_next(struct cap_request_queue *q);
/* Puts the queue into a place; borrowed. */
void cap_queue_place(const struct cap_request_queue *q, struct fence_copy *place);
/* What is worked on; NULL = the first copy, or nothing. */
const struct copy_request *cap_queue_at_hand(const struct cap_request_queue *q);
/* A table whose turn has not come. */
bool cap_queue_waits(const struct cap_request_queue *q, uint32_t oid);

/* Takes from_start from tables that were asked for since the first copy began, whether the question has been met or not. */
bool cap_queue_mark_later(struct cap_session *s, struct err *err) MUST_CHECK;
/* A first copy begins: it takes what was asked for before. */
bool cap_queue_forget_asked(struct cap_session *s, struct err *err) MUST_CHECK;
/* Drops requests at hand whose table is gone. ERR_CONFIG: the table is there, but this capture does not know it. Tables are
 * loaded. */
bool cap_queue_check(struct cap_session *s, struct err *err) MUST_CHECK;

#endif
