/* Private to the foreign decoder: see foreign_table.c. */
#ifndef CHANGE_FOREIGN_TABLE_H
#define CHANGE_FOREIGN_TABLE_H

#include "change/foreign_internal.h"

/* A table of these names (taken over), with the columns of `from` and the key of `key` (NULL = none). wire_names: of
 * the columns, as the value's schema has them. NULL with ERR_PROTOCOL: the key has another column. */
struct table_schema *foreign_table_make(const struct table_schema *from, const char *const *wire_names,
                                        const struct foreign_schema *key, bool mysql, char *schema,
                                        char *table, struct err *err);

/* A column of a table that our own capture read from MariaDB (table_schema.mariadb), as its schema's text has it: from here on it is
 * like one that Debezium wrote. */
void foreign_field_of_ours(struct field *f);

#endif
