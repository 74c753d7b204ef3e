/*
 * What a database says of its tables: columns, types, collations, unique keys. Read inside the caller's
 * transaction, so that it belongs to the same snapshot as the rows. Private to this module.
 */
#ifndef COMPARE_CATALOG_H
#define COMPARE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"
#include "target/target.h"

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
    bool lax;        /* its `=` may take two texts for one: case, accents, blanks at the end */
    bool lax_type;   /* PostgreSQL: that is not the collation's doing but the type's (citext) */
    char *collation_named; /* PostgreSQL: "schema.name", quoted; NULL = none */
    char *latest; /* MariaDB: of a timestamp, the last second that the server keeps; NULL = another type */
    bool
        json; /* MariaDB: a longtext with the check json_valid(), its type json. `type` is COLUMN_TYPE, `collation` COLLATION_NAME */
};

struct cat_key {
    char **columns;
    size_t column_count;
};

struct cat_table {
    uint32_t oid;        /* 0 on MariaDB */
    char *schema, *name; /* schema: MariaDB's database */
    bool partitioned;
    bool logged;
    char *engine; /* MariaDB: one without snapshots; NULL = it has them */
    char *
        storage; /* MariaDB: another one when it is altered or made anew; NULL = so lately that the next time might look the same */
    bool published; /* see catalog_mark_published */
    int64_t rows_estimate;
    struct cat_column *columns;
    size_t column_count;
    struct cat_key *keys; /* unique, all columns NOT NULL; primary key first, then replica identity */
    size_t key_count;
};

/* A leaf of a partitioned table. */
struct cat_partition {
    uint32_t oid, root;
    char *schema, *name;
    char *bound;      /* "FOR VALUES FROM (…) TO (…)" */
    char *constraint; /* of all its rows, as SQL over the table's columns */
    int64_t rows_estimate;
};

struct catalog {
    enum dialect_kind dialect;
    char *database; /* the session's */
    bool
        caseless; /* MariaDB with lower_case_table_names: names of tables and databases are told apart without their case */
    bool utf8; /* PostgreSQL: the database's encoding */
    /* MariaDB: what apply does with values that a column cannot hold; the caller's, NULL = it refuses them */
    const struct target_unfit_rules *unfit;
    struct cat_table *tables; /* PostgreSQL: by oid */
    size_t table_count;
    struct cat_table **by_name;       /* catalog_index(): tables by name without its case */
    struct cat_partition *partitions; /* PostgreSQL, when asked for: by root and name */
    size_t partition_count;
};

/* Ordinary and partitioned tables (partitions belong to their root), without system schemas and crossfade's.
 */
bool catalog_read(struct session *conn, struct catalog *ret, struct err *err) MUST_CHECK;
void catalog_release(struct catalog *cat);
/* Sets `published` of the tables in this publication; *ret_exists = there is such a publication. */
bool catalog_mark_published(struct session *conn, const char *publication, struct catalog *cat,
                            bool *ret_exists, struct err *err) MUST_CHECK;

/* For catalog_find() and catalog_find_like(); catalog_read() has done it. Once, when all tables are there; catalog_release() frees it. */
void catalog_index(struct catalog *cat);
/* schema: as PostgreSQL names it; on MariaDB `public` is the URL's database. */
struct cat_table *catalog_find(const struct catalog *cat, const char *schema, const char *name);
/* …, the other way. */
const char *catalog_schema_of(const struct catalog *cat, const struct cat_table *table);
/* The table that these names of `other` mean here, by other's rule for upper and lower case; NULL = none. */
struct cat_table *catalog_find_like(const struct catalog *cat, const struct catalog *other,
                                    const char *schema, const char *name);
/* Do these names of tables or databases mean the same one there? */
bool catalog_same_name(const struct catalog *cat, const char *a, const char *b);
/* All leaves of partitioned tables; none on MariaDB. */
bool catalog_read_partitions(struct session *conn, struct catalog *cat, struct err *err) MUST_CHECK;
/* To stand behind FROM: "ONLY s.t"; malloc'd. */
char *catalog_named(const struct catalog *cat, const struct cat_table *table);
/* …, as alias t. */
char *catalog_from(const struct catalog *cat, const struct cat_table *table);
/* $1 = oid, $2 = is it a tree: whether the rows of the snapshot are still there (true = they may be gone). */
const char *catalog_rewritten_sql(enum dialect_kind dialect);
const struct cat_column *cat_table_column(const struct cat_table *table, const char *name); /* NULL = none */

#endif
