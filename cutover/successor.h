/*
 * A process that stands ready behind a switch that opens a side which an earlier one has closed: of each rollback, and of a cutover behind one.
 * Between the decision and that opening both sides are closed; should the process die there, its successor leads the switch to its end, as
 * `resume` does, at once and without anybody. It is this executable (`take-over`, hidden), begun before anything is closed, with the
 * configuration on its input, and ends when it is told that its cutover has ended, or finds that nothing was decided: then the side that served opens
 * by itself (refuse.h). Whoever resumes at the same time is kept apart from it by the lock of cutovers. The other end: take_over.h.
 * @thread owner
 */
#ifndef CUTOVER_SUCCESSOR_H
#define CUTOVER_SUCCESSOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/attr.h"
#include "core/err.h"

struct cutover;

/* Part of struct cutover. */
struct successor {
    pid_t pid; /* 0 = there is none */
    int fd;    /* our end of its socket */
    bool told; /* that the decision may be taken */
};

/* What goes over the socket, a byte each. */
enum successor_word { SUCCESSOR_READY = 'r', SUCCESSOR_DECIDES = 'd', SUCCESSOR_ENDED = 'e' };

/* Begins it, where one is needed and none is there, and waits until it is ready. */
bool successor_start(struct cutover *co, struct err *err) MUST_CHECK;
/* From here on the decision may have been taken. One that has gone meanwhile is replaced. */
void successor_decides(struct cutover *co);
/* We have ended, in whatever way: it is not needed. */
void successor_end(struct cutover *co);

#endif
