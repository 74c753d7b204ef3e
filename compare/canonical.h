/*
 * Canonical forms: SQL that turns a column into something whose bytes are equal on both sides exactly when
 * the values are. Most built-in types go as they are (their binary send form is exact and stable across
 * versions); what has object ids, NaN bits or flags in its binary form goes as text, which is exact under the
 * settings of session.c. No I/O. Private to this module.
 */
#ifndef COMPARE_CANONICAL_H
#define COMPARE_CANONICAL_H

#include "catalog.h"

/* ret_form[source, target]: SQL over alias t, malloc'd. *ret_note: what a reader should know of it
 * (malloc'd), or left as it is. */
void canonical_forms(const struct cat_column *source, const struct cat_column *target, char *ret_form[2],
                     char **ret_note);
/* The rule of these forms in words, "numeric: as numbers"; malloc'd. */
char *canonical_rule(const struct cat_column *source, const struct cat_column *target);
/* Both sides put values of this column into the same order. */
bool canonical_sorts_alike(const struct cat_column *source, const struct cat_column *target);

#endif
