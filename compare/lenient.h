/*
 * What counts as equal although its bytes differ: numbers within compare.tolerance, JSON documents under compare.json: canonical. Digests
 * know nothing of it: rows whose hashes differ are fetched by their key, and judged here. Private to this module.
 * @thread any
 */
#ifndef COMPARE_LENIENT_H
#define COMPARE_LENIENT_H

#include "config/config.h"
#include "core/err.h"

enum lenient_kind { LENIENT_NOTHING = 0, LENIENT_NUMBER, LENIENT_JSON };

/* Of a column. */
struct lenient {
    enum lenient_kind kind;
    char *absolute,
        *relative; /* numbers: decimals, as decimal_canonical() makes them; NULL = no such bound */
};

struct plan;
struct catalog;
/* Finds the columns of the plan that the configuration names. False: it names one that the source has not, or a value does not read. */
bool lenient_plan(const struct config *cfg, const struct catalog *source, struct plan *plan,
                  struct err *err) MUST_CHECK;
/* Texts that are not the same; neither is null. */
bool lenient_same(const struct lenient *lenient, const char *a, const char *b);
void lenient_release(struct lenient *lenient);

#endif
