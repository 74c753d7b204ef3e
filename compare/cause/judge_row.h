/* From a row's values on both sides and in the journal to facts. No I/O. Private to cause/. */
#ifndef COMPARE_CAUSE_JUDGE_ROW_H
#define COMPARE_CAUSE_JUDGE_ROW_H

#include "compare/cause/facts.h"
#include "compare/cause/values.h"

/* Fills what the facts say of records. facts->kind is set. *ret_earlier: which image the target has; 0 = none. */
void judge_records(const struct values *v, size_t row, const struct wanted_row *wanted,
                   struct cause_facts *facts, size_t *ret_earlier);
/* A column that differs has the text of an unchanged value on the target. */
bool judge_placeholder(const struct values *v, size_t row);

#endif
