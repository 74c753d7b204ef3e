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

void pg_array_text(struct strbuf *sb, size_t i, const char *text)
{
    strbuf_adds(sb, i == 0 ? "{\"" : ",\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            strbuf_addc(sb, '\\');
        strbuf_addc(sb, *text);
    }
    strbuf_addc(sb, '"');
}

void pg_array_int64(struct strbuf *sb, size_t i, int64_t number)
{
    strbuf_addf(sb, "%c%lld", i == 0 ? '{' : ',', (long long)number);
}

void pg_array_end(struct strbuf *sb, size_t count)
{
    strbuf_adds(sb, count > 0 ? "}" : "{}");
}
