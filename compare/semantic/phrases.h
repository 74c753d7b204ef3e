/*
 * The SQL of checks, for PostgreSQL and MariaDB: what differs between them is one small table. All names are quoted, all values
 * go through the dialect's literals. A table stands as "(SELECT * FROM <from> [WHERE (<where>)]) AS c", <from> being
 * plan_table.from. No I/O. Private to this module.
 */
#ifndef COMPARE_SEMANTIC_PHRASES_H
#define COMPARE_SEMANTIC_PHRASES_H

#include "compare/semantic/value.h"
#include "compare/session.h"

/* Where engines differ. '@' in a template stands for the column. */
struct phrases {
    void (*ident)(struct strbuf *out, const char *name);
    void (*literal)(struct strbuf *out, const char *text);
    const char *exact;      /* a text, compared byte by byte */
    const char *length;     /* in characters */
    const char *tuple_open; /* count(DISTINCT (a, b)) */
    const char *tuple_close;
    const char *any_of_group; /* a value of a group whose values are alike in `exact` */
    const char *min_text, *max_text;
    const char *sum_single; /* of single precision, summed in double */
    const char *random;
    const char *bytes_open, *bytes_close; /* around hexadecimal digits */
    void (*table)(const char *database, const char *schema, const char *table, struct strbuf *out);
    const char *timestamp; /* before a literal in UTC */
    const char *zone;      /* at its end */
    const char *partition; /* names the partition of a row; NULL = there is no such thing */
    const char *by[8];     /* enum count_by: start of the range that a time lies in */
    const char *
        with_limit; /* before the number: limits a query that begins with WITH, which takes no parentheses; a LIMIT of
                               its own counts for more. NULL = it takes them */
    bool paren_limit; /* "(query) LIMIT n" keeps the order of the query; else SELECT * FROM (query) does */
};

extern const struct phrases phrases_postgres, phrases_mariadb;
const struct phrases *phrases_of_dialect(enum dialect_kind dialect);

/* A table on one side, and what its columns hold. */
struct subject {
    const struct phrases *phrases;
    const char *from;  /* "ONLY s.t AS t" */
    const char *where; /* NULL = all rows */
    const char *now;   /* "2026-11-22 08:00:00", UTC: when the run began */
};

/* "c"."name" */
void phrase_column(const struct phrases *p, const char *name, struct strbuf *out);
/* The column as equal values are equal: text byte by byte. */
void phrase_exact(const struct phrases *p, const char *name, enum value_class of, struct strbuf *out);
/* A form of struct phrases, with the column in place of '@'. */
void phrase_fill(const struct phrases *p, const char *form, const char *name, struct strbuf *out);
/* As shown for a group of values that are alike in phrase_exact. */
void phrase_group_value(const struct phrases *p, const char *name, enum value_class of, struct strbuf *out);
/* The start of the hour, day … that a time lies in. */
void phrase_range(const struct phrases *p, enum count_by by, const char *name, struct strbuf *out);
/* A table by its name, as the source names it: "s"."t" AS t. */
void phrase_table(const struct phrases *p, const char *database, const char *schema, const char *table,
                  struct strbuf *out);
/* Figures of a column: min, max (text: of its bytes, cut to 200 characters), … by enum measure; not QUANTILES and TOP. */
void phrase_measure(const struct phrases *p, enum measure measure, const char *name, enum value_class of,
                    struct strbuf *out);
/* The values at these ranks (from 1) of the column's order: rank, value. */
void phrase_ranks(const struct subject *on, const char *name, const uint64_t *ranks, size_t count,
                  struct strbuf *out);
/* The most frequent values: value, row_count; at most `limit`. */
void phrase_top(const struct subject *on, const char *name, enum value_class of, int64_t limit,
                struct strbuf *out);
/* Random rows: these columns, each row with this probability, at most `limit`. */
void phrase_sample(const struct subject *on, char *const *columns, size_t column_count, double probability,
                   int64_t limit, struct strbuf *out);
/* A value of a key, from its text as the source prints it. */
void phrase_key_value(const struct phrases *p, enum value_class of, const char *text, struct strbuf *out);
/* " FROM (SELECT * FROM … WHERE (…)) AS c" */
void phrase_from(const struct subject *on, struct strbuf *out);
/* A user's query, bounded: its rows in its order, at most `limit`. */
void phrase_limited(const struct phrases *p, const char *query, int64_t limit, struct strbuf *out);
/* SELECT count(*) of a user's query. */
void phrase_count(const char *query, struct strbuf *out);

/* The condition that a row fulfils which breaks the check. Not for UNIQUE and REFERENCES. False: the check does not go with what
 * the column holds. */
bool phrase_breach(const struct subject *on, const struct data_check *check, enum value_class of,
                   struct strbuf *out, struct err *err) MUST_CHECK;
/* One entry of the scan's SELECT list: how many rows break the check (UNIQUE: how many are surplus). Not for REFERENCES. */
bool phrase_breach_count(const struct subject *on, const struct data_check *check,
                         const enum value_class *classes, struct strbuf *out, struct err *err) MUST_CHECK;
/* Some rows that break it: key columns, then the check's; at most `limit`. UNIQUE: its columns and how often they are there. */
bool phrase_offenders(const struct subject *on, const struct data_check *check,
                      const enum value_class *classes, char *const *keys, size_t key_count,
                      const char *parent_from, int limit, struct strbuf *out, struct err *err) MUST_CHECK;
/* REFERENCES: SELECT count(*), count(orphans). parent_from: "ONLY s.p AS t". */
void phrase_orphan_count(const struct subject *on, const struct data_check *check, const char *parent_from,
                         struct strbuf *out);

/* "not_null", "length 1..255", "references public.orders (id)": for reports. malloc'd. */
char *data_check_text(const struct data_check *check);

#endif
