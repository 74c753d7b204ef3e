/* See sql_lex.h. */
#include "core/sql_lex.h"

#include <ctype.h>
#include <string.h>

const char *sql_behind_quoted(const char *p, bool backslashes)
{
    char quote = *p;
    for (p++; *p != '\0'; p++) {
        if (backslashes && *p == '\\' && p[1] != '\0')
            p++;
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return p;
}

const char *sql_behind_dollar(const char *p)
{
    size_t n = 1;
    while (isalnum((unsigned char)p[n]) || p[n] == '_' || (unsigned char)p[n] >= 0x80)
        n++;
    if (p[n] != '$' || isdigit((unsigned char)p[1]))
        return p;
    for (const char *end = p + n + 1; (end = strchr(end, '$')) != NULL; end++) {
        if (strncmp(end, p, n + 1) == 0)
            return end + n + 1;
    }
    return p + strlen(p);
}

const char *sql_behind_comment(const char *p, bool nests)
{
    for (unsigned long depth = 0; *p != '\0'; p++) {
        if (p[0] == '/' && p[1] == '*' && (depth == 0 || nests)) {
            depth++;
            p++;
        } else if (p[0] == '*' && p[1] == '/') {
            p++;
            if (--depth == 0)
                return p + 1;
        }
    }
    return p;
}
