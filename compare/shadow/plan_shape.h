/* The shape of a plan: node types, tables, indexes and their order, without costs and estimates. Private to compare. @thread any */
#ifndef COMPARE_SHADOW_PLAN_SHAPE_H
#define COMPARE_SHADOW_PLAN_SHAPE_H

/* From EXPLAIN (FORMAT JSON): "Nested Loop(Seq Scan on a, Index Scan on b using b_pkey)". malloc'd; NULL if it does not read. */
char *plan_shape(const char *explained);

#endif
