/* Rows and tables on a MariaDB target: what rows.c and objects.c do on PostgreSQL. Private to this module. */
#ifndef CLEANUP_MARIA_ROWS_H
#define CLEANUP_MARIA_ROWS_H

#include "cleanup_internal.h"

/* Control table crossfade_<table>. */
bool maria_table_there(struct cleanup *cl, const char *table, bool *ret, struct err *err) MUST_CHECK;
/* Calls each() with (shard, call(name of the lock that apply of that shard has), the hash in that name), as lib/target/mariadb/lock.c names it: for the
 * shards that have a position, and the usual one. call: a function of SQL, "IS_USED_LOCK(%s)" in two parts. */
bool maria_shards(struct cleanup *cl, const char *before, const char *after, maria_each_row *each, void *ctx,
                  struct err *err) MUST_CHECK;
bool maria_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool maria_rows_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err) MUST_CHECK;
bool maria_objects_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool maria_objects_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err) MUST_CHECK;

#endif
