/*
 * What counts as equal although its bytes differ: numbers within compare.tolerance, JSON documents under compare.json: canonical, texts under
 * compare.unicode and compare.text. Digests know nothing of it: rows whose hashes differ are fetched by their key, and judged here; what only
 * a server can say of texts, collated.h asks. Private to this module.
 * @thread any
 */
#ifndef COMPARE_LENIENT_H
#define COMPARE_LENIENT_H

#include "config/config.h"
#include "core/err.h"

enum lenient_kind { LENIENT_NOTHING = 0, LENIENT_NUMBER, LENIENT_JSON, LENIENT_TEXT };

/* Of a column. */
struct lenient {
    enum lenient_kind kind;
    char *absolute,
        *relative; /* numbers: decimals, as decimal_canonical() makes them; NULL = no such bound */
    bool nfc;      /* texts: those with the same NFC */
    bool collated; /* texts: those that the column's collation takes for equal (plan_column.collation) */
};

struct plan;
struct plan_column;
struct catalog;
struct table_rules;
/* cat: the source's; moved: how it is moved, under which names. Finds the columns of the plan that the configuration names, and says in each one's rule what counts as equal. False: it names one that
 * the source has not, or a value does not read. Implemented in lenient_plan.c. */
bool lenient_plan(const struct config *cfg, const struct catalog *cat, const struct table_rules *moved,
                  struct plan *plan, struct err *err) MUST_CHECK;
/* Reads "1e-9", "0.01 relative". */
bool lenient_read_tolerance(const char *text, struct lenient *ret);
/* Texts that are not the same; neither is null. What a collation says is not asked here. */
bool lenient_same(const struct lenient *lenient, const char *a, const char *b);
void lenient_release(struct lenient *lenient);

#endif
