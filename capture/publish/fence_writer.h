/* Builds fence records: numbers them, lists the ranges that the unit touched, all of them every
 * FENCE_FULL_EVERY-th time. @thread publisher */
#ifndef CAPTURE_FENCE_WRITER_H
#define CAPTURE_FENCE_WRITER_H

#include "capture/publish/publisher.h"

struct cap_fence_writer;

struct cap_fence_writer *cap_fence_writer_new(struct journal_writer *jw, const char *topic_prefix,
                                              const struct cap_fence_base *base);
void cap_fence_writer_free(struct cap_fence_writer *fw); /* NULL allowed */
/* Flushes the writer and appends the fence: kind, lsn, commit time, complete, marker and counts are the
 * caller's, the rest is filled in. */
bool cap_fence_writer_append(struct cap_fence_writer *fw, struct fence *fence, struct err *err) MUST_CHECK;
/* Fences from here on stand at this boundary of a batch, which has a position in the source's own words. */
void cap_fence_writer_stand(struct cap_fence_writer *fw, const struct cap_batch *b,
                            const struct cap_boundary *bound);
/* The unit with the fence is durable. */
void cap_fence_writer_committed(struct cap_fence_writer *fw);
uint64_t cap_fence_writer_last_id(const struct cap_fence_writer *fw);

#endif
