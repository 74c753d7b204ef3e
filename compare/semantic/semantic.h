/*
 * What a comparison checks beyond rows (config/semantic_rules.h), inside the same snapshots: jobs are made from rules and
 * tables, workers take them, each with its two sessions. Private to this module.
 */
#ifndef COMPARE_SEMANTIC_SEMANTIC_H
#define COMPARE_SEMANTIC_SEMANTIC_H

#include "compare/engine.h"
#include "config/semantic_rules.h"

struct semantic {
    const struct semantic_rules *rules;
    struct plan *plan;
    enum compare_level level;
    bool whole_pipeline;        /* else rules without a table are left out */
    const char *now;            /* "2026-11-22 08:00:00", UTC */
    int64_t statement_limit_ms; /* of one statement */
};

/* Runs all checks of this level and hands them to *out, also those that could not be run. False: a connection broke, or the
 * run was stopped. */
bool semantic_run(const struct semantic *semantic, struct engine *engine, const struct compare_request *req,
                  struct compare_result *out, struct err *err) MUST_CHECK;

#endif
