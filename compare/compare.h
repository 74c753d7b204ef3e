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

#include "config/config.h"
#include "core/err.h"
#include "core/lsn.h"

enum compare_verdict { VERDICT_UNKNOWN = 0, VERDICT_PASS, VERDICT_FAIL, VERDICT_INCONCLUSIVE };

enum compare_method {
    METHOD_NONE = 0, /* nothing was read */
    METHOD_RANGES,   /* SHA-256 of key ranges, in key order */
    METHOD_BUCKETS   /* SHA-256 of row hashes, sorted, by bucket: no common order of keys, or no key */
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
    struct compare_cell *columns; /* changed: those that differ; else all others of the row */
    size_t column_count;
    uint64_t copies_source, copies_target; /* tables without key: how often the row is there; else 0 or 1 */
};

struct compare_table {
    char *schema, *table;
    enum compare_verdict verdict;
    enum compare_method method;
    char *reason; /* why FAIL or INCONCLUSIVE; "" for PASS */
    char **notes; /* what a reader of PASS should know, e.g. columns left out */
    size_t note_count;
    char **keys;
    size_t key_count, column_count; /* columns: as many as were compared */
    uint64_t rows_source, rows_target;
    uint64_t chunks, chunks_differing; /* key ranges or buckets */
    int64_t duration_us;               /* summed over workers */
    struct compare_difference *differences;
    size_t difference_count;
    bool more; /* there are more differences than these */
};

struct compare_result {
    enum compare_verdict verdict;
    char *reason; /* of INCONCLUSIVE before any table; else "" */
    bool frozen;
    bool full; /* all tables of the pipeline */
    char *pipeline;
    uint64_t fence_id; /* 0 = none was reached */
    lsn_t lsn;
    char nonce[40];                  /* of the markers; "" when frozen */
    int64_t started_us, finished_us; /* wall */
    int64_t fence_us;                /* from taking the lock until both sides stood at the fence */
    int64_t hold_us;                 /* for how long apply was held at the fence */
    char *server[2];                 /* "PostgreSQL 15.3, database shop"; source, target */
    struct compare_table *tables;    /* by name */
    size_t table_count;
    uint64_t rows_source, rows_target, differences;
    size_t passed, failed, inconclusive;
    char *report_dir; /* of this run; NULL = no report was asked for */
    char *json;       /* the report, schemas/report.schema.json */
};

struct compare_progress {
    const char *stage; /* "fence" or "compare" */
    const char *text;  /* what the fence waits for; "" otherwise */
    size_t tables_total, tables_done, tables_failed;
    uint64_t rows_done, rows_estimate; /* of the source */
    int64_t elapsed_us;                /* in this stage */
};

struct compare_request {
    const char *const *tables; /* patterns as in source.tables; NULL = all of the pipeline */
    size_t table_count;
    bool frozen;            /* neither side changes any more: no lock, no markers, no waiting for a fence */
    bool skip_report;       /* no files; ret->json is made all the same */
    const char *report_dir; /* NULL = compare.report_dir */
    int stop_fd;            /* readable when the run is to end; -1 = none */
    void (*progress)(void *ctx,
                     const struct compare_progress *progress); /* NULL allowed; from the calling thread */
    void *progress_ctx;
};

/* Runs one comparison and records its verdict in crossfade.verdict on the target. Nothing stays behind on
 * either side, however it ends. *ret is the caller's to release. @thread owner; starts and joins threads of
 * its own. */
bool compare_run(const struct config *cfg, const struct compare_request *req, struct compare_result *ret,
                 struct err *err) MUST_CHECK;
void compare_result_release(struct compare_result *result);

const char *compare_verdict_name(enum compare_verdict verdict); /* "PASS" */
const char *compare_kind_name(enum compare_kind kind);          /* "missing" */
const char *compare_method_name(enum compare_method method);    /* "ranges" */
/* 0 match, 1 differ, 3 inconclusive. */
int compare_exit_code(enum compare_verdict verdict);

struct pg_conn;
/* A digest for each published table of the source, as JSON {"schema.table": "…"}: it changes with whatever
 * changes rows without a change of a row (TRUNCATE of a partition, partitions attached or dropped, a rewrite by
 * ALTER TABLE), none of which is in the stream, and now and then without need. malloc'd. A full comparison
 * keeps it in crossfade.verdict (detail.shapes), as it was before its snapshot. */
bool compare_shapes(struct pg_conn *source, const char *pipeline, char **ret_json,
                    struct err *err) MUST_CHECK;

#endif
