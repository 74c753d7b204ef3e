/*
 * Comparing both sides of a pipeline: at one fence while writes go on, or, when both sides stand
 * still (cutover after its freeze), as they are. What each verdict proves: docs/COMPARE.md.
 *
 * A run that took place ends with a verdict, also an INCONCLUSIVE one; false + err means that it could not
 * run at all (lock held by another comparison, no connection, no privilege, stopped).
 */
#ifndef COMPARE_COMPARE_H
#define COMPARE_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compare/cause/cause.h"
#include "config/config.h"
#include "core/err.h"
#include "core/lsn.h"

struct journal_reach;
struct standing;
struct strbuf;

enum compare_verdict { VERDICT_UNKNOWN = 0, VERDICT_PASS, VERDICT_FAIL, VERDICT_INCONCLUSIVE };

enum compare_method {
    METHOD_NONE = 0, /* nothing was read */
    METHOD_RANGES,   /* SHA-256 of key ranges, in key order */
    METHOD_BUCKETS,  /* SHA-256 of row hashes, sorted, by bucket: no common order of keys, or no key */
    METHOD_KEYS,     /* rows by their keys: those that changed since an earlier comparison */
    METHOD_COUNTS    /* the number of rows, nothing else */
};

/* How deep a comparison looks. Each level holds those before it. */
enum compare_level {
    LEVEL_UNKNOWN = 0, /* a request: as configured */
    LEVEL_COUNTS,      /* rows by table, and compare.counts */
    LEVEL_DIGESTS,     /* SHA-256 of all rows */
    LEVEL_FULL         /* and compare.queries, aggregates, samples, rules, contracts */
};

/* What of an earlier comparison this one has built upon. */
enum compare_built {
    BUILT_NONE = 0, /* nothing: all rows were read */
    BUILT_CHANGED,  /* all rows had been equal: read were those that the source changed since */
    BUILT_REST      /* some had been: read were those that the source changed since, and all others */
};

/* What a difference means: the row is missing on the target, is there without one on the source, or has other
 * values.
 */
enum compare_kind { DIFF_UNKNOWN = 0, DIFF_MISSING, DIFF_EXTRA, DIFF_CHANGED };

struct compare_cell {
    char *name;
    char *source; /* NULL = null, or the row is not there */
    char *target;
};

struct compare_difference {
    enum compare_kind kind;
    struct compare_cell *keys; /* source or target, whichever has the row; none for a table without key */
    size_t key_count;
    char **
        key_texts; /* the whole key, uncut, as lookups take it (plan.h): key_count of them, one behind the other from key_texts[0] on,
                         each with its NUL; NULL = no key, or not a table's row */
    size_t key_texts_len; /* of all of it */
    bool
        key_alike; /* missing, extra: the other side has a key that differs in case, accents, blanks or Unicode form alone; changed: it
                       has the row under such a key, which counts as equal */
    struct compare_cell *columns; /* changed: those that differ; else all others of the row */
    size_t column_count;
    uint64_t copies_source, copies_target; /* tables without key: how often the row is there; else 0 or 1 */
    struct compare_cause cause;            /* of tables' rows, once they were looked up */
};

/* In which form a column was compared: "numeric to decimal(12,4): as numbers; …". */
struct compare_rule {
    char *column, *rule;
};

struct compare_left_out {
    char *column, *why;
};

/* One partition of a table that was compared whole, too (compare_request.by_partition). */
struct compare_part {
    char *name; /* "schema.name" of the source's */
    enum compare_verdict verdict;
    enum compare_method method;
    char *reason; /* why FAIL or INCONCLUSIVE; "" for PASS */
    uint64_t rows_source, rows_target;
    size_t differences;  /* found; they are listed with the table */
    bool more;           /* there are more */
    int64_t duration_us; /* summed over workers */
};

struct compare_table {
    char *schema, *table;
    char *partition; /* "schema.name" of the source's, whose rows alone were compared; NULL = all */
    char *where[2];  /* source, target: the condition inside which rows were compared; NULL = all rows */
    uint64_t rows_estimate; /* with either: about how many rows the table has on the source */
    enum compare_verdict verdict;
    enum compare_method method;
    char *reason; /* why FAIL or INCONCLUSIVE; "" for PASS */
    char **notes; /* what a reader of PASS should know, e.g. columns left out */
    size_t note_count;
    struct compare_rule *rules; /* of each column that was compared */
    size_t rule_count;
    struct compare_left_out *left_out; /* columns that were not compared; each is told by a note, too */
    size_t left_out_count;
    char **keys;
    size_t key_count, column_count; /* columns: as many as were compared */
    uint64_t rows_source, rows_target;
    uint64_t chunks, chunks_differing; /* key ranges or buckets */
    int64_t duration_us;               /* summed over workers */
    enum compare_built built;
    uint64_t since_fence, rows_kept; /* built: where rows had been equal, and how many on the source */
    uint64_t keys_changed;           /* built: that were looked up */
    int64_t read_us; /* built: wall time of the comparison that began to read it; 0 = this one */
    struct compare_difference *differences;
    size_t difference_count;
    bool more;                       /* there are more differences than these */
    size_t causes[CAUSE_KIND_COUNT]; /* how many of the listed differences have this cause */
    struct compare_part *partitions; /* by name; none unless they were asked for */
    size_t part_count;
};

