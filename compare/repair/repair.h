/*
 * Repair: makes the target's rows that differ what the source has. Which rows: those that a comparison at a fence finds, run by the
 * repair itself. Two ways: the source's rows are published once more, and apply heals them in order with all other changes (through
 * the journal); or statements of SQL, made and carried out while apply waits at a fence. docs/COMPARE.md, "Repair".
 *
 * Without `execute` nothing is changed on either side.
 */
#ifndef COMPARE_REPAIR_REPAIR_H
#define COMPARE_REPAIR_REPAIR_H

#include "compare/compare.h"

enum repair_way { REPAIR_SQL, REPAIR_JOURNAL };

struct repair_request {
    enum repair_way way;
    const char *const *tables; /* patterns as in source.tables; NULL = all of the pipeline */
    size_t table_count;
    const char *file; /* SQL: the statements go there; "-" = stdout; NULL = nowhere */
    bool execute;
    bool delete_extra; /* rows that the target alone has are deleted */
    int64_t
        rounds; /* at least 1: a table with more differences than a comparison lists is repaired in so many */
    int stop_fd; /* readable when the run is to end; -1 = none */
    void (*progress)(void *ctx, const struct compare_progress *progress); /* NULL allowed */
    void *progress_ctx;
};

/* A table with differences. */
struct repair_table {
    char *schema, *table;
    uint64_t found[DIFF_CHANGED + 1]; /* by kind, in the first comparison */
    uint64_t
        repaired[DIFF_CHANGED +
                 1]; /* by kind, in all rounds: rows that were asked for again, or that statements changed */
    uint64_t left_alone; /* SQL: rows that were equal by the time when apply stood still */
    bool more;           /* there are more differences than the comparison lists */
    char *refused;       /* why nothing is done; NULL = it is repaired */
    char *note;          /* what to know of it; NULL = nothing */
};

struct repair_result {
    enum compare_verdict before,
        after;         /* of the first and the last comparison; after UNKNOWN: there was none */
    char *reason;      /* of an INCONCLUSIVE one; "" */
    uint64_t fence_id; /* of the last comparison */
    lsn_t lsn;
    int64_t rounds; /* carried out */
    struct repair_table *tables;
    size_t table_count;
};

/* False: it could not be carried out (to its end); what was done by then is in *ret all the same, which is the caller's to release.
 * @thread owner; starts and joins threads of its own. */
bool compare_repair(const struct config *cfg, const struct repair_request *req, struct repair_result *ret,
                    struct err *err) MUST_CHECK;
void repair_result_release(struct repair_result *result);
/* Executed: 0 equal, 1 still different, 3 inconclusive. Else: 0 nothing to repair, 1 there is something. */
int repair_exit_code(const struct repair_request *req, const struct repair_result *result);
/* malloc'd. */
char *repair_json(const struct repair_request *req, const struct repair_result *result);

#endif
