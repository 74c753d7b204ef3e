/* Owns: statements without their values, for reports that must not hold any. See redact.h. */
#include <ctype.h>
#include <string.h>

#include "core/strbuf.h"
#include "report/redact.h"

#define SQL_MAX ((size_t)16 << 20)

static const char *behind_quote(const char *p, bool backslash)
{
    char quote = *p;
    for (p++; *p != '\0'; p++) {
        if (backslash && *p == '\\' && p[1] != '\0')
            p++;
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return p;
}

/* Behind $tag$ … $tag$; p itself: it is none. */
static const char *behind_dollar(const char *p)
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

/* Behind a block comment; in PostgreSQL they nest. */
static const char *behind_block(const struct sql_scan *scan, const char *p)
{
    size_t depth = 0;
    for (; *p != '\0'; p++) {
        if (p[0] == '/' && p[1] == '*' && (depth == 0 || !scan->mariadb)) {
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

static const char *behind_comment(const struct sql_scan *scan, const char *p)
{
    if (p[0] == '/' && p[1] == '*')
        return behind_block(scan, p);
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
        return behind_quote(p, has_escapes(scan, p));
    if (isdigit((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1])))
        return behind_number(p);
    return *p == '$' && !scan->mariadb ? behind_dollar(p) : p;
}

/* Behind what stays as it is: a name, a parameter, a sign. */
static const char *behind_part(const char *p)
{
    if (*p == '"' || *p == '`')
        return behind_quote(p, false);
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
