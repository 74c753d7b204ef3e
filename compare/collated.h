/*
 * Texts that are not the same, and that a column's collation takes for equal all the same: case, accents, blanks at the end. Only the server
 * that has the collation can tell; it is asked about the very texts. Private to this module.
 */
#ifndef COMPARE_COLLATED_H
#define COMPARE_COLLATED_H

#include "catalog.h"

/* A collation that takes different texts for equal. Zeroed: there is none. */
struct collation {
    enum side side; /* whose it is: that session is asked */
    enum dialect_kind dialect;
    char *name;        /* for a reader: "utf8mb4_general_ci", "public.loose", "citext"; NULL = none */
    char *head, *tail; /* around a literal: what is compared and sorted */
    bool narrow;       /* its character set does not hold all of Unicode */
};

/* A column of texts, which a collation compares. */
bool collated_is_text(enum dialect_kind dialect, const struct cat_column *column);
/* The collation that has a say on a pair of columns: the target's if it takes different texts for equal, else the source's if that
 * does, else none. The caller's to release. */
struct collation collated_of(const enum dialect_kind dialects[SIDE_COUNT], const struct cat_column *source,
                             const struct cat_column *target);
void collation_release(struct collation *collation);

/* Two texts, and whether the collation takes them for equal (out). */
struct collated_pair {
    const struct collation *by;
    char *a, *b;
    bool same;
};
/* Asks for all of them. @thread owner of the pair */
bool collated_ask(struct pair *pair, struct collated_pair *pairs, size_t count, struct err *err) MUST_CHECK;
/* ret_ranks[i]: texts that are equal by the collation have the same number. All in one statement: the caller bounds them. */
bool collated_ranks(struct pair *pair, const struct collation *by, char *const *texts, size_t count,
                    int64_t *ret_ranks, struct err *err) MUST_CHECK;

#endif
