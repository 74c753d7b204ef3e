/* Looks, now and then, whether the publication still publishes what source.tables names: a table that was made later, or that
 * has another's name since. @thread owner */
#ifndef CAPTURE_WATCH_H
#define CAPTURE_WATCH_H

#include "capture/capture_internal.h"

/* ERR_GAP: a table that was captured is not published any more. One that never was is told (log, and trouble in the status),
 * and loses its from_start. */
bool cap_watch_look(struct cap_session *s, struct err *err) MUST_CHECK;
/* Every table of source.tables must be published: ERR_CONFIG. */
bool cap_watch_require(struct cap_session *s, struct err *err) MUST_CHECK;

#endif
