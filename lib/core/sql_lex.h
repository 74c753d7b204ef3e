/*
 * Where a piece of SQL text ends, for those who look through statements without understanding them: dumps, reports, parameters. A piece
 * that is not closed ends with the text (never beyond its NUL). The rules: PostgreSQL's manual, 4.1 "Lexical Structure"; MariaDB's
 * "String Literals".
 * @thread any
 */
#ifndef CORE_SQL_LEX_H
#define CORE_SQL_LEX_H

#include <stdbool.h>

/* Behind the text or name whose quote (any character) is at p; twice that quote is one inside. backslashes: they escape what follows. */
const char *sql_behind_quoted(const char *p, bool backslashes);
/* Behind $tag$ … $tag$; p itself: none begins here. */
const char *sql_behind_dollar(const char *p);
/* Behind the block comment at p. nests: as PostgreSQL's do; MariaDB's end with the first end. */
const char *sql_behind_comment(const char *p, bool nests);

#endif
