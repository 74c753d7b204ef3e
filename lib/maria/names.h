/*
 * Names on MariaDB: where a table of PostgreSQL lies (public is the URL's database, any other schema the database of that name),
 * and what the server takes as a name.
 * @thread any
 */
#ifndef MARIA_NAMES_H
#define MARIA_NAMES_H

#include <stdbool.h>

#define MARIA_NAME_CHARS 64
#define MARIA_NAME_BYTES (MARIA_NAME_CHARS * 3 + 1) /* three bytes at most for a character up to U+FFFF */

/* The name as it can stand on the server: no longer than 64 characters, none beyond U+FFFF, no blank at its end. One that has to
 * be changed ends in eight digits of its hash. True when it had to be. */
bool maria_name(const char *name, char ret[MARIA_NAME_BYTES]);
/* The database of a schema; `url_database` is the one that the URL names. */
const char *maria_database_of(const char *url_database, const char *schema);
/* A database of the server's own: mysql, sys, information_schema, performance_schema, in whatever case. */
bool maria_is_system_database(const char *database);
/* Names of scratch copies begin so: of rehearsals of a rollback (cutover/rehearse). */
#define MARIA_REHEARSAL_PREFIX "crossfade_rehearsal_"
/* A database that nothing goes through for who has `url_database` in its URL: the server's own, and a rehearsal's that is another one. */
bool maria_is_nobodys_database(const char *url_database, const char *database);
/* The other way round: the schema that a database is. */
const char *maria_schema_of(const char *url_database, const char *database);
/* Tables of Crossfade's own lie in the URL's database, and their names begin so. */
#define MARIA_OWN_PREFIX "crossfade_"
bool maria_is_own_table(const char *url_database, const char *database, const char *table);
/* Kind of the row in crossfade_marker that says that a way back is there (capture/maria/way_back.c); it asks nothing. */
#define MARIA_MARKER_BEGUN "begun"
/* The name in lower case, as a server with lower_case_table_names compares it. False: it has characters beyond ASCII, whose case is
 * the server's affair; those stay as they are. ret: strlen(name) + 1 bytes. */
bool maria_lower_name(const char *name, char *ret);

#endif
