/*
 * Canonical texts of a column of PostgreSQL and of the column of MariaDB that apply fills from it: SQL for each side whose
 * text (UTF-8, or null) is the same on both exactly when the target has what apply makes of the source's value
 * (lib/target/mariadb, docs/TYPES.md). Where the column cannot hold a value, `target.unfit` says what is expected in its place.
 * Pure. Private to this module.
 *
 * The sessions they count on: PostgreSQL as pg_open() sets it (UTC, ISO dates, lc_monetary C, extra_float_digits 1), text in the
 * client's UTF-8; MariaDB in utf8mb4, time_zone '+00:00', without PAD_CHAR_TO_FULL_LENGTH.
 * @thread any
 */
#ifndef COMPARE_CANONICAL_MARIADB_H
#define COMPARE_CANONICAL_MARIADB_H

#include "catalog.h"
#include "mariadb_type.h"
#include "target/target.h"

struct canonical {
    char *form[2];  /* source, target: SQL over alias t */
    char *shown[2]; /* the same for a reader's eye, where the form is not one; NULL = the form */
    char *rule;     /* "numeric to decimal(12,4): as numbers, zeros at the end do not count" */
    char *note;     /* what this form does not tell apart; NULL = nothing */
};

/* False: apply would not carry this type into that column (*ret_reason, malloc'd, says so), and nothing is to be compared. */
bool canonical_forms_mariadb(const struct cat_column *source, const struct mariadb_column *target,
                             enum target_unfit unfit, struct canonical *ret, char **ret_reason) MUST_CHECK;
void canonical_release(struct canonical *canonical);
/* Both servers' indexes put values of this column into the same order. */
bool canonical_sorts_alike_mariadb(const struct cat_column *source, const struct mariadb_column *target);

#endif
