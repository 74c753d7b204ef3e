/* Builds and frees struct compare_result and its parts. Private to this module. */
#ifndef COMPARE_MODEL_H
#define COMPARE_MODEL_H

#include "compare/compare.h"

/* fmt makes the note. */
void table_add_note(struct compare_table *table, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A column that was not compared, and a note that says so. fmt: why. */
void table_leave_out(struct compare_table *table, const char *column, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Takes over `rule`. */
void table_add_rule(struct compare_table *table, const char *column, char *rule);
/* fmt: what else the rule of this column says, behind a semicolon. */
void table_extend_rule(struct compare_table *table, const char *column, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Sets verdict and reason, unless the table already has a graver one (FAIL, then INCONCLUSIVE, then PASS). */
void table_conclude(struct compare_table *table, enum compare_verdict verdict, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Takes over what *diff owns. */
void table_add_difference(struct compare_table *table, struct compare_difference *diff);
void table_drop_differences(struct compare_table *table);
void difference_release(struct compare_difference *diff);
void table_release(struct compare_table *table);

/* Copies of source and target (NULL = null), shortened around their first difference. */
void difference_add_column(struct compare_difference *diff, const char *name, const char *source,
                           const char *target);
void difference_add_key(struct compare_difference *diff, const char *name, const char *source,
                        const char *target);

/* Takes over what *diff owns: the first 100 are listed, all are counted. */
void check_add_difference(struct compare_check *check, struct compare_difference *diff);
/* A row that breaks a rule; takes over what *row owns. */
void check_add_offender(struct compare_check *check, int side, struct compare_difference *row);
/* Sets state and reason, unless the check already has a graver one (FAIL, INCONCLUSIVE, FINDING, PASS). */
void check_conclude(struct compare_check *check, enum check_state state, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void check_release(struct compare_check *check);

/* Sums up the tables and checks; sorts them by name. */
void result_sum_up(struct compare_result *result);

#endif
