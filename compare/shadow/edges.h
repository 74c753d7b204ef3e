/*
 * With LIMIT and OFFSET, rows that share the first or the last sort key of an answer may be others on another server, if there are more
 * of them than fit. Whether there are is asked of both servers: the same query, one row wider at each end. Private to compare.
 * @thread worker
 */
#ifndef COMPARE_SHADOW_EDGES_H
#define COMPARE_SHADOW_EDGES_H

#include "lane.h"

struct edges {
    struct shadow_variant wider; /* the statement is borrowed but for its text */
    uint64_t limit;              /* of the query itself; UINT64_MAX: none */
    uint64_t offset;
};

/* False: LIMIT or OFFSET is no number that can be read here. */
bool edges_make(struct edges *e, const struct shadow_variant *v) MUST_CHECK;
/* Whether the limits cut through no rows of one sort key: then both sides have to give the same ones. `answer` is the wider query's. */
bool edges_are_clean(const struct edges *e, const struct lane_answer *answer);
void edges_release(struct edges *e);

#endif
