/*
 * The format of Crossfade's own tables on MariaDB, as pg/control_tables.h has it for PostgreSQL. It stands at the end of the comments of crossfade_position (of a
 * target), crossfade_marker and crossfade_decision (of a source): "…; format 1". Whoever may read a table sees its comment. Without one it is 1: so the
 * versions before have left them. Rows of crossfade_position have it as well. maria_connect() looks at it, so every command does.
 * It is raised as PG_CONTROL_FORMAT is.
 * @thread: the connection's owner.
 */
#ifndef MARIA_CONTROL_FORMAT_H
#define MARIA_CONTROL_FORMAT_H

#include <mysql.h>

#include "core/err.h"

#define MARIA_CONTROL_FORMAT 1

/* ERR_UNSUPPORTED when one of them is newer than ours. No table, or no right to read it: nothing that we could misread. */
bool maria_control_format_check(MYSQL *my, const char *database, struct err *err) MUST_CHECK;

#endif
