/* See quote.h. */
#include "maria/quote.h"

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

void maria_quote_table(struct strbuf *sb, const char *url_database, const char *schema, const char *table)
{
    char name[MARIA_NAME_BYTES];
    (void)maria_name(maria_database_of(url_database, schema), name);
    maria_quote_ident(sb, name);
    strbuf_addc(sb, '.');
    (void)maria_name(table, name);
    maria_quote_ident(sb, name);
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