/* A check beyond rows: one query pair, one column's figures, one rule … */
enum check_kind {
    CHECK_UNKNOWN = 0,
    CHECK_COUNT,
    CHECK_QUERY,
    CHECK_AGGREGATE,
    CHECK_SAMPLE,
    CHECK_RULE,
    CHECK_CONTRACT
};

enum check_state {
    STATE_UNKNOWN = 0,
    STATE_PASS,
    STATE_FAIL,
    STATE_FINDING, /* about the data, not about the migration: the source breaks it as well, or severity is warn */
    STATE_INCONCLUSIVE /* could not be run */
};

struct compare_check {
    enum check_kind kind;
    enum check_state state;
    char *name;                            /* as configured; else made of table, columns and rule */
    char *table;                           /* "schema.table"; NULL = none */
    char *columns;                         /* "a, b"; NULL = none */
    char *rule;                            /* "length 1..255", "sum, avg, top 10"; "" for queries */
    char *severity;                        /* "regression" */
    char *reason;                          /* "" for PASS */
    uint64_t rows_source, rows_target;     /* of the results; rules: rows that were looked at */
    uint64_t broken_source, broken_target; /* rules: rows that break it */
    int64_t duration_us; /* of the statements; of one that several checks share: the whole */
    int64_t
        side_us[2]; /* of a query pair on source and target, which run at the same time; 0 = no rows came */
    struct compare_difference *differences;
    size_t difference_count;
    uint64_t difference_total;               /* found; those listed are the first */
    struct compare_difference *offenders[2]; /* rules: some rows that break it, as `keys`; source, target */
    size_t offender_count[2];
};

/* Why a comparison waits between chunks. */
enum compare_wait {
    WAIT_NONE = 0,
    WAIT_ROWS_PER_SECOND, /* compare.max_rate_rows */
    WAIT_SOURCE_BUSY,     /* compare.busy_share */
    WAIT_SOURCE_LOAD,     /* compare.max_source_load */
    WAIT_SOURCE_LATENCY,  /* compare.max_source_latency_ms */
    WAIT_REPLICA_LAG,     /* compare.max_replica_lag_ms */
    WAIT_KINDS
};

struct compare_result {
    enum compare_verdict verdict;
    enum compare_level level;
    char *reason; /* of INCONCLUSIVE before any table; else "" */
    bool frozen;
    bool full;      /* all rows of all tables of the pipeline */
    bool some_rows; /* by a condition, a range of time or partitions */
    bool built;     /* on what earlier comparisons have proven: not all rows were read at this fence */
    char *pipeline;
    uint64_t fence_id; /* 0 = none was reached */
    lsn_t lsn;
    uint64_t fence_offset; /* its place in the fence stream of the journal */
    int64_t commit_us;     /* wall; of the source's last commit there; 0 = not told */
    int64_t reached_us;    /* wall; when both sides stood there; 0 = not at a fence */
    int64_t lag_us;        /* from the cut on the source until the target stood there; 0 = not measured */
    char nonce[40];        /* of the markers; "" when frozen */
    int64_t started_us, finished_us; /* wall */
    int64_t fence_us;                /* from taking the lock until both sides stood at the fence */
    int64_t hold_us;                 /* for how long apply was held at the fence */
    char *server[2];                 /* "PostgreSQL 15.3, database shop"; source, target */
    struct compare_table *tables;    /* by name */
    size_t table_count;
    uint64_t rows_source, rows_target, differences;
    size_t passed, failed, inconclusive;
    struct compare_check *checks; /* as configured: counts, queries, aggregates, samples, contracts, rules */
    size_t check_count;
    size_t checks_by_state[STATE_INCONCLUSIVE + 1];
    int64_t waited_us[WAIT_KINDS]; /* so as not to be a burden; summed over workers */
    int64_t rest_owed_us;          /* … by the next comparison, for what this one read on a busy source */
    struct standing *
        standing; /* what the target knows of the window and of a cutover's gates (standing.h); NULL: not read */
    struct journal_reach
        *reach;        /* how far the journal reached at the fence (journal_reach.h); NULL: not looked at */
    char *report_dir;  /* of this run; NULL = no report was asked for */
    char *report_file; /* of these, the one that a person opens */
    char *json;        /* the report, schemas/report.schema.json */
};

