/* What parity.c and parity_read.c share. Private to them. */
#ifndef SCHEMA_PARITY_INTERNAL_H
#define SCHEMA_PARITY_INTERNAL_H

#include "core/strbuf.h"
#include "parity.h"

/* A column that is called otherwise on the target. */
struct parity_rename {
    char *table; /* as regclass writes it */
    char *from, *to;
};

/* What the configuration says of the pipeline's tables, as parameters of schemas/sql/catalog_parity.sql. */
struct parity_scope {
    struct strbuf schemas, tables;            /* as published */
    struct strbuf gone_tables, gone_columns;  /* left out, oid and name */
    struct strbuf lost_classes, lost_objects; /* need what is left out */
    struct parity_rename *renames;
    size_t rename_count;
};

bool parity_scope_read(const struct config *cfg, struct pg_conn *source, struct parity_scope *ret,
                       struct err *err) MUST_CHECK;
void parity_scope_release(struct parity_scope *scope);
/* Rows of kind, name, definition (schema/definition.c), and the table that it belongs to ("" = none). */
bool parity_read_source(struct pg_conn *source, const struct parity_scope *scope, struct pg_result **ret,
                        struct err *err) MUST_CHECK;
bool parity_read_target(struct pg_conn *target, const struct parity_scope *scope, struct pg_result **ret,
                        struct err *err) MUST_CHECK;

#endif
