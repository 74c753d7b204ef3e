/*
 * What is replayed: reads, grouped by their shape (the parser's fingerprint), each with some variants (texts and parameters) drawn at
 * random from all that came; and what was left out, counted by reason. Nothing is dropped uncounted. Memory is bounded: a number of
 * shapes, of variants of each, of bytes in all. Private to compare. @thread owner until the run begins
 */
#ifndef COMPARE_SHADOW_WORKLOAD_H
#define COMPARE_SHADOW_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "pg/conn.h"
#include "sqlparse/sqlparse.h"

#define WORKLOAD_LEFT_MAX  64
#define WORKLOAD_BYTES_MAX ((size_t)256 << 20)

struct shadow_variant {
    struct sql_statement st;
    char *target_sql; /* NULL = the same text */
    char **params;
    size_t param_count;
    size_t bytes; /* about what it takes in memory */
};

struct shadow_query {
    char id[SQL_FINGERPRINT_MAX];
    char *name;         /* of a list; NULL = none */
    const char *origin; /* "list", "log", "pg_stat_statements" */
    double weight;      /* how often it came in the workload */
    uint64_t seen;      /* variants offered */
    struct shadow_variant *variants;
    size_t variant_count;
    char *needs; /* why it cannot run: "needs parameters: $2"; NULL = it can */
};

struct left_out {
    char *reason;
    uint64_t count;
};

struct workload {
    struct shadow_query *queries;
    size_t count, cap;
    size_t query_max, variant_max;
    struct left_out left[WORKLOAD_LEFT_MAX];
    size_t left_count;
    uint64_t offered, drawn; /* statements */
    double
        lost; /* weight of reads that there was no room for, or that nobody understood: they count as not compared */
    bool (*stopped)(const void *ctx); /* whether to end reading; NULL = never */
    const void *stopped_ctx;
    bool translate; /* the target speaks another dialect: target_sql is needed */
    uint64_t sample_percent;
    uint64_t random;
    size_t bytes;
    const char *const *exclude; /* patterns of texts ('*' = any characters), or fingerprints */
    size_t exclude_count;
};

struct offer {
    const char *origin, *name, *sql, *target_sql;
    char *const *params;
    size_t param_count;
    double weight;
    bool whole; /* always drawn (lists) */
};

/* Takes the statements of offer->sql in, or counts why not. */
void workload_offer(struct workload *w, const struct offer *offer);
/* A read that could not be taken in: its weight is missing from what is compared. No read: nothing. */
void workload_lose(struct workload *w, const char *sql, double weight);
/* True: stop was asked for (ERR_INTERRUPTED). */
bool workload_is_stopped(const struct workload *w, struct err *err);
void workload_leave_out(struct workload *w, uint64_t count, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds a variant to a query that is there; false: it was not drawn. Takes nothing over. */
void workload_need(struct workload *w, const struct offer *offer, const struct sql_statement *st,
                   const char *needs);
void workload_release(struct workload *w);

/* compare.shadow.queries and compare.shadow.file. */
bool workload_read_list(struct workload *w, const struct config *cfg, struct err *err) MUST_CHECK;
bool workload_read_log(struct workload *w, const char *path, const char *database,
                       struct err *err) MUST_CHECK;
/* pg_stat_statements of the source, parameters sampled there. */
bool workload_read_statements(struct workload *w, struct pg_conn *source, struct err *err) MUST_CHECK;
/* Whether the text of one item of compare.shadow.queries reads. */
bool shadow_item_check(const char *text, struct err *err) MUST_CHECK;

#endif
