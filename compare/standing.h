/* Where the pipeline stands, as the target's control tables tell: the window of comparisons, its lag, and what a cutover would still
 * wait for. Goes with every report. Private to this module. */
#ifndef COMPARE_STANDING_H
#define COMPARE_STANDING_H

#include "compare/readiness.h"
#include "compare/watch.h"

#define STANDING_RUNS 1000 /* of the window, that are read for a page */

struct standing {
    struct watch_history history;
    struct readiness readiness;
    char *unread;  /* why the window could not be read; NULL: it was */
    int64_t at_us; /* wall */
};

/* Never fails: what cannot be read is told in its place. now: see readiness_read(). The caller's to free. */
struct standing *standing_read(const struct config *cfg, struct session *target,
                               const struct compare_result *now, size_t runs);
void standing_free(struct standing *standing); /* NULL allowed */

#endif
