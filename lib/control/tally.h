/*
 * What a role counts for /metrics and does not need itself: rows by table and kind, sizes and times of batches, errors by class.
 * It belongs to the board, so it outlives sessions. Everything here is told once per batch, fence or error, under a lock that a
 * scrape holds for a copy; tally_row() alone is told per row, and takes no lock and no memory (but once for each new table).
 *
 * Rows count when they are durable: tally_row() only notes them, tally_commit() counts what was noted, tally_forget() drops it.
 *
 * Bounded series. At most TALLY_TABLES_SHOWN tables have series of their own: the first ones that have rows. All others count
 * as the table "other". Once a minute (tally_rank()) a table that is "other" takes the place of the one with the fewest rows
 * among those shown, if it has had more than twice as many since the role's start. A row is counted in exactly one series, the
 * one that its table had then, so every series only counts up. Tables beyond TALLY_TABLES_MAX are "other" for good.
 */
#ifndef CONTROL_TALLY_H
#define CONTROL_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define TALLY_TABLES_SHOWN 200
#define TALLY_TABLES_MAX   100000
#define TALLY_OTHER        0 /* the number of all tables that have none */
#define TALLY_BUCKETS_MAX  20
#define TALLY_CLASSES_MAX  64

enum tally_kind { TALLY_COPY = 0, TALLY_INSERT, TALLY_UPDATE, TALLY_DELETE, TALLY_TRUNCATE, TALLY_KINDS };

enum tally_histogram_id {
    TALLY_BATCH_ROWS = 0, /* changes of a unit (capture: up to a fence; apply: a transaction of the target) */
    TALLY_BATCH_SECONDS,  /* capture: the unit's fence and commit; apply: the whole transaction */
    TALLY_COMMIT_SECONDS, /* from the commit on the source to its durability in the journal (capture) or the target (apply) */
    TALLY_HISTOGRAMS
};

struct tally;

struct tally_histogram {
    uint64_t buckets[TALLY_BUCKETS_MAX]; /* not cumulative; the last one is beyond all bounds */
    uint64_t count;
    double sum;
};

/* Errors and retries of one kind. */
struct tally_class {
    enum err_code code;
    char sqlstate_class[3]; /* "": it had no SQLSTATE; "**": one of those for which there was no room */
    uint64_t errors, retries;
};

struct tally_table_view {
    char *name; /* schema.table, or "other" */
    uint64_t rows[TALLY_KINDS];
};

/* A copy, for one scrape. */
struct tally_view {
    struct tally_table_view *tables; /* "other" is the last one, and always there */
    size_t table_count, tables_known;
    struct tally_histogram histograms[TALLY_HISTOGRAMS];
    struct tally_class classes[TALLY_CLASSES_MAX];
    size_t class_count;
};

struct tally *tally_new(void);
void tally_free(struct tally *t); /* NULL allowed */

/* The number of a table, for tally_row(); the same for the same name. t NULL: TALLY_OTHER. @thread any */
uint32_t tally_table(struct tally *t, const char *schema, const char *table);
/* Rows that are written and not durable yet. t NULL: nothing. @thread the one that writes */
void tally_row(struct tally *t, uint32_t table, enum tally_kind kind, uint64_t rows);
void tally_commit(struct tally *t);
void tally_forget(struct tally *t);
/* Who has series of its own; done by tally_commit() once a minute. @thread the one that writes */
void tally_rank(struct tally *t);

/* t NULL: nothing. @thread any */
void tally_observe(struct tally *t, enum tally_histogram_id which, double value);
void tally_error(struct tally *t, const struct err *err);
void tally_retry(struct tally *t, const struct err *err);

/* Upper bounds of a histogram's buckets, without the last one's. Returns how many. */
size_t tally_bounds(enum tally_histogram_id which, const double **ret);
const char *tally_kind_name(enum tally_kind kind);
/* op: the letter of an envelope (change.h: enum change_op). */
enum tally_kind tally_kind_of(char op);

void tally_look(struct tally *t, struct tally_view *ret);
void tally_view_release(struct tally_view *view);

#endif
