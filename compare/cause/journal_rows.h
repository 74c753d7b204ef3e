/*
 * The journal's records of some rows of a table, by key: read backwards in growing parts, as an unregistered reader, until all are found
 * or the limits are reached. Bounded: time, records, and bytes of kept values. Private to compare.
 */
#ifndef COMPARE_CAUSE_JOURNAL_ROWS_H
#define COMPARE_CAUSE_JOURNAL_ROWS_H

#include "change/change.h"
#include "compare/plan.h"
#include "config/config.h"

#define IMAGES_PER_ROW 4

struct record_place {
    enum change_op op;
    int32_t partition;
    uint64_t offset;
    lsn_t lsn; /* of the change */
    lsn_t commit_lsn;
    uint64_t order; /* in its transaction */
};

enum image_cell_state {
    CELL_ABSENT = 0, /* an unchanged value that the source did not send */
    CELL_UNREAD,     /* no such field, or it does not carry every value of the column */
    CELL_NULL,
    CELL_TEXT /* PostgreSQL's text of it */
};

struct image_cell {
    enum image_cell_state state;
    char *text;
};

/* One record of a row. */
struct image {
    struct record_place at;
    bool gone;                /* a delete, or a TRUNCATE */
    struct image_cell *cells; /* by the plan's columns; NULL: gone, or not kept (limits) */
};

/* A row that is looked for. Keys: texts of the columns, a NUL behind each. */
struct wanted_row {
    const char *key; /* the caller's */
    size_t key_len;
    bool two;                            /* the record before the last one is of use, too */
    struct image images[IMAGES_PER_ROW]; /* newest first */
    size_t image_count;
    unsigned part; /* in which the first was found */
};

struct journal_look {
    const struct plan_table *pt;
    const char *topic;
    struct wanted_row *rows; /* journal_look_sort() */
    size_t row_count;
    /* Filled: */
    char *
        partial; /* why records may have been missed (malloc'd); NULL = all that the journal holds was seen, or enough */
    char *span;          /* "topic=… offsets 0-…": what was read; malloc'd */
    bool whole;          /* all since the first record that ever was */
    uint64_t unreadable; /* records whose key could not be told */
    uint64_t records;
};

struct journal_rows;

/* Sorts the rows, each key once: before all else. */
void journal_look_sort(struct journal_look *look);
/* lsn: of the fence. Opens the journal. @thread owner */
bool journal_rows_open(const struct config *cfg, lsn_t lsn, struct journal_rows **ret,
                       struct err *err) MUST_CHECK;
/* until_us: mono. stopped(ctx) true ends it at once. What went wrong stands in look->partial. */
void journal_rows_look(struct journal_rows *jr, struct journal_look *look, int64_t until_us,
                       bool (*stopped)(void *ctx), void *ctx);
void journal_rows_close(struct journal_rows *jr); /* NULL allowed */
/* The look's texts and its rows' images; not the rows. */
void journal_look_release(struct journal_look *look);
/* NULL: there is none. Of sorted rows. */
struct wanted_row *journal_look_find(struct journal_look *look, const char *key, size_t len);

#endif
