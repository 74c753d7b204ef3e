/* What the plan (write_plan.c, write_fit.c) needs of the functions that write values (write_value.c). */
#ifndef PG_TYPES_WRITE_INTERNAL_H
#define PG_TYPES_WRITE_INTERNAL_H

#include "internal.h"
#include "pg/types/write.h"

/* How a field is encoded, as its phys and semantic say. */
struct encoding {
    enum phys phys;
    const char *semantic;
    uint32_t oid;      /* the type that is meant when source_type does not say; 0 = the text of any type */
    pg_write_fn *text; /* text form of such a datum */
};
/* NULL: not an encoding of the exact profile. */
const struct encoding *encoding_find(enum phys phys, const char *semantic);
/* How the field's values become those of the exact profile, as *ret_exact then says (its strings are f's, or
 * static); NULL: they are. */
pg_adapt_fn *debezium_adapter(const struct field *f, struct field *ret_exact);
/* foreign_write.c: the same for fields that Debezium's connectors wrote, which depends on the target's type as well. */
pg_adapt_fn *foreign_adapter(const struct field *f, const struct pg_type *base, struct field *ret_exact);
/* May its text go into this type, though it is not known to be of it? The server judges each value. exact: as adapted. */
bool foreign_text_fits(const struct field *f, const struct field *exact, const struct pg_type *base);
/* True: it is a text that only the server can read as one of this type. */
bool foreign_needs_server(const struct field *exact, const struct pg_type *base);
/* back_write.c: the same three of a field that MariaDB has for this very column of PostgreSQL; else as foreign_write.c has it. */
pg_adapt_fn *back_adapter(const struct field *f, const struct pg_type *base, struct field *ret_exact);
bool back_fits(const struct field *exact, const struct pg_type *base, int32_t typmod);
bool back_needs_server(const struct field *exact, const struct pg_type *base);
/* json_array.c: appends PostgreSQL's text of an array that is JSON (or that text already). ERR_DATA: it is none. */
bool array_from_json(const struct datum *value, char delimiter, struct strbuf *out, struct err *err);
/* Writes a datum that is encoded like this into a column of this type (domains resolved); NULL: only as text.
 */
pg_write_fn *binary_writer(const struct encoding *enc, const struct pg_type *target);
/* As the plain text writer, but refuses bytes above 127 of a "char": see write_plan.c. */
bool write_text_without_escapes(const struct pg_column_writer *w, const struct datum *value,
                                struct strbuf *out, struct err *err);

/* One question: can values of `source` be kept exactly by `target`? Modifiers are pg_attribute.atttypmod's.
 */
struct fit {
    const struct pg_type *source;
    int32_t source_typmod;
    const struct pg_type *target; /* domains resolved */
    int32_t target_typmod;
    bool in_array;    /* values go through the text of an array */
    char reason[200]; /* set when the answer is no */
};
bool types_fit(struct fit *f);
/* Modifier that a field's source_length and source_scale stand for. */
int32_t source_typmod(const struct pg_type *type, int32_t length, int32_t scale);
/* INTERVAL_UNKNOWN_RANGE: fields are restricted, the journal does not say to which. */
#define INTERVAL_UNKNOWN_RANGE 0xffff
/* "numeric(12,2)", "int4[]" */
void types_print(const struct pg_type *type, int32_t typmod, char *out, size_t size);
/* text and varchar without a limit: keep the text form of anything. */
bool takes_any_text(const struct pg_type *target, int32_t typmod);

#endif
