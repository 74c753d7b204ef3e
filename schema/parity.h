/*
 * Whether the target has what belongs to the pipeline's tables on the source, and has it alike: tables and partitions with their columns, indexes, constraints,
 * triggers and whether they are enabled, rules, policies; views, functions and types of the same schemas; extensions. PostgreSQL on both sides. Reads catalogs
 * only, a few statements a side, however many tables there are.
 */
#ifndef SCHEMA_PARITY_H
#define SCHEMA_PARITY_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "core/err.h"
#include "pg/conn.h"

struct schema_parity;

struct parity_difference {
    const char *kind,
        *name; /* "table constraint", "orders_pkey on public.orders": as pg_identify_object() says */
    const char *why;
};

/* Both sides have to be outside of a transaction. What source.filters leave out or rename, what schema.exclude and cutover.schema_ignore name, is no difference. */
bool schema_parity_read(const struct config *cfg, struct pg_conn *source, struct pg_conn *target,
                        struct schema_parity **ret, struct err *err) MUST_CHECK;
void schema_parity_free(struct schema_parity *parity);            /* NULL allowed */
size_t schema_parity_objects(const struct schema_parity *parity); /* of the source, that were looked for */
size_t
schema_parity_ignored(const struct schema_parity *parity); /* differences that the configuration allows */
size_t schema_parity_differences(const struct schema_parity *parity); /* all there are */
/* The i-th; NULL beyond those that are kept (1000). */
const struct parity_difference *schema_parity_difference(const struct schema_parity *parity, size_t i);

/* A digest of the same definitions on the source: another one, another schema. malloc'd. Outside of a transaction. */
bool schema_fingerprint(const struct config *cfg, struct pg_conn *source, char **ret,
                        struct err *err) MUST_CHECK;

#endif
