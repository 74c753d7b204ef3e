/* libmariadb's calls that wait for the server, as long as it takes: declared to the watchdog (core/alive.h). */
#ifndef MARIA_WAIT_H
#define MARIA_WAIT_H

#include <mysql.h>

#include "core/alive.h"

static inline int maria_wait_query(MYSQL *my, const char *sql, unsigned long len)
{
    alive_wait_begin();
    int rc = mysql_real_query(my, sql, len);
    alive_wait_end();
    return rc;
}

static inline int maria_wait_execute(MYSQL_STMT *stmt)
{
    alive_wait_begin();
    int rc = mysql_stmt_execute(stmt);
    alive_wait_end();
    return rc;
}

#endif
