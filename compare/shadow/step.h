/* One query on both sides: answers compared, then timed. Private to compare. @thread worker */
#ifndef COMPARE_SHADOW_STEP_H
#define COMPARE_SHADOW_STEP_H

#include <stdatomic.h>

#include "result.h"

struct step_sides {
    struct lane source, again, target;
};

struct step_rules {
    bool live;
    int rechecks;
    size_t sample_max;
    bool (*pause)(void *ctx, int64_t us); /* false: stop was asked for */
    void (*pace)(void *ctx);              /* before each statement: compare.shadow.rate */
    void *ctx;
};

/* False: a session broke, or stop was asked for (ERR_INTERRUPTED). */
bool step_run(struct step_sides *sides, const struct step_rules *rules, const struct shadow_query *query,
              size_t variant, struct query_result *q, uint64_t *random, struct err *err) MUST_CHECK;
bool step_explain(struct step_sides *sides, const struct shadow_query *query, struct query_result *q,
                  struct err *err) MUST_CHECK;

#endif
