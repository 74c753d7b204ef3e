/*
 * compare.by_partition, --by-partition: partitioned tables are compared whole, as ever, and behind them each of their partitions under the
 * same snapshots, as --partition would. What a partition came to stands in its table's result. Private to this module.
 */
#ifndef COMPARE_BY_PARTITION_H
#define COMPARE_BY_PARTITION_H

#include "engine.h"
#include "plan.h"

/* What the table's verdict is of decides; a partition can only add to it: rows that differ in one make its table FAIL (counts that are
 * equal in the sum), one that could not be compared a note. leaves: plan_make() with scope.each_partition; its results move into `whole`.
 * False if the run was asked to stop. @thread the engine's */
bool by_partition_compare(struct engine *engine, const struct compare_request *req, struct plan *leaves,
                          struct plan *whole, struct err *err) MUST_CHECK;

#endif
