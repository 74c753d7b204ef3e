/*
 * What can be told of an SQL text without a server, by PostgreSQL's own parser (libpg_query, the grammar of PostgreSQL 15):
 * whether its statements only read, whether the order of their rows is given, what leaves their answer open, and which column each
 * parameter is held against. It saves round trips and names reasons; what a statement may do is the server's to enforce.
 * @thread any; libpg_query keeps its memory per thread.
 */
#ifndef SQLPARSE_SQLPARSE_H
#define SQLPARSE_SQLPARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

#define SQL_FINGERPRINT_MAX 24
#define SQL_PARAMS_MAX      1000
#define SQL_TEXT_MAX        ((size_t)1 << 20)

enum sql_kind {
    SQL_UNKNOWN = 0,
    SQL_READ,
    SQL_WRITE, /* or anything else with an effect that is not a read's */
    SQL_OTHER  /* BEGIN, SET, EXPLAIN, …: neither */
};

/* Why two right servers may answer differently. */
enum sql_open {
    OPEN_ORDER = 1,  /* LIMIT in a subquery, array_agg without ORDER BY, DISTINCT ON, row_number() … */
    OPEN_CLOCK = 2,  /* now() */
    OPEN_SERVER = 4, /* version(), current_user, SHOW */
    OPEN_CHANCE = 8  /* random() */
};

/* What a top-level ORDER BY names: the n-th column of the output, or one by its name; neither: an expression. */
struct sql_order_key {
    int position; /* from 1; 0 = by name */
    char *name;   /* NULL: by position, or it cannot be told */
};

/* LIMIT's or OFFSET's number at the top, as far as it can be told: digits in `text`, or a parameter. */
struct sql_amount {
    bool given;
    size_t at, len; /* len 0: no literal */
    size_t param;   /* n of $n; 0: none */
};

enum sql_param_role {
    PARAM_UNKNOWN = 0,
    PARAM_COLUMN, /* compared with a column: `column` of one of `tables` */
    PARAM_LIMIT,
    PARAM_OFFSET,
    PARAM_VALUE /* alone in the select list: any value will do */
};

struct sql_table_name {
    char *schema; /* NULL = by the search path */
    char *name;
};

struct sql_param {
    enum sql_param_role role;
    bool used;    /* occurs in the text */
    bool array;   /* = ANY ($1) */
    bool range;   /* <, >, BETWEEN */
    bool pattern; /* LIKE */
    char *column;
    struct sql_table_name *tables; /* candidates: the column may be any one's of them */
    size_t table_count;
};

struct sql_statement {
    enum sql_kind kind;
    char *why; /* not SQL_READ: which part of it; malloc'd, short, without values */
    char *text;
    char fingerprint
        [SQL_FINGERPRINT_MAX]; /* the same for texts that differ in constants, blanks and names of aliases */
    bool ordered;              /* ORDER BY at the top */
    bool limited;              /* LIMIT or OFFSET at the top */
    struct sql_amount limit, offset;
    bool catalog;  /* reads the server's own tables, or Crossfade's */
    unsigned open; /* enum sql_open */
    struct sql_order_key *order;
    size_t order_count;
    struct sql_param *params; /* params[0] is $1 */
    size_t param_count;       /* the largest number that occurs */
};

struct sql_script {
    struct sql_statement *statements;
    size_t count;
};

/* All statements of the text. ERR_DATA when it does not parse, or is longer than SQL_TEXT_MAX: the message holds no part of the text. */
bool sql_parse(const char *text, struct sql_script *ret, struct err *err) MUST_CHECK;
void sql_script_release(struct sql_script *script);
void sql_statement_release(struct sql_statement *st);
/* The text in the parser's own words: `date $1`, which no server takes, becomes $1::date. malloc'd; NULL when it cannot be said. */
char *sql_in_own_words(const char *text);
const char *sql_open_text(unsigned open); /* "its order", "the clock" …: the first that holds */

#endif
