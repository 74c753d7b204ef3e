/* Comparing without an order of keys: rows fall into buckets by their own hash. Private to this module. */
#ifndef COMPARE_BUCKETS_H
#define COMPARE_BUCKETS_H

#include "engine.h"

/* Compares the whole table and adds what it finds. Works for tables without key too: as a set of rows with
 * counts. */
bool buckets_compare(struct engine *engine, struct pair *pair, struct plan_table *pt,
                     struct err *err) MUST_CHECK;

#endif