struct compare_progress {
    const char *stage; /* "rest", "fence" or "compare" */
    const char *text;  /* what rest or fence wait for; "" otherwise */
    size_t tables_total, tables_done, tables_failed;
    uint64_t rows_done, rows_estimate; /* of the source */
    int64_t elapsed_us;                /* in this stage */
    enum compare_wait waits_for;       /* NONE: it reads */
    int64_t waited_us;                 /* so far; summed over workers */
};

enum compare_building {
    BUILD_NOTHING = 0, /* all rows of all tables are read */
    BUILD_RESUME,      /* on what comparisons have proven since the last one that came to its end */
    BUILD_CHANGED      /* on what any has proven within compare.full_every */
};

struct compare_request {
    const char *const *tables; /* patterns as in source.tables; NULL = all of the pipeline */
    size_t table_count;
    /* Which rows (docs/COMPARE.md, "Some of the rows"); NULL = all, or as compare.where says. target_where NULL: `where`. */
    const char *where, *target_where; /* of one table */
    const char *since, *until, *time_column;
    const char *const *partitions; /* of the source: patterns as in source.tables */
    size_t partition_count;
    bool all_rows; /* whatever compare.where says */
    bool
        by_partition; /* of partitioned tables, besides, what each partition comes to; frozen, or building on others: not */
    enum compare_level
        level;   /* UNKNOWN: digests if frozen, else compare.level; with conditions at most digests */
    bool frozen; /* neither side changes any more: no lock, no markers, no waiting for a fence */
    enum compare_building building;
    bool at_once;            /* does not rest first for what earlier comparisons read (compare.busy_share) */
    bool skip_report;        /* no files; ret->json is made all the same */
    bool report_unless_pass; /* files only of what is no PASS */
    bool skip_causes;        /* nobody will read why rows differ: that is not looked up */
    const char *report_dir;  /* NULL = compare.report_dir */
    int stop_fd;             /* readable when the run is to end; -1 = none */
    void (*progress)(void *ctx,
                     const struct compare_progress *progress); /* NULL allowed; from the calling thread */
    void *progress_ctx;
};

/* Runs one comparison and records its verdict in crossfade.verdict on the target. Nothing stays behind on
 * either side, however it ends. *ret is the caller's to release. @thread owner; starts and joins threads of
 * its own. */
bool compare_run(const struct config *cfg, const struct compare_request *req, struct compare_result *ret,
                 struct err *err) MUST_CHECK;
/* The result as JUnit's XML; the file is written whole or not at all. */
bool compare_write_junit(const struct compare_result *result, const char *path, struct err *err) MUST_CHECK;
void compare_result_release(struct compare_result *result);

const char *compare_verdict_name(enum compare_verdict verdict); /* "PASS" */
const char *compare_kind_name(enum compare_kind kind);          /* "missing" */
const char *compare_method_name(enum compare_method method);    /* "ranges" */
const char *compare_level_name(enum compare_level level);       /* "counts" */
enum compare_level compare_level_named(const char *name);       /* UNKNOWN: it is none */
const char *check_kind_name(enum check_kind kind);              /* "query" */
const char *check_state_name(enum check_state state);           /* "FINDING" */
const char *compare_wait_name(enum compare_wait wait);          /* "source_load" */
/* 0 match, 1 differ, 3 inconclusive. */
int compare_exit_code(enum compare_verdict verdict);

struct pg_conn;
/* A digest for each published table of the source, as JSON {"schema.table": "…"}: it changes with whatever
 * changes rows without a change of a row (TRUNCATE of a partition, partitions attached or dropped, a rewrite by
 * ALTER TABLE), none of which is in the stream, and now and then without need. malloc'd. A full comparison
 * keeps it in crossfade.verdict (detail.shapes), as it was before its snapshot. */
bool compare_shapes(struct pg_conn *source, const char *pipeline, char **ret_json,
                    struct err *err) MUST_CHECK;

/* Where compare.redact names anything: what stands in quotes is hidden, in place, as in the reasons of a comparison (a server's message
 * names values so). */
void compare_hide_quoted(const struct config *cfg, char *text);

#endif
