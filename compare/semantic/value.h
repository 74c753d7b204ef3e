/*
 * When two values of a result are equal although two engines print them: docs/COMPARE.md, "Values of query pairs". Pure.
 * Private to this module.
 */
#ifndef COMPARE_SEMANTIC_VALUE_H
#define COMPARE_SEMANTIC_VALUE_H

#include <stdbool.h>

#include "config/semantic_rules.h"
#include "core/strbuf.h"

/* What a column of a result holds. */
enum value_class {
    VALUE_TEXT = 0,
    VALUE_NUMBER, /* integer, numeric */
    VALUE_FLOAT,  /* double precision */
    VALUE_SINGLE, /* single precision: engines print it with six digits at least */
    VALUE_BOOL,
    VALUE_TIME,  /* date, timestamp, time of day; the session is in UTC */
    VALUE_CHAR,  /* padded with blanks that mean nothing */
    VALUE_BYTES, /* "\x6162" */
    VALUE_OTHER  /* json, arrays, intervals …: every engine prints them in its own way */
};

/* How the values of two columns are compared. */
enum value_mode { MODE_TEXT = 0, MODE_NUMBER, MODE_FLOAT, MODE_SINGLE, MODE_TIME, MODE_CHAR };

enum value_mode value_mode_of(enum value_class a, enum value_class b);
/* Adds the form that equal values share. */
void value_canonical(enum value_mode mode, enum value_class of, const char *text, struct strbuf *out);
/* Sizes of it can be told: a tolerance may apply. */
bool value_mode_measures(enum value_mode mode);
/* Order of canonical values: numbers and times by size, the rest by bytes. */
int value_compare(enum value_mode mode, const char *a, const char *b);
/* Of canonical values. A tolerance counts in numbers and, as seconds, in times. NULL equals only NULL. */
bool value_equal(enum value_mode mode, const char *a, const char *b, const struct tolerance *tolerance);

#endif
