/*
 * Rules: what each type of PostgreSQL becomes on MariaDB. One table drives the translation, the plan and docs/SCHEMA.md. Pure.
 * Private to this module, but for the document.
 * @thread any
 */
#ifndef SCHEMA_RULES_H
#define SCHEMA_RULES_H

#include "core/strbuf.h"
#include "model.h"

/* InnoDB's and the server's limits. */
#define MARIA_KEY_BYTES      3072
#define MARIA_ROW_BYTES      65535
#define MARIA_VARCHAR_CHARS  16383 /* of four bytes */
#define MARIA_CHAR_CHARS     255
#define MARIA_DECIMAL_DIGITS 65
#define MARIA_DECIMAL_SCALE  38
#define MARIA_BIT_BITS       64

/* Fills *ret for a column on MariaDB, as far as the column alone decides. Texts belong to the model or are constant. */
void rules_mariadb(struct schema_model *model, const struct sch_column *c, struct mapping *ret);
/* Bytes that a column of this type counts for in a key; 0 = it cannot be part of a key without a prefix (or is not known: a
 * type that a person chose may be anything, and counts as nothing). */
size_t rules_mariadb_key_bytes(const char *type);
/* Bytes that it counts for in the row's limit. */
size_t rules_mariadb_row_bytes(const char *type);
/* Its values are too long for a key: longtext, longblob, json … */
bool rules_mariadb_is_long(const char *type);

/* The rule table as Markdown. */
void rules_markdown(struct strbuf *out);

#endif
