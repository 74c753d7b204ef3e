/*
 * The plan: which tables are compared, over which columns in which canonical form, by which key and method.
 * Made once from both catalogs; during the run only `live` changes. Private to this module.
 */
#ifndef COMPARE_PLAN_H
#define COMPARE_PLAN_H

#include <pthread.h>

#include "catalog.h"
#include "collated.h"
#include "lenient.h"
#include "model.h"

struct plan_column {
    char *name;
    char *form[SIDE_COUNT];  /* SQL over alias t: equal values give equal bytes (through record_send) or texts
                               (as_text) on both sides */
    char *shown[SIDE_COUNT]; /* for a reader's eye, where the form is not one; else NULL */
    size_t shown_at;         /* its cell in the results of sqlgen.h's lookups; 0 = none */
    bool may_be_long;        /* as_text: its text may be longer than VALUE_INLINE_BYTES */
    bool merges;             /* target.unfit may put two values of the source to one of the target */
    bool is_key;
    bool is_json;               /* a document of the source */
    bool is_text;               /* on both sides */
    struct collation collation; /* is_text: what takes different texts for equal */
    struct lenient lenient;     /* what counts as equal here although it is not */
};

struct plan_key {
    char *name;
    char *column[SIDE_COUNT];                  /* t."id" */
    char *text[SIDE_COUNT];                    /* equal keys have equal texts on both sides */
    char *head[SIDE_COUNT], *tail[SIDE_COUNT]; /* around such a text, to make it comparable with the column */
    char *sorts[SIDE_COUNT]; /* by which collation of which version: PostgreSQL on both sides; else NULL */
    bool lax[SIDE_COUNT];    /* PostgreSQL: its `=` takes different texts for equal */
    bool native;             /* false: no head and tail, only texts can be compared */
    /* Around the text of a key that the journal has named, to find its row by the index: PostgreSQL's own text of the value, and on
     * MariaDB `text`, of which the row's own must be the very same besides. NULL: such a key finds no row. */
    char *seek_head[SIDE_COUNT], *seek_tail[SIDE_COUNT];
};

struct strays;
struct table_history;

struct plan_table {
    struct compare_table out;
    bool comparable; /* false: out has the verdict already */
    enum dialect_kind dialect[SIDE_COUNT];
    bool as_text;     /* rows are hashed over canonical texts: the sides are of two dialects */
    bool source_utf8; /* the source's texts are in UTF-8 */
    uint32_t oid[SIDE_COUNT];
    /* "ONLY s.t AS t"; on the source, with rules: what of the table was moved, as it was moved. */
    char *from[SIDE_COUNT];
    /* With a condition (scope.h): all rows, and of each whether it is inside; from is then of those inside. Else NULL. */
    char *whole[SIDE_COUNT];
    size_t inside_at;      /* that column's cell in the results of lookups by key */
    bool tree[SIDE_COUNT]; /* partitions belong to it */
    char *storage; /* of the target, as its catalog tells it (cat_table.storage); NULL = it does not */
    struct plan_column *columns;
    size_t column_count;
    struct plan_key *keys;
    size_t key_count;
    bool ranges;         /* keys sort alike on both sides, and both have an index for it */
    bool target_indexed; /* the target finds a row by key without reading the whole table */
    int64_t rows_estimate;
    struct table_history
        *history; /* what was proven before; NULL: nothing is kept of it (history/history.h) */

    pthread_mutex_t lock;  /* guards out and what follows while workers run */
    size_t pending;        /* jobs not finished, and one for the planner while it walks */
    size_t split;          /* rows that are equal, and inside the condition on one side only */
    bool order_suspect;    /* ranges held other rows on the two sides although keys seemed to sort alike */
    struct strays *strays; /* NULL: a key has one text (strays.h) */
    uint64_t lenient_rows; /* that differ, but count as equal */
    bool rewritten;        /* under our snapshot: what was read proves nothing */
    bool done;
};

struct plan {
    struct plan_table **tables;  /* the most work first */
    struct plan_table **by_name; /* for plan_find() */
    size_t count;
    bool full; /* nothing of the pipeline was left out by the request */
};

struct scope;
struct table_filter;
struct table_rules;
/* pipeline_filter: the pipeline's tables, moved by `rules`; wanted: what the request asks for of these (NULL = all); scope: the rows
 * of these, as parts of the plan partition by partition. */
void plan_make(const struct catalog cats[SIDE_COUNT], bool publication_exists,
               const struct table_filter *pipeline_filter, const struct table_rules *rules,
               const struct table_filter *wanted, const struct scope *scope, struct plan *ret);
/* The table of this name; NULL = not in the plan. */
struct plan_table *plan_find(const struct plan *plan, const char *schema, const char *table);
/* NULL = it is not compared. */
const struct plan_column *plan_column_named(const struct plan_table *pt, const char *name);
void plan_release(struct plan *plan);

#endif
