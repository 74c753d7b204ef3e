/* JUnit's XML, as build servers read it: a suite for each kind of thing, a case for each thing. Private to compare. @thread any */
#ifndef COMPARE_REPORT_JUNIT_H
#define COMPARE_REPORT_JUNIT_H

#include "compare/compare.h"
#include "core/strbuf.h"

enum junit_state { JUNIT_PASS = 0, JUNIT_FAILURE, JUNIT_ERROR, JUNIT_SKIPPED, JUNIT_STATES };

/* One case. Texts are escaped here; detail goes into the failure's text, or (PASS) to system-out. */
struct junit_case {
    enum junit_state state;
    const char *name;
    const char *reason; /* why it is no PASS */
    const char *detail; /* "" = none */
    int64_t duration_us;
};

/* Suites are counted before they are written: cases are gathered first. */
struct junit_suite {
    const char *name; /* "tables" */
    size_t counts[JUNIT_STATES], total;
    int64_t duration_us;
    struct strbuf cases;
};

void junit_suite_open(struct junit_suite *suite, const char *name);
void junit_suite_add(struct junit_suite *suite, const char *pipeline, const struct junit_case *one);
/* The document; suites without a case are left out, all are released. */
bool junit_write(struct junit_suite *suites, size_t count, const char *name, int64_t started_us,
                 struct strbuf *out, struct err *err) MUST_CHECK;

bool report_junit(const struct compare_result *result, struct strbuf *out, struct err *err) MUST_CHECK;

#endif
