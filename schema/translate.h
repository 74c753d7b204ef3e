/*
 * Expressions of PostgreSQL on MariaDB, where they certainly mean the same there: constants and the current time as defaults;
 * comparisons of columns with constants as checks. Everything else is refused, and reported to a person. Pure.
 * Private to this module.
 * @thread any
 */
#ifndef SCHEMA_TRANSLATE_H
#define SCHEMA_TRANSLATE_H

#include "model.h"

/* What follows DEFAULT. False = not certain; *out is then untouched. */
bool translate_default(const struct sch_column *c, struct strbuf *out) MUST_CHECK;
/* def: as pg_get_constraintdef() gives it. What follows CHECK, with its parentheses. */
bool translate_check(const struct sch_table *t, const char *def, struct strbuf *out) MUST_CHECK;

#endif
