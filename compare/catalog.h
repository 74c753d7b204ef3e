/*
 * What a database says of its tables: columns, types, collations, unique keys. Read inside the caller's
 * transaction, so that it belongs to the same snapshot as the rows. Private to this module.
 */
#ifndef COMPARE_CATALOG_H
#define COMPARE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cat_column {
    char *name;
    char *type; /* of a domain: its base type; with schema, without modifier: usable in a cast */
    uint32_t type_oid;
    int32_t typmod;
    bool domain;
    bool plain; /* a base type, and not a domain over a domain */
    bool generated;
    bool not_null;
    char *collation; /* what sorts it; equal texts on two servers sort alike. "" = not sorted by a collation;
                        NULL = cannot be told, or equal texts may differ in bytes */
};

struct cat_key {
    char **columns;
    size_t column_count;
};

struct cat_table {
    uint32_t oid;
    char *schema, *name;
    bool partitioned;
    bool logged;
    bool published; /* see catalog_mark_published */
    int64_t rows_estimate;
    struct cat_column *columns;
    size_t column_count;
    struct cat_key *keys; /* unique, all columns NOT NULL; primary key first, then replica identity */
    size_t key_count;
};

struct catalog {
    struct cat_table *tables; /* by oid */
    size_t table_count;
};

/* Ordinary and partitioned tables (partitions belong to their root), without system schemas and crossfade's.
 */
bool catalog_read(struct pg_conn *conn, struct catalog *ret, struct err *err) MUST_CHECK;
void catalog_release(struct catalog *cat);
/* Sets `published` of the tables in this publication; *ret_exists = there is such a publication. */
bool catalog_mark_published(struct pg_conn *conn, const char *publication, struct catalog *cat,
                            bool *ret_exists, struct err *err) MUST_CHECK;

struct cat_table *catalog_find(const struct catalog *cat, const char *schema, const char *name);
const struct cat_column *cat_table_column(const struct cat_table *table, const char *name); /* NULL = none */

#endif
