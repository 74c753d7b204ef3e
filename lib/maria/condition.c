/* Owns: what may be a condition on MariaDB. See condition.h. MariaDB documentation: "Comment Syntax", "String Literals". */
#include "maria/condition.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/attr.h"

/* What is read off the text so far. */
struct scan {
    const char *p;
    int depth;
    bool any; /* something that is neither blank nor comment */
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static bool among(const char *const *words, size_t count, const char *p, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(words[i]) == len && strncasecmp(words[i], p, len) == 0)
            return true;
    }
    return false;
}

static bool take_word(struct scan *s, struct err *err)
{
    static const char *const acting[] = {
        "into",      "for",       "lock",         "get_lock",          "release_lock",    "nextval",
        "setval",    "next",      "previous",     "release_all_locks", "load_file",       "sleep",
        "benchmark", "procedure", "is_free_lock", "master_pos_wait",   "master_gtid_wait"};
    static const char *const open[] = {"now",       "sysdate",        "curdate",        "curtime",
                                       "rand",      "current_date",   "current_time",   "current_timestamp",
                                       "localtime", "localtimestamp", "utc_timestamp",  "utc_date",
                                       "utc_time",  "uuid",           "unix_timestamp", "uuid_short"};
    const char *begin = s->p;
    while (is_word(*s->p))
        s->p++;
    size_t len = (size_t)(s->p - begin);
    if (begin[0] == '$' && len > 1 && isdigit((unsigned char)begin[1]))
        return err_set(err, ERR_CONFIG, "has parameters ($1): write their values");
    if (among(acting, ARRAY_LEN(acting), begin, len))
        return err_set(err, ERR_CONFIG, "does more than read, or locks: the word %.*s", (int)len, begin);
    if (among(open, ARRAY_LEN(open), begin, len))
        return err_set(err, ERR_CONFIG,
                       "its answer hangs on the clock or chance (%.*s): the two sides would choose "
                       "different rows; write the value",
                       (int)len, begin);
    return true;
}

static bool take_quoted(struct scan *s, struct err *err)
{
    char quote = *s->p++;
    while (*s->p != '\0' && *s->p != quote)
        s->p += *s->p == '\\' && quote != '`' && s->p[1] != '\0' ? 2 : 1;
    if (*s->p == '\0')
        return err_set(err, ERR_CONFIG, "a quote (%c) is not closed", quote);
    s->p++;
    return true;
}

/* To the end of its line; or to its end, which must be there. */
static bool take_comment(struct scan *s, struct err *err)
{
    if (s->p[0] != '/') {
        s->p += strcspn(s->p, "\n");
        return true;
    }
    if (s->p[2] == '!' || (s->p[2] == 'M' && s->p[3] == '!'))
        return err_set(err, ERR_CONFIG, "holds a comment that MariaDB executes (/*!)");
    const char *end = strstr(s->p + 2, "*/");
    if (end == NULL)
        return err_set(err, ERR_CONFIG, "a comment is not closed");
    s->p = end + 2;
    return true;
}

static bool is_comment(const char *p)
{
    bool dashes = p[0] == '-' && p[1] == '-' &&
                  (p[2] == '\0' || isspace((unsigned char)p[2]) || iscntrl((unsigned char)p[2]));
    return *p == '#' || dashes || (p[0] == '/' && p[1] == '*');
}

static bool take_sign(struct scan *s, struct err *err)
{
    s->depth += *s->p == '(' ? 1 : *s->p == ')' ? -1 : 0;
    if (s->depth < 0)
        return err_set(err, ERR_CONFIG, "closes a parenthesis that it has not opened");
    if (*s->p == ';')
        return err_set(err, ERR_CONFIG, "holds a semicolon: it is one expression");
    s->p++;
    return true;
}

bool maria_condition_check(const char *text, struct err *err)
{
    struct scan s = {.p = text};
    if (strlen(text) > MARIA_CONDITION_MAX)
        return err_set(err, ERR_CONFIG, "longer than %d bytes", MARIA_CONDITION_MAX);
    while (*s.p != '\0') {
        bool ok = true;
        if (isspace((unsigned char)*s.p)) {
            s.p++;
            continue;
        }
        if (is_comment(s.p)) {
            ok = take_comment(&s, err);
        } else {
            s.any = true;
            ok = is_word(*s.p)                                ? take_word(&s, err)
                 : *s.p == '\'' || *s.p == '"' || *s.p == '`' ? take_quoted(&s, err)
                                                              : take_sign(&s, err);
        }
        if (!ok)
            return false;
    }
    if (s.depth > 0)
        return err_set(err, ERR_CONFIG, "opens a parenthesis that it does not close");
    return s.any || err_set(err, ERR_CONFIG, "is empty");
}
