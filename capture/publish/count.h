/* What the publisher counts for /metrics (control/tally.h). */
#ifndef CAPTURE_COUNT_H
#define CAPTURE_COUNT_H

#include "control/tally.h"

/* A unit is durable, rows that were noted with it. began_us: mono; commit_time_us: of its last transaction, 0 = it has none.
 * @thread publisher */
void cap_count_unit(struct tally *t, uint64_t changes, int64_t began_us, int64_t commit_time_us);

#endif
