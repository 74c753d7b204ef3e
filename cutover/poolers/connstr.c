/*
 * Owns: reading and changing connection strings of PgBouncer. They look like libpq's, but blanks alone divide pairs, there are no
 * backslashes, a quote inside quotes is doubled, and no value is empty. Of a pair that comes twice the last one counts.
 */
#include "cutover/poolers/connstr.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/attr.h"

struct pair {
    const char *key, *start, *end; /* end of the value, behind its quote */
    size_t key_len;
};

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && *p == ' ')
        p++;
    return p;
}

/* Behind the closing quote; NULL = there is none. */
static const char *quoted_end(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p != '\'')
            continue;
        if (p + 1 == end || p[1] != '\'')
            return p + 1;
        p++;
    }
    return NULL;
}

static bool value_end(const char *p, const char *end, const char **ret)
{
    if (p < end && *p == '\'') {
        const char *close = quoted_end(p + 1, end);
        *ret = close;
        return close != NULL && close - p > 2 && (close == end || *close == ' ');
    }
    const char *from = p;
    while (p < end && *p != ' ')
        p++;
    *ret = p;
    /* Whether a tab divides pairs is not the same in all versions. */
    return p > from && memchr(from, '\t', (size_t)(p - from)) == NULL;
}

/* False: no further pair; *ret_bad tells whether that is because it does not read. */
static bool next_pair(const char **at, const char *end, struct pair *ret, bool *ret_bad)
{
    const char *p = skip_blanks(*at, end);
    *ret_bad = false;
    if (p == end)
        return false;
    *ret_bad = true;
    ret->key = p;
    while (p < end && *p != '=' && *p != ' ')
        p++;
    ret->key_len = (size_t)(p - ret->key);
    p = skip_blanks(p, end);
    if (p == end || *p != '=' || ret->key_len == 0)
        return false;
    ret->start = skip_blanks(p + 1, end);
    if (!value_end(ret->start, end, &ret->end))
        return false;
    *at = ret->end;
    *ret_bad = false;
    return true;
}

static char *unquoted(const struct pair *pair)
{
    if (*pair->start != '\'')
        return xstrndup(pair->start, (size_t)(pair->end - pair->start));
    char *text = xmalloc((size_t)(pair->end - pair->start)), *out = text;
    for (const char *p = pair->start + 1; p < pair->end - 1; p++) {
        *out++ = *p;
        p += *p == '\'';
    }
    *out = '\0';
    return text;
}

static char **field_of(struct connstr *c, const char *key, size_t len)
{
    const struct {
        const char *name;
        char **field;
    } known[] = {{"host", &c->host}, {"port", &c->port},         {"dbname", &c->dbname},
                 {"user", &c->user}, {"password", &c->password}, {"pool_mode", &c->pool_mode}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strlen(known[i].name) == len && strncmp(known[i].name, key, len) == 0)
            return known[i].field;
    }
    return NULL;
}

static bool does_not_read(struct err *err)
{
    return err_set(err, ERR_CONFIG,
                   "the connection string does not read (blanks divide key=value pairs; values "
                   "with blanks stand in single quotes)");
}

bool connstr_read(const char *value, size_t len, struct connstr *ret, struct err *err)
{
    struct connstr c = {0};
    struct pair pair;
    const char *at = value;
    bool bad;
    while (next_pair(&at, value + len, &pair, &bad)) {
        char **field = field_of(&c, pair.key, pair.key_len);
        if (field == NULL)
            continue;
        free(*field);
        *field = unquoted(&pair);
    }
    if (bad) {
        connstr_release(&c);
        return does_not_read(err);
    }
    *ret = c;
    return true;
}

void connstr_release(struct connstr *c)
{
    free(c->host);
    free(c->port);
    free(c->dbname);
    free(c->user);
    free(c->password);
    free(c->pool_mode);
    *c = (struct connstr){0};
}

static void add_value(struct strbuf *out, const char *text)
{
    if (strpbrk(text, " '\t") == NULL) {
        strbuf_adds(out, text);
        return;
    }
    strbuf_addc(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            strbuf_addc(out, '\'');
        strbuf_addc(out, *text);
    }
    strbuf_addc(out, '\'');
}

#define REDIRECTED 3
static const char *const redirected[REDIRECTED] = {"host", "port", "dbname"};

static int redirected_key(const struct pair *pair)
{
    for (int i = 0; i < REDIRECTED; i++) {
        if (strlen(redirected[i]) == pair->key_len && strncmp(redirected[i], pair->key, pair->key_len) == 0)
            return i;
    }
    return -1;
}

bool connstr_redirect(const char *value, size_t len, const struct connstr *to, struct strbuf *out,
                      struct err *err)
{
    const char *const wanted[REDIRECTED] = {to->host, to->port, to->dbname};
    bool seen[REDIRECTED] = {false}, bad;
    const char *at = value, *copied = value;
    struct pair pair;
    while (next_pair(&at, value + len, &pair, &bad)) {
        int key = redirected_key(&pair);
        if (key < 0)
            continue;
        strbuf_add(out, copied, (size_t)(pair.start - copied));
        add_value(out, wanted[key]);
        copied = pair.end;
        seen[key] = true;
    }
    if (bad)
        return does_not_read(err);
    strbuf_add(out, copied, (size_t)(value + len - copied));
    for (int i = 0; i < REDIRECTED; i++) {
        if (seen[i])
            continue;
        strbuf_addf(out, "%s%s=", out->len > 0 && out->data[out->len - 1] != ' ' ? " " : "", redirected[i]);
        add_value(out, wanted[i]);
    }
    return strbuf_ok(out, "the connection string", err);
}

static bool same(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

bool connstr_leads_to(const struct connstr *c, const char *name, const struct connstr *to)
{
    return same(c->host, to->host) && same(c->port != NULL ? c->port : "5432", to->port) &&
           same(c->dbname != NULL ? c->dbname : name, to->dbname);
}
