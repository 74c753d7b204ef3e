/*
 * Reading ahead: while the target writes a batch, the next one is read and decoded by a thread of its own. It is no more than a
 * full batch that waits: what does not go the usual way (an error on the target, dead letters, a copy, a stop) forgets it, and it is
 * read again. The reader and the decoder of the session are the thread's from ahead_start() to ahead_settle(), and the owner's
 * otherwise.
 * @thread owner
 */
#ifndef APPLY_AHEAD_H
#define APPLY_AHEAD_H

#include "apply/fences.h"

struct apply_run;
struct session;
struct ahead;

struct ahead *ahead_new(struct apply_run *run);
void ahead_free(struct ahead *a); /* NULL allowed */
/* So many changes are read from the fence stream, if a batch has so many. */
uint64_t ahead_wants(const struct session *s, uint64_t changes);
/* `fences` are read, and about to be written: the next ones are read from here on, if there are enough of them. */
bool ahead_start(struct session *s, const struct fence_batch *fences, struct err *err) MUST_CHECK;
/* Waits until nothing is being read. A stop or a pause ends it early. */
void ahead_settle(struct ahead *a);
/* What was read, or is being read, is forgotten. */
void ahead_drop(struct ahead *a);
/* The fences that were read ahead; NULL = none. Only their count and offsets still hold. */
const struct fence_batch *ahead_fences(const struct ahead *a);
/* If it is these fences that were read: *ret_taken, and they are run->batch. What reading them met is the error. */
bool ahead_take(struct session *s, const struct fence_batch *fences, bool *ret_taken,
                struct err *err) MUST_CHECK;

#endif
