/* Columns of PostgreSQL and of MariaDB that are compared with each other (canonical_mariadb.h). Pure. Private to this module. */
#ifndef COMPARE_MARIADB_PAIRING_H
#define COMPARE_MARIADB_PAIRING_H

#include "canonical_mariadb.h"
#include "plan.h"

/* False: apply would not carry this; *ret_reason (malloc'd) says so. */
bool mariadb_pair(const struct cat_column *source, const struct cat_column *target, enum target_unfit unfit,
                  struct canonical *ret, char **ret_reason) MUST_CHECK;
enum maria_kind mariadb_kind(const struct cat_column *target);
/* Values of it may be longer than `bytes`. */
bool mariadb_may_be_longer(const struct cat_column *target, long long bytes);
/* Fills all of the key but its name. column: the plan's; NULL = it is not compared, and only its text serves. */
void mariadb_pair_key(const struct cat_column *source, const struct cat_column *target,
                      const struct plan_column *column, struct plan_key *key);
bool mariadb_sorts_alike(const struct cat_column *source, const struct cat_column *target);

#endif
