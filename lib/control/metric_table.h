/* The one table of metrics: what /metrics serves, what docs/METRICS.md says, and what rules and dashboards may name. */
#ifndef CONTROL_METRIC_TABLE_H
#define CONTROL_METRIC_TABLE_H

#include "core/strbuf.h"

enum metric_id {
    METRIC_BUILD_INFO = 0,
    METRIC_PHASE,
    METRIC_UP_TO_DATE,
    METRIC_POSITION,
    METRIC_LAG_BYTES,
    METRIC_LAG_SECONDS,
    METRIC_LAG_ALARM,
    METRIC_CAUGHT_UP,
    METRIC_SLOT_WAL_STATUS,
    METRIC_RETAINED_WAL,
    METRIC_RETAINED_WAL_LIMIT,
    METRIC_SAFE_WAL,
    METRIC_WAL_GUARD,
    METRIC_JOURNAL_BYTES,
    METRIC_JOURNAL_RECORDS,
    METRIC_QUEUE,
    METRIC_SPILLED,
    METRIC_SNAPSHOT_ROWS,
    METRIC_SNAPSHOT_ESTIMATE,
    METRIC_SNAPSHOT_PROGRESS,
    METRIC_SNAPSHOT_REMAINING,
    METRIC_SNAPSHOT_TABLES,
    METRIC_ROWS,
    METRIC_TABLES,
    METRIC_CHANGES,
    METRIC_TRANSACTIONS,
    METRIC_FENCES,
    METRIC_BYTES,
    METRIC_FENCE_ID,
    METRIC_BATCH_ROWS,
    METRIC_BATCH_SECONDS,
    METRIC_COMMIT_JOURNALED,
    METRIC_COMMIT_VISIBLE,
    METRIC_BATCH_LIMIT,
    METRIC_ERRORS,
    METRIC_RETRIES,
    METRIC_FAILED_BATCHES,
    METRIC_THROTTLED,
    METRIC_DEAD_LETTERS,
    METRIC_CONFLICTS,
    METRIC_CONFLICTS_OPEN,
    METRIC_VERDICT,
    METRIC_VERDICT_TIME,
    METRIC_FULL_PASS_TIME,
    METRIC_MEMORY,
    METRIC_PROCESS_RSS,
    METRIC_PROCESS_CPU,
    METRIC_PROCESS_FDS,
    METRIC_PROCESS_FDS_MAX,
    METRIC_PROCESS_START,
    METRICS_MAX_
};

enum metric_type { METRIC_GAUGE = 0, METRIC_COUNTER, METRIC_HISTOGRAM };

struct metric_def {
    const char *name;
    enum metric_type type;
    const char *roles;  /* "capture", "apply" or "both" */
    const char *labels; /* besides role, pipeline and shard; "" = none */
    const char *help;   /* one line, ends with a full stop */
};

const struct metric_def *metric_def(enum metric_id id);
const char *metric_type_name(enum metric_type type);
/* docs/METRICS.md */
void metrics_markdown(struct strbuf *out);

#endif
