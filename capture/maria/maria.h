/*
 * MariaDB as a source: a session of capture that reads its binlog (lib/maria/binlog) in place of a slot, and writes the same journal
 * through the same publisher. What is its own: positions are lists of GTIDs, which fences carry beside their LSN (the count of the
 * stream's transactions); how a transaction ends is known at its end alone, so what is larger than a batch waits in a spill.
 */
#ifndef CAPTURE_MARIA_MARIA_H
#define CAPTURE_MARIA_MARIA_H

#include "capture/capture_internal.h"

/* From opening everything to a stop or an error. ERR_CONFIG: the source is not set up for it, or a setting that is not there for
 * MariaDB. @thread owner */
bool cap_maria_session(struct cap_session *s, struct err *err) MUST_CHECK;

#endif
