/*
 * What Debezium's connectors write for a large value that the source did not send (unavailable.value.placeholder):
 * the text, its bytes, hstore's JSON with it as key and value, hex and base64 of it (binary.handling.mode), arrays of
 * it or of its bytes' numbers. Read off recorded output of 3.1. Pure.
 */
#ifndef CHANGE_FOREIGN_MISSING_H
#define CHANGE_FOREIGN_MISSING_H

#include "change/table.h"

struct missing_forms;

/* placeholder: as the connector is configured, beside its default, which records from before may have; NULL = that alone. */
struct missing_forms *missing_forms_new(const char *placeholder);
void missing_forms_free(struct missing_forms *mf); /* NULL allowed */
/* Values of the row that are one of the forms become DATUM_UNAVAILABLE. image: field_count values; NULL = nothing to do. */
void missing_forms_mark(const struct missing_forms *mf, const struct table_schema *schema,
                        struct datum *image);

#endif
