/* Owns: a unit's place in the counters. See count.h. */
#include "capture/publish/count.h"

#include "core/clock.h"

void cap_count_unit(struct tally *t, uint64_t changes, int64_t began_us, int64_t commit_time_us)
{
    tally_commit(t);
    tally_observe(t, TALLY_BATCH_ROWS, (double)changes);
    tally_observe(t, TALLY_BATCH_SECONDS, (double)(clock_mono_us() - began_us) / 1e6);
    if (commit_time_us != 0 && changes > 0)
        tally_observe(t, TALLY_COMMIT_SECONDS, (double)MAX_OF(clock_wall_us() - commit_time_us, 0) / 1e6);
}
