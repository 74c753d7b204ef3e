/*
 * The shape of a table's rows: a table_schema and how each column is read, made of a TABLE_MAP event and, for what that leaves out, of the
 * catalog.
 * @thread: one owner at a time.
 */
#ifndef MARIA_BINLOG_SHAPE_H
#define MARIA_BINLOG_SHAPE_H

#include "change/table.h"
#include "maria/binlog/catalog.h"
#include "maria/binlog/value.h"

struct shape_options {
    const char *topic_prefix;
    bool zero_date_null;
};

struct shape {
    struct table_schema *schema;
    struct value_plan *plans; /* schema->field_count */
};

/* Whether the event by itself does not tell all: names (binlog_row_metadata is not FULL), or what 4 or 16 fixed bytes are (INET4; UUID,
 * INET6, or plainly BINARY). */
bool shape_needs_catalog(const struct table_map *map);
/* cat: NULL where it is not needed. ERR_SCHEMA: the catalog's table is another one (it was altered since); ERR_UNSUPPORTED: a character set
 * that is not read. */
bool shape_make(const struct table_map *map, const struct catalog_table *cat, struct charsets *sets,
                const struct shape_options *options, struct shape *ret, struct err *err) MUST_CHECK;
/* The same of a table as the catalog has it, without an event (shape_catalog.c): its rows are read by SELECT. */
bool shape_of_catalog(const char *database, const char *table, const struct catalog_table *cat,
                      struct charsets *sets, const struct shape_options *options, struct shape *ret,
                      struct err *err) MUST_CHECK;
/* What a TABLE_MAP event would say of the column, but for names, signs and character sets. ERR_UNSUPPORTED: a type that is not read. */
bool shape_column_of(const struct catalog_column *cat, struct map_column *ret, struct err *err) MUST_CHECK;
/* The schema goes to the caller's keeping if keep_schema. */
void shape_release(struct shape *shape, bool keep_schema);
/* The labels in "enum('a','b''c')" of the catalog, malloc'd each; -1 = it is none. */
int shape_parse_labels(const char *column_type, char ***ret);

#endif
