/* Owns: identifiers and literals in statements. See conn.h. */
#include <string.h>

#include "core/strbuf.h"
#include "pg/conn.h"

void pg_quote_ident(struct strbuf *sb, const char *name)
{
    strbuf_addc(sb, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"')
            strbuf_addc(sb, '"');
        strbuf_addc(sb, *name);
    }
    strbuf_addc(sb, '"');
}

void pg_quote_table(struct strbuf *sb, const char *schema, const char *table)
{
    pg_quote_ident(sb, schema);
    strbuf_addc(sb, '.');
    pg_quote_ident(sb, table);
}

void pg_quote_literal(struct strbuf *sb, const char *text)
{
    /* E'' with doubled backslashes means the same under any standard_conforming_strings. */
    bool escape = strchr(text, '\\') != NULL;
    strbuf_adds(sb, escape ? " E'" : "'");
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            strbuf_addc(sb, *text);
        strbuf_addc(sb, *text);
    }
    strbuf_addc(sb, '\'');
}
