/*
 * Keys that one side alone has, and that may be one key all the same: texts that differ in case, accents, blanks at the end or Unicode form.
 * Where compare.text and compare.unicode say that such keys count as equal they are kept until all rows of the table are read, put
 * together, and their rows compared. Where nothing says so they stay a missing and an extra row, of which the report tells what they are.
 * Private to this module.
 */
#ifndef COMPARE_STRAYS_H
#define COMPARE_STRAYS_H

#include "engine.h"
#include "rows.h"

struct strays;

struct strays *strays_new(void);
void strays_free(struct strays *strays); /* NULL allowed */
/* Keeps a key that `side` alone has. False: it is to be told now (nothing is kept of this table, or no more than it is).
 * @locks pt->lock */
bool strays_keep(struct plan_table *pt, enum side side, const struct row_ref *key);
/* Forgets all: the table is read once more. */
void strays_clear(struct strays *strays); /* NULL allowed */
/* Compares the rows of keys that belong together, and tells all others. By the one who finishes the table. */
bool strays_settle(struct engine *engine, struct pair *pair, struct plan_table *pt,
                   struct err *err) MUST_CHECK;
/* Marks missing and extra rows whose keys only look apart (compare_difference.key_alike), and adds a note of them. By the same. */
bool strays_mark(struct pair *pair, struct plan_table *pt, struct err *err) MUST_CHECK;

#endif
