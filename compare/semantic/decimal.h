/*
 * Decimal numbers of any length, exactly: what numeric, float and integer columns print. No I/O, no rounding.
 * Private to this module.
 */
#ifndef COMPARE_SEMANTIC_DECIMAL_H
#define COMPARE_SEMANTIC_DECIMAL_H

#include <stdbool.h>

#include "core/strbuf.h"

/* Adds the one form that equal numbers share ("0", "-15e-1"), or returns false: the text is not a number (NaN, infinity,
 * more than 20,000 digits). */
bool decimal_canonical(const char *text, struct strbuf *out);
/* a < b: -1, 0, 1. All texts below are of decimal_canonical. */
int decimal_compare(const char *a, const char *b);
/* |a - b| <= absolute, or |a - b| <= relative × max(|a|, |b|). NULL = no such tolerance. */
bool decimal_within(const char *a, const char *b, const char *absolute, const char *relative);
/* sum / count, rounded half away from zero to `places` digits behind the point; plain notation. False: not numbers, or count is 0. */
bool decimal_quotient(const char *sum, const char *count, int places, struct strbuf *out);

#endif
