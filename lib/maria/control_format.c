/* Owns: refusing what a newer program has left on a server. See control_format.h. */
#include "maria/control_format.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "maria/connect.h"

/* Of one table: information_schema opens that table alone, however many others the database has. */
#define FORMAT_IN_COMMENT(table)                                                                             \
    "SELECT '" table "', REGEXP_SUBSTR(TABLE_COMMENT, '(?<=; format )[0-9]{1,9}$') FROM "                    \
    "information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '" table "'"

static const char in_comments[] = FORMAT_IN_COMMENT("crossfade_marker") " UNION ALL " FORMAT_IN_COMMENT(
    "crossfade_decision") " UNION ALL " FORMAT_IN_COMMENT("crossfade_position");
/* The session is new: the server's limits on what a query may read, and answer, are still in force. */
static const char unlimited[] = "SET SESSION sql_big_selects = 1, sql_select_limit = 18446744073709551615";
static const char in_rows[] = "SELECT 'crossfade_position', MAX(format) FROM crossfade_position";

static bool refuse_newer(MYSQL_RES *found, const char *database, struct err *err)
{
    for (MYSQL_ROW row; (row = mysql_fetch_row(found)) != NULL;) {
        long format = row[1] != NULL ? strtol(row[1], NULL, 10) : 0;
        if (format > MARIA_CONTROL_FORMAT)
            return err_set(err, ERR_UNSUPPORTED,
                           "the control tables of database %s (%s) have format %ld, this program (" CF_VERSION
                           ") knows up to %d: a newer crossfade has worked here; use that version, or a "
                           "later one, for every command of its pipelines",
                           database, row[0], format, MARIA_CONTROL_FORMAT);
    }
    return true;
}

static bool is_nothing_to_read(unsigned number)
{
    static const unsigned numbers[] = {1146, 1109, 1142, 1143, 1044, 1046, 1054};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (number == numbers[i])
            return true;
    }
    return false;
}

static bool check(MYSQL *my, const char *sql, const char *database, struct err *err)
{
    MYSQL_RES *found = NULL;
    if (mysql_query(my, sql) != 0 || (found = mysql_store_result(my)) == NULL)
        return is_nothing_to_read(mysql_errno(my)) ||
               maria_fail(mysql_errno(my), mysql_sqlstate(my), mysql_error(my),
                          "reading the format of the control tables", err);
    bool ok = refuse_newer(found, database, err);
    mysql_free_result(found);
    return ok;
}

bool maria_control_format_check(MYSQL *my, const char *database, struct err *err)
{
    if (mysql_query(my, unlimited) != 0)
        return maria_fail(mysql_errno(my), mysql_sqlstate(my), mysql_error(my),
                          "before the format of the control tables is read", err);
    return check(my, in_comments, database, err) && check(my, in_rows, database, err);
}
