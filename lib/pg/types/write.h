/*
 * Target side: datums become values of PostgreSQL columns, or the plan says why they cannot (promise 5:
 * nothing is ever silently changed).
 *
 * A plan is BINARY (COPY BINARY straight into a column of the target's type) or TEXT (through a staging
 * column of type text, cast where the rows are merged: staging."c"::<cast>). Both come out of pg_write_copy()
 * as COPY BINARY fields; the staging table's column has the type of pg_writer_staging_type(), and
 * pg_writer_cast() is appended where it is read.
 *
 * Accepted: the same type at least as wide; int → wider int, numeric, float that holds it; float4 → float8;
 * varchar(n) → wider varchar, text; any type → text, unlimited varchar (as PostgreSQL's text form); jsonb →
 * json; cidr → inet; bit → varbit; arrays likewise by element; enums → any enum (labels are not looked at
 * here), other user types only to a type of the same name, or its base type where the datums say enough.
 * Everything else is ERR_SCHEMA with the reason.
 *
 * Values come from a journal and are not trusted: what does not parse is ERR_PROTOCOL, what the column would
 * round, pad or cut is ERR_DATA. Messages do not hold the value; the caller wraps table and column around.
 */
#ifndef PG_TYPES_WRITE_H
#define PG_TYPES_WRITE_H

#include "change/table.h"
#include "core/strbuf.h"
#include "pg/types/catalog.h"

enum pg_write_mode { PG_WRITE_UNKNOWN = 0, PG_WRITE_BINARY, PG_WRITE_TEXT };

struct pg_column_writer;
typedef bool pg_write_fn(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                         struct err *err);

/* A value of the debezium profile as the exact one has it; texts are built in `room`. */
typedef bool pg_adapt_fn(const struct pg_column_writer *w, const struct field *f, const struct datum *value,
                         struct strbuf *room, struct datum *ret, struct err *err);

/* Plain data: may be copied. Types belong to the catalog, which must outlive it. */
struct pg_column_writer {
    enum pg_write_mode mode;
    const struct pg_type *target; /* the column's declared type */
    int32_t target_typmod;
    /* The rest is the writer's own. */
    const struct field *field;  /* the plan's, which must outlive it, if adapt is set */
    pg_adapt_fn *adapt;         /* NULL: the field is in the exact profile's form already */
    pg_write_fn *binary;        /* appends the value's bytes without their length */
    pg_write_fn *text;          /* appends the text form */
    const struct pg_type *base; /* target with domains resolved */
    bool interval_marks;        /* the target has infinite intervals */
    char delimiter;             /* of an array's elements */
    int digits;                 /* most digits behind the second, or scale; -1 = any */
    int limit;                  /* characters, precision, or mask of interval fields; -1 = any */
};

/* Can this field be written exactly into a column of this type, and how? `conn` as for pg_type_catalog_get
 * (the target's catalog). ERR_SCHEMA: it cannot; the text names field, source type, target type and the
 * reason. @thread owner of cat */
bool pg_writer_plan(const struct field *field, uint32_t target_oid, int32_t target_typmod,
                    struct pg_type_catalog *cat, struct pg_conn *conn, struct pg_column_writer *ret,
                    struct err *err) MUST_CHECK;
/* The same of a field that capture read from MariaDB, whose column apply has filled from this very column: what it was made of is known
 * then (a DATETIME is UTC, JSON an array), and types of MariaDB that take more than the column fit, since each value is looked at. */
bool pg_writer_plan_back(const struct field *field, uint32_t target_oid, int32_t target_typmod,
                         struct pg_type_catalog *cat, struct pg_conn *conn, struct pg_column_writer *ret,
                         struct err *err) MUST_CHECK;
/* Appends the type that the field's column has on the source, as SQL would write it: for hints. A type that is not built in
 * comes without its schema, and names are in lower case. */
void pg_field_type_print(const struct field *field, struct strbuf *out);
/* Appends one COPY BINARY field: 4-byte length and bytes (-1 for null). DATUM_UNAVAILABLE is ERR_BUG: the
 * caller leaves such columns out. Needs no catalog: @thread any, one at a time per `out`. */
bool pg_write_copy(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                   struct err *err) MUST_CHECK;
/* Appends the bytes that pg_write_copy puts behind the length, alone (BINARY mode only); value is not null.
 */
bool pg_write_binary(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                     struct err *err) MUST_CHECK;
/* Appends the text form that `$text::cast` takes, in either mode (for parameters); value is not null. */
bool pg_write_text(const struct pg_column_writer *w, const struct datum *value, struct strbuf *out,
                   struct err *err) MUST_CHECK;
/* Appends what goes behind `text-expression::` to make the value: "pg_catalog"."_int4". Without modifier, so
 * that a cast never cuts, and with domains resolved: a row that has null there (or nothing yet) must not meet
 * the domain's NOT NULL before it is merged. */
void pg_writer_cast(const struct pg_column_writer *w, struct strbuf *out);
/* Appends the type of the staging column: the target type likewise, or "pg_catalog"."text" in TEXT mode. */
void pg_writer_staging_type(const struct pg_column_writer *w, struct strbuf *out);

#endif
