/* What the files of this dialect share. */
#ifndef COMPARE_MARIADB_H
#define COMPARE_MARIADB_H

#include <stdbool.h>

#include "core/err.h"

struct session;

/* Those of the target that are missing. */
bool mariadb_make_control_tables(struct session *target, struct err *err) MUST_CHECK;

#endif
