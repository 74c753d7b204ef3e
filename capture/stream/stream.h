/* Following the WAL: decode, encode, hand over, confirm. */
#ifndef CAPTURE_STREAM_H
#define CAPTURE_STREAM_H

#include "capture/capture_internal.h"

/* s->stream is idle. Streams from start_lsn (the last fence) until a stop is asked for (true; everything that
 * could be fenced is durable and confirmed) or an error. copier: a copy that runs beside it, taken over; NULL = none. @thread
 * owner */
bool cap_stream_run(struct cap_session *s, lsn_t start_lsn, struct cap_copier *copier,
                    struct err *err) MUST_CHECK;

#endif
