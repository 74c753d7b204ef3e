/* Quoting for statements on MariaDB. The session is in utf8mb4 (no multi-byte character holds a quote) and has backslash escapes.
 * @thread any */
#ifndef MARIA_QUOTE_H
#define MARIA_QUOTE_H

#include "core/err.h"
#include "core/strbuf.h"

/* `name`, with quotes inside doubled. */
void maria_quote_ident(struct strbuf *sb, const char *name);
/* `database`.`name`, both as they are. */
void maria_quote_name(struct strbuf *sb, const char *database, const char *name);
/* `database`.`table` of a table of PostgreSQL, as names.h says. */
void maria_quote_table(struct strbuf *sb, const char *url_database, const char *schema, const char *table);
/* 'text', with quotes doubled and backslashes escaped. */
void maria_quote_literal(struct strbuf *sb, const char *text);
/* sql with $1 … as literals (params; NULL = NULL), outside of quotes and names. */
bool maria_add_statement(struct strbuf *sb, const char *sql, int count, const char *const *params,
                         struct err *err) MUST_CHECK;

#endif
