/* Rows and tables on a MariaDB target: what rows.c and objects.c do on PostgreSQL. Private to this module. */
#ifndef CLEANUP_MARIA_ROWS_H
#define CLEANUP_MARIA_ROWS_H

#include "cleanup_internal.h"

bool maria_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool maria_rows_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err) MUST_CHECK;
bool maria_objects_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool maria_objects_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err) MUST_CHECK;

#endif
