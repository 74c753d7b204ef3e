/* What a dialect implements of catalog.h, and what it builds with. */
#ifndef COMPARE_CATALOG_IMPL_H
#define COMPARE_CATALOG_IMPL_H

#include "catalog.h"

struct catalog_ops {
    bool (*read)(struct session *s, struct catalog *cat, struct err *err) MUST_CHECK; /* adds to *cat */
    char *(*named)(const struct cat_table *table);                                    /* see catalog_named */
    bool (*read_partitions)(struct session *s, struct catalog *cat,
                            struct err *err) MUST_CHECK; /* NULL = there are none */
    const char *rewritten_sql;
};

extern const struct catalog_ops catalog_postgres, catalog_mariadb;

struct cat_table *catalog_add_table(struct catalog *cat);
/* To read them anew. */
void catalog_drop_tables(struct catalog *cat);
struct cat_column *cat_table_add_column(struct cat_table *t);
/* first: begins another key. */
void cat_table_add_key_column(struct cat_table *t, bool first, const char *name);

#endif
