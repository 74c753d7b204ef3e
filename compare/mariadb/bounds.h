/* Bounds of PostgreSQL's partitions as a condition on MariaDB. Private to this module. */
#ifndef COMPARE_MARIADB_BOUNDS_H
#define COMPARE_MARIADB_BOUNDS_H

/* malloc'd; NULL: *ret_reason (malloc'd) says what of it cannot be said there. */
char *mariadb_bounds(const char *constraint, char **ret_reason);

#endif
