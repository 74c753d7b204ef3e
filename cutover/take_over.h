/*
 * What a successor (successor.h) does: waits until the process before it has ended, and leads its cutover or rollback to its end if that had decided,
 * but said nothing of its end. @thread owner
 */
#ifndef CUTOVER_TAKE_OVER_H
#define CUTOVER_TAKE_OVER_H

#include "cutover/cutover.h"

/* Says that we are ready and waits for the end of whoever has the other end of the socket. Whether it may have decided and did not say that it ended. */
bool cutover_await_orphan(int fd);

/* Behind a decision that was taken: goes on to the end, as cutover_resume() does, again and again while a server is away or another process is
 * at it, for as long as cutover.abort_timeout_ms. *ret_done false: there was nothing to do (nothing was decided, or somebody else has been there).
 * False: a person is needed. */
bool cutover_take_over(const struct config *cfg, const struct cutover_talk *talk, bool *ret_done,
                       struct cutover_report *ret, struct err *err) MUST_CHECK;

#endif
