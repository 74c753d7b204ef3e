/*
 * Tables that the application writes on both sides (apply.conflicts; target/conflicts.h says what a conflict is): before a table's
 * changes are written, the states that they take each row through are shown to the target, and changes of rows that
 * are not to be written leave the batch. Tables without a rule cost a look at a pointer.
 */
#ifndef APPLY_DUAL_WRITE_H
#define APPLY_DUAL_WRITE_H

#include "apply/collapse.h"
#include "apply/tables.h"
#include "target/conflicts.h"

/* items: of one table and schema, in order; those that stay are moved to the front, *count says how many. Rows may have been
 * completed from what the batch knows. */
bool dual_write_check(struct arena *arena, struct table_map *tables, struct target *tgt, struct item *items,
                      size_t *count, struct conflict_counts *ret, struct err *err) MUST_CHECK;

#endif
