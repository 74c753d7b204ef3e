/*
 * What a comparison checks beyond rows: compare.queries, compare.aggregates, compare.samples, compare.counts,
 * compare.rules and compare.contracts, read from their texts and validated. Every option is a list of maps. Nothing
 * here knows of SQL dialects or types: a range's bounds and an enum's values are texts as written.
 * @thread any (immutable once made)
 */
#ifndef CONFIG_SEMANTIC_RULES_H
#define CONFIG_SEMANTIC_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct config;
struct table_filter;

/* What a breach means. */
enum severity {
    SEVERITY_UNKNOWN = 0,
    SEVERITY_REGRESSION, /* FAIL where the target breaks it more than the source does; else a finding */
    SEVERITY_ERROR,      /* FAIL where the target breaks it, whatever the source does */
    SEVERITY_WARN        /* always a finding */
};

/* Decimals, not negative; NULL = none. */
struct tolerance {
    char *absolute, *relative;
};

struct column_tolerance {
    char *column;
    struct tolerance tolerance;
};

struct tolerances {
    struct tolerance all; /* of columns that are not named */
    struct column_tolerance *columns;
    size_t column_count;
};

/* Tables by a pattern of source.tables, and rows of them by a condition (NULL = all). */
struct table_choice {
    char *pattern;
    struct table_filter *tables;
    char *where;
};

struct query_pair {
    char *name;
    char *sql[2]; /* source, target */
    bool ordered;
    char **key; /* columns that pair rows; names of the source's result */
    size_t key_count;
    struct tolerances tolerances;
    int64_t max_rows;
    enum severity severity;
};

enum measure {
    MEASURE_COUNT = 1 << 0,
    MEASURE_NULLS = 1 << 1,
    MEASURE_DISTINCT = 1 << 2,
    MEASURE_SUM = 1 << 3,
    MEASURE_AVG = 1 << 4,
    MEASURE_MIN = 1 << 5,
    MEASURE_MAX = 1 << 6,
    MEASURE_QUANTILES = 1 << 7,
    MEASURE_TOP = 1 << 8
};

struct aggregate_rule {
    struct table_choice of;
    char **columns; /* none = all */
    size_t column_count;
    unsigned measures;
    char **quantiles; /* decimals between 0 and 1 */
    size_t quantile_count;
    int64_t top;
    struct tolerances tolerances;
    enum severity severity;
};

struct sample_rule {
    struct table_choice of;
    int64_t rows;
    struct tolerances tolerances;
    enum severity severity;
};

enum count_by {
    COUNT_BY_UNKNOWN = 0,
    COUNT_BY_PARTITION,
    COUNT_BY_HOUR,
    COUNT_BY_DAY,
    COUNT_BY_MONTH,
    COUNT_BY_YEAR,
    COUNT_BY_VALUE
};

struct count_rule {
    struct table_choice of;
    char *column; /* NULL: by partition */
    enum count_by by;
};

enum data_test {
    TEST_UNKNOWN = 0,
    TEST_NOT_NULL,
    TEST_NOT_EMPTY,
    TEST_UNIQUE,
    TEST_LENGTH,
    TEST_ENUM,
    TEST_RANGE,
    TEST_POSITIVE,
    TEST_NOT_NEGATIVE,
    TEST_NOT_FUTURE,
    TEST_REFERENCES
};

struct data_check {
    enum data_test test;
    char **columns; /* one; UNIQUE and REFERENCES: one or more */
    size_t column_count;
    char *min, *max; /* RANGE, LENGTH (whole numbers); NULL = open */
    char **values;   /* ENUM */
    size_t value_count;
    char *parent_schema, *parent_table;
    char **parent_columns; /* as many as columns */
    int64_t grace_s;       /* NOT_FUTURE */
};

/* One item of compare.contracts or compare.rules: checks of a table, or a query that must return no rows. */
struct data_contract {
    bool contract; /* false: of compare.rules */
    char *name;    /* "" = none */
    struct table_choice of;
    struct data_check *checks;
    size_t check_count;
    char *sql[2]; /* NULL unless it is a query */
    enum severity severity;
};

struct semantic_rules {
    struct query_pair *queries;
    size_t query_count;
    struct aggregate_rule *aggregates;
    size_t aggregate_count;
    struct sample_rule *samples;
    size_t sample_count;
    struct count_rule *counts;
    size_t count_count;
    struct data_contract *contracts; /* and rules */
    size_t contract_count;
};

/* ERR_CONFIG says which rule and what of it. */
bool semantic_rules_from_config(const struct config *cfg, struct semantic_rules *ret,
                                struct err *err) MUST_CHECK;
void semantic_rules_release(struct semantic_rules *rules);

/* Whether one item reads (options.c). */
bool query_pair_check(const char *text, struct err *err) MUST_CHECK;
bool aggregate_rule_check(const char *text, struct err *err) MUST_CHECK;
bool sample_rule_check(const char *text, struct err *err) MUST_CHECK;
bool count_rule_check(const char *text, struct err *err) MUST_CHECK;
bool data_rule_check(const char *text, struct err *err) MUST_CHECK;
bool data_contract_check(const char *text, struct err *err) MUST_CHECK;

const char *severity_name(enum severity severity); /* "regression" */
const char *data_test_name(enum data_test test);   /* "not_null" */

/* A tolerance for this column; .absolute and .relative are NULL where there is none. */
struct tolerance tolerance_of(const struct tolerances *tolerances, const char *column);

#endif
