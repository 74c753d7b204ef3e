/*
 * Which rows of its tables a comparison is of: a condition of the operator's (--where, compare.where), a range of time (--since, --until),
 * partitions of the source (--partition). A condition is SQL of each side: it stands in parentheses behind WHERE, inside of what FROM
 * names, so that nothing else of the comparison knows of it. Private to this module.
 */
#ifndef COMPARE_SCOPE_H
#define COMPARE_SCOPE_H

#include "catalog.h"
#include "compare/compare.h"

struct table_filter;
struct table_rules;

/* An item of a map whose names are table patterns. */
struct scope_text {
    struct table_filter *tables;
    char *pattern, *text;
};

struct scope_texts {
    struct scope_text *items;
    size_t count;
};

struct scope {
    const struct compare_request *req;
    bool any;                                     /* false: all rows of all tables */
    struct scope_texts where, target_where, time; /* of the configuration */
    char *since, *until;                          /* "2026-01-31 12:00:00.000000", UTC; NULL = open */
    struct table_filter *partitions;              /* NULL = whole tables */
    bool
        each_partition; /* not whole tables, but all of their partitions: of a plan behind that of the tables */
    bool mariadb;       /* the target's dialect */
};

/* Reads request and configuration. ERR_CONFIG: a condition that is none, a time that is none. All rows in a frozen comparison, or if
 * the request asks for them. */
bool scope_open(struct scope *scope, const struct config *cfg, const struct compare_request *req,
                struct err *err) MUST_CHECK;
void scope_close(struct scope *scope);
/* ERR_CONFIG: a condition of one table where more are compared; a pattern of compare.where that fits no table of the source. */
bool scope_check(const struct scope *scope, const struct catalog *source, const struct table_filter *pipeline,
                 const struct table_filter *wanted, struct err *err) MUST_CHECK;

/* The operator's condition, the scope's own text; NULL = none. Named as on the source. */
const char *scope_where(const struct scope *scope, enum side side, const char *schema, const char *table);
/* By which --since and --until go; NULL = none is named. */
const char *scope_time_column(const struct scope *scope, const char *schema, const char *table);

/* How one table is read; all malloc'd. */
struct table_scope {
    char *where[SIDE_COUNT]; /* the rows inside, in each side's SQL; NULL: all */
    char *from[SIDE_COUNT];  /* to stand behind FROM, as alias t; where there is a condition */
    char *whole[SIDE_COUNT]; /* all rows as alias t, with a column SCOPE_INSIDE */
    char *partition;         /* "schema.name"; NULL = the whole table */
};
#define SCOPE_INSIDE "crossfade_inside"

/* The table as both sides have it; part NULL: not by partitions. False: *ret_reason (malloc'd) says why these rows cannot be told
 * on both sides. ret->where stays NULL where all rows are compared. */
bool scope_of_table(const struct scope *scope, const struct catalog cats[SIDE_COUNT],
                    const struct cat_table *source, const struct cat_table *target,
                    const struct cat_partition *part, const struct table_rules *rules,
                    struct table_scope *ret, char **ret_reason) MUST_CHECK;
void table_scope_release(struct table_scope *of);

/* "2026-01-31", "2026-01-31 12:00", "2026-01-31T12:00:00.5+02": as UTC, without a zone it is UTC. malloc'd; NULL: it is no such time. */
char *scope_time(const char *text);

#endif
