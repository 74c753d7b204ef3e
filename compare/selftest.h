/*
 * The forms in which columns are compared, tried on the very servers of a pipeline: edge values of each type, as PostgreSQL has them and as
 * the target does after apply, must give one text on both sides, and no two of them the same. Nothing of the pipeline is read or
 * written; on MariaDB a temporary table is made.
 */
#ifndef COMPARE_SELFTEST_H
#define COMPARE_SELFTEST_H

#include "compare.h"

struct selftest_type {
    const char *source, *target; /* "uuid", "binary(16)"; constant */
    char *rule;                  /* in which form they are compared; NULL = none was made */
    enum compare_verdict verdict;
    size_t values;
    char *detail; /* why not PASS; NULL */
    bool absent;  /* a server has no such type: INCONCLUSIVE, and nothing that could be compared */
};

struct selftest_result {
    enum compare_verdict verdict; /* FAIL if one type does; INCONCLUSIVE if one could not be tried */
    char *server[2];              /* source, target */
    struct selftest_type *types;
    size_t count, values;
};

/* False: it could not run at all, or stop_fd (-1 = none) became readable. *ret is the caller's to release. */
bool compare_selftest(const struct config *cfg, int stop_fd, struct selftest_result *ret,
                      struct err *err) MUST_CHECK;
void selftest_release(struct selftest_result *result);

#endif
