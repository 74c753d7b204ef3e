/* Conditions that people write, to stand behind WHERE in a statement of ours. @thread any */
#ifndef SQLPARSE_CONDITION_H
#define SQLPARSE_CONDITION_H

#include "core/err.h"
#include "core/strbuf.h"

#define SQL_CONDITION_MAX 8192

/* Whether the text is one expression of PostgreSQL that ends where it should (in "WHERE (text\n)" nothing of it stands outside of the
 * parentheses), has no parameters, only reads, and depends on nothing but rows: not on the clock, chance, the server or an order.
 * Else ERR_CONFIG says what is wrong, without the text. Whether it is boolean, only the server knows. */
bool sql_condition_check(const char *text, struct err *err) MUST_CHECK;
/* How another server's SQL says things. */
struct sql_words {
    void (*ident)(struct strbuf *out, const char *name);
    void (*literal)(struct strbuf *out, const char *text);
    const char *timestamp; /* before a literal in UTC without zone */
};

/* A plain condition of PostgreSQL (comparisons of columns with constants, IN, IS NULL, AND, OR, NOT: what bounds of partitions are made
 * of) in another server's words. ERR_DATA names what has no words there. */
bool sql_condition_say(const char *text, const struct sql_words *words, struct strbuf *out,
                       struct err *err) MUST_CHECK;

#endif
