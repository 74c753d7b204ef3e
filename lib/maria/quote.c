/* See quote.h. */
#include "maria/quote.h"

#include <ctype.h>
#include <stdlib.h>

#include "core/sql_lex.h"
#include "maria/names.h"

void maria_quote_ident(struct strbuf *sb, const char *name)
{
    strbuf_addc(sb, '`');
    for (; *name != '\0'; name++) {
        if (*name == '`')
            strbuf_addc(sb, '`');
        strbuf_addc(sb, *name);
    }
    strbuf_addc(sb, '`');
}

void maria_quote_name(struct strbuf *sb, const char *database, const char *name)
{
    maria_quote_ident(sb, database);
    strbuf_addc(sb, '.');
    maria_quote_ident(sb, name);
}

void maria_quote_table(struct strbuf *sb, const char *url_database, const char *schema, const char *table)
{
    char database[MARIA_NAME_BYTES], name[MARIA_NAME_BYTES];
    (void)maria_name(maria_database_of(url_database, schema), database);
    (void)maria_name(table, name);
    maria_quote_name(sb, database, name);
}

void maria_quote_literal(struct strbuf *sb, const char *text)
{
    strbuf_addc(sb, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            strbuf_addc(sb, *text == '\'' ? '\'' : '\\');
        strbuf_addc(sb, *text);
    }
    strbuf_addc(sb, '\'');
}

static bool in_name(const char *start, const char *p)
{
    return p > start && (isalnum((unsigned char)p[-1]) || p[-1] == '_' || p[-1] == '$' || p[-1] < 0);
}

bool maria_add_statement(struct strbuf *sb, const char *sql, int count, const char *const *params,
                         struct err *err)
{
    for (const char *p = sql; *p != '\0';) {
        const char *from = p;
        if (*p == '\'' || *p == '"' || *p == '`') {
            p = sql_behind_quoted(p, *p != '`');
            strbuf_add(sb, from, (size_t)(p - from));
            continue;
        }
        if (*p != '$' || !isdigit((unsigned char)p[1]) || in_name(sql, p)) {
            strbuf_addc(sb, *p++);
            continue;
        }
        char *end = NULL;
        long n = strtol(p + 1, &end, 10);
        if (n < 1 || n > count)
            return err_set(err, ERR_BUG, "parameter $%ld of %d", n, count);
        if (params[n - 1] != NULL)
            maria_quote_literal(sb, params[n - 1]);
        else
            strbuf_adds(sb, "NULL");
        p = end;
    }
    return strbuf_ok(sb, "statement", err);
}
