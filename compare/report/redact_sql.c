/* Owns: statements without their values, for reports that must not hold any. See redact.h. */
#include <ctype.h>
#include <string.h>

#include "core/sql_lex.h"
#include "core/strbuf.h"
#include "report/redact.h"

#define SQL_MAX ((size_t)16 << 20)

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *behind_number(const char *p)
{
    while (is_word(*p) || *p == '.')
        p++;
    return p;
}

struct sql_scan {
    const char *sql;
    bool mariadb;
};

static const char *behind_comment(const struct sql_scan *scan, const char *p)
{
    if (p[0] == '/' && p[1] == '*')
        return sql_behind_comment(p, !scan->mariadb);
    return (p[0] == '-' && p[1] == '-') || (p[0] == '#' && scan->mariadb) ? p + strcspn(p, "\n") : p;
}

/* 'a\' is whole in PostgreSQL, E'a\'' is; in MariaDB a backslash always escapes. */
static bool has_escapes(const struct sql_scan *scan, const char *quote)
{
    bool e = quote > scan->sql && (quote[-1] == 'e' || quote[-1] == 'E');
    return scan->mariadb || (e && (quote == scan->sql + 1 || !is_word(quote[-2])));
}

/* Behind a value; p itself: none begins here. Double quotes hold texts in MariaDB. */
static const char *behind_value(const struct sql_scan *scan, const char *p)
{
    if (*p == '\'' || (*p == '"' && scan->mariadb))
        return sql_behind_quoted(p, has_escapes(scan, p));
    if (isdigit((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1])))
        return behind_number(p);
    return *p == '$' && !scan->mariadb ? sql_behind_dollar(p) : p;
}

/* Behind what stays as it is: a name, a parameter, a sign. */
static const char *behind_part(const char *p)
{
    if (*p == '"' || *p == '`')
        return sql_behind_quoted(p, false);
    const char *end = p;
    while (is_word(*end))
        end++;
    return end > p ? end : p + 1;
}

char *redaction_sql(const char *sql, bool mariadb)
{
    const struct sql_scan scan = {sql, mariadb};
    struct strbuf out = STRBUF_INIT(SQL_MAX);
    for (const char *p = sql, *behind; *p != '\0'; p = behind) {
        if ((behind = behind_comment(&scan, p)) > p) {
            strbuf_addc(&out, ' ');
        } else if ((behind = behind_value(&scan, p)) > p) {
            strbuf_addc(&out, '?');
        } else {
            behind = behind_part(p);
            strbuf_add(&out, p, (size_t)(behind - p));
        }
    }
    return strbuf_detach(&out);
}
