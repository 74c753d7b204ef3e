/*
 * Does a target table fit? What prepare.c, prepare_columns.c and prepare_keys.c share. information_schema is read once per version of a
 * table, for MD_PREPARE_TABLES of them at once: each is a SELECT of its own in one UNION, since the server finds a table's entry
 * without a look at all others only where both names are given as constants. Private to these files.
 */
#ifndef TARGET_MARIADB_PREPARE_H
#define TARGET_MARIADB_PREPARE_H

#include "mariadb.h"

/* Tables that are asked about together. Fields of theirs are numbered: those of tabs[i] from first[i] on. */
struct md_part {
    struct md_table *tabs[MD_PREPARE_TABLES];
    size_t first[MD_PREPARE_TABLES + 1];
    size_t count;
    bool *seen, *json; /* by field: the target has the column; it is checked to be JSON */
};

/* What is selected, from where, and which columns hold the names. */
struct md_question {
    const char *select, *schema_column, *table_column, *also, *order;
};

/* Asks it of each table of the part. The number of the table is the first cell of each row, and rows come in its order. */
bool md_query_catalog(struct md_target *mt, const struct md_part *part, const struct md_question *q,
                      struct md_rows *ret, struct err *err) MUST_CHECK;
/* Of which of the part's tables this row is. */
size_t md_part_number(const struct md_part *part, const struct md_rows *rows);
/* ERR_SCHEMA with the table's name, what is wrong and, unless NULL, with what. False. */
bool md_schema_err(const struct md_table *tab, struct err *err, const char *what, const char *name);

/* prepare_columns.c: the columns of each table that take the fields of the source, in their order; each field has one. */
bool md_read_columns(struct md_target *mt, const struct md_part *part, struct err *err) MUST_CHECK;
/* prepare_keys.c: the key's columns, behind md_read_columns(), the unique index on them, and by what writers share a table. */
bool md_find_keys(struct md_target *mt, const struct md_part *part, struct err *err) MUST_CHECK;

#endif
