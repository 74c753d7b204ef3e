/* Edge values of every type, for `compare selftest`. Private to this module. */
#ifndef COMPARE_SELFTEST_VALUES_H
#define COMPARE_SELFTEST_VALUES_H

#include <stddef.h>
#include <stdint.h>

struct selftest_value {
    const char *source; /* PostgreSQL's text of it */
    const char *target; /* what apply puts there, as an expression of MariaDB; NULL = the same text */
};

/* A type of PostgreSQL in a type of MariaDB. All values of one are different ones. */
struct selftest_case {
    uint32_t oid;
    const char *source, *target;
    const struct selftest_value *values; /* ends with source NULL */
};

extern const struct selftest_case selftest_cases[];
extern const size_t selftest_case_count;

#endif
