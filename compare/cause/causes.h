/*
 * Looks up why each listed difference is one, once the tables are compared and have their verdicts: nothing of it changes them. What cannot
 * be looked up is `unknown`, with the reason. Costs nothing without a difference. Private to compare.
 */
#ifndef COMPARE_CAUSE_CAUSES_H
#define COMPARE_CAUSE_CAUSES_H

#include "config/config.h"
#include "plan.h"

struct table_rules;

struct causes {
    const struct config *cfg;
    const char *pipeline;
    const struct plan *plan;
    const struct catalog *cats; /* of both sides */
    const struct table_rules *rules;
    struct pair *pair; /* inside of both snapshots, with savepoints; nobody needs it afterwards */
    lsn_t lsn;   /* of the fence; 0: both sides stand still, and the source waits: the journal is not read */
    int stop_fd; /* readable: it is time to end; -1 = none */
};

/* tables: the plan's, in its order. @thread owner of the pair */
void causes_explain(const struct causes *causes, struct compare_table *tables);

#endif
