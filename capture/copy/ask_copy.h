/* What `crossfade capture add-table` and `resnapshot` do on the source: they ask the capture that runs, or the next one, to copy a
 * table while everything else streams. The question is a row of crossfade.marker: it has its place in the WAL. */
#ifndef CAPTURE_ASK_COPY_H
#define CAPTURE_ASK_COPY_H

#include "config/config.h"

struct capture_copy {
    const char *table; /* as in SQL: s.t, "S"."T" */
    bool add;          /* it is not captured yet: the publication gets it, too */
    const char *where; /* resnapshot: a condition in SQL; NULL = all rows */
};

/* The question is durable on return. ERR_CONFIG when the table is not one that can be asked for. @thread owner */
bool capture_ask_copy(const struct config *cfg, const struct capture_copy *ask, struct err *err) MUST_CHECK;

#endif
