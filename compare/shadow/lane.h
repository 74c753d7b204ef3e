/*
 * One session that replays queries: read-only whatever a query tries (a savepoint inside a read-only transaction cannot be made
 * writable), with the server's own settings otherwise, since plans and durations are what the application would get. The transaction
 * is always rolled back. Private to compare. @thread one owner at a time
 */
#ifndef COMPARE_SHADOW_LANE_H
#define COMPARE_SHADOW_LANE_H

#include "compare/compare.h"
#include "rows_hash.h"
#include "session.h"
#include "workload.h"

struct lane_settings {
    const char *pipeline;
    const char *const *search_path;
    size_t search_path_count;
    int64_t statement_timeout_ms;
    uint64_t max_rows;
};

struct lane {
    struct session *session;
    const struct lane_settings *settings;
    bool live; /* each query in a transaction of its own */
    uint32_t
        *exact_types; /* PostgreSQL: enums, and texts where no collation takes different ones for equal */
    size_t exact_count;
    bool
        plain; /* the other side is of another dialect: cells are compared in a form that both have (cell_text.h) */
};

bool lane_open(struct lane *lane, const char *url, const char *side, const struct lane_settings *settings,
               struct err *err) MUST_CHECK;
void lane_close(struct lane *lane);
/* The transaction of all its queries: under this snapshot, or (NULL) under the one that its first statement takes. */
bool lane_begin(struct lane *lane, const char *snapshot, struct err *err) MUST_CHECK;
/* Once the snapshot is taken. */
bool lane_guard(struct lane *lane, struct err *err) MUST_CHECK;

enum lane_end {
    LANE_ROWS = 0, /* all rows are in the hash */
    LANE_ERROR,    /* the server refused it: sqlstate */
    LANE_TOO_LARGE /* more than max_rows */
};

struct lane_answer {
    enum lane_end end;
    char sqlstate[6];
    char text[160]; /* LANE_ERROR: what the server said, without values */
    int64_t us;
    struct rows_hash rows;
};

/* False: the session is broken (*err); an error of the query is an answer. target: the variant's target_sql, if it has one. */
bool lane_run(struct lane *lane, const struct shadow_variant *variant, bool target, struct lane_answer *ret,
              struct err *err) MUST_CHECK;
/* EXPLAIN (FORMAT JSON) of PostgreSQL, malloc'd; NULL when the server refuses, or is another one. */
bool lane_explain(struct lane *lane, const struct shadow_variant *variant, bool target, char **ret,
                  struct err *err) MUST_CHECK;

#endif
