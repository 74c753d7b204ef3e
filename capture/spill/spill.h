/*
 * What is held back: batches in order, in memory up to a limit, the rest in a file
 * (spill_file.h). First in, first out; once something is in the file, all later batches go there until it
 * is empty again.
 * @thread owner
 */
#ifndef CAPTURE_SPILL_H
#define CAPTURE_SPILL_H

#include "capture/publish/batch.h"

struct cap_spill;

struct cap_spill *cap_spill_new(const char *dir, bool encrypt, size_t max_memory_bytes);
void cap_spill_free(struct cap_spill *s); /* NULL allowed; frees what is inside */
/* Takes the batch. *ret_free is an emptied batch if it went into the file (for use again), else NULL. */
bool cap_spill_push(struct cap_spill *s, struct cap_batch *batch, struct cap_batch **ret_free,
                    struct err *err) MUST_CHECK;
/* *ret = the oldest, the caller's now; NULL when empty. */
bool cap_spill_pop(struct cap_spill *s, struct cap_batch **ret, struct err *err) MUST_CHECK;
size_t cap_spill_count(const struct cap_spill *s);

#endif
