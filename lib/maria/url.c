/* Owns: reading what target.url says. See url.h. */
#include "maria/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/local_host.h"
#include "core/log.h"

bool maria_is_url(const char *url)
{
    return strncmp(url, "mariadb://", 10) == 0 || strncmp(url, "mysql://", 8) == 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* malloc'd; NULL when a '%' is no escape, or stands for a zero byte. */
static char *decode(const char *text, size_t len)
{
    char *out = xmalloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            out[n++] = text[i];
            continue;
        }
        int high = i + 2 < len ? hex(text[i + 1]) : -1, low = i + 2 < len ? hex(text[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            free(out);
            return NULL;
        }
        out[n++] = (char)(high * 16 + low);
        i += 2;
    }
    out[n] = '\0';
    return out;
}

void maria_url_release(struct maria_url *url)
{
    char **const parts[] = {&url->host,   &url->user,   &url->password, &url->database,
                            &url->socket, &url->ssl_ca, &url->ssl_cert, &url->ssl_key};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        free(*parts[i]);
        *parts[i] = NULL;
    }
}

static bool bad(const char *url, const char *what, struct err *err)
{
    char masked[300];
    return err_set(err, ERR_CONFIG, "target.url: %s: %s", log_mask_url(url, masked, sizeof masked), what);
}

static bool take(const char *url, const char *text, size_t len, char **ret, struct err *err)
{
    char *decoded = decode(text, len);
    if (decoded == NULL)
        return bad(url, "a '%' must be followed by two hexadecimal digits (and %00 is not taken)", err);
    free(*ret);
    *ret = decoded;
    return true;
}

static bool set_ssl_mode(const char *url, const char *mode, struct maria_url *ret, struct err *err)
{
    static const struct {
        const char *name;
        bool tls, verify;
    } modes[] = {{"disabled", false, false},
                 {"required", true, false},
                 {"verify_ca", true, true},
                 {"verify_identity", true, true}};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (strcmp(mode, modes[i].name) == 0) {
            ret->tls = modes[i].tls;
            ret->tls_verify = modes[i].verify;
            return true;
        }
    }
    return bad(url, "ssl-mode is disabled, required, verify_ca or verify_identity", err);
}

/* One name=value; *ssl_mode: is kept for the end, since the others must not win over it. */
static bool read_option(const char *url, const char *text, size_t len, struct maria_url *ret, char **ssl_mode,
                        struct err *err)
{
    const struct {
        const char *name;
        char **to;
        bool tls;
    } known[] = {{"ssl-mode", ssl_mode, false},
                 {"ssl-ca", &ret->ssl_ca, true},
                 {"ssl-cert", &ret->ssl_cert, true},
                 {"ssl-key", &ret->ssl_key, true},
                 {"socket", &ret->socket, false}};
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
    char name[16] = "";
    for (size_t i = 0; i < name_len && i + 1 < sizeof name; i++)
        name[i] = text[i] == '_' ? '-' : text[i];
    for (size_t i = 0; equals != NULL && i < ARRAY_LEN(known); i++) {
        if (strcmp(name, known[i].name) == 0 && name_len < sizeof name) {
            ret->tls = ret->tls || known[i].tls;
            ret->tls_verify = ret->tls_verify || known[i].tls;
            return take(url, equals + 1, len - name_len - 1, known[i].to, err);
        }
    }
    return bad(url, "options are ssl-mode, ssl-ca, ssl-cert, ssl-key and socket, each with '=' and a value",
               err);
}

static bool read_options(const char *url, const char *text, struct maria_url *ret, struct err *err)
{
    char *ssl_mode = NULL;
    bool ok = true;
    while (ok && *text != '\0') {
        size_t len = strcspn(text, "&");
        ok = len == 0 || read_option(url, text, len, ret, &ssl_mode, err);
        text += len + (text[len] == '&');
    }
    ret->tls_by_default = ssl_mode == NULL && !ret->tls;
    ok = ok && (ssl_mode == NULL || set_ssl_mode(url, ssl_mode, ret, err));
    free(ssl_mode);
    return ok;
}

static bool read_host(const char *url, const char *text, size_t len, struct maria_url *ret, struct err *err)
{
    const char *end = text + len;
    const char *host_end = text;
    bool brackets = len > 0 && *text == '[';
    const char *host = text + brackets;
    while (host_end < end && *host_end != (brackets ? ']' : ':'))
        host_end++;
    if (!take(url, host, (size_t)(host_end - host), &ret->host, err))
        return false;
    const char *rest = host_end + (brackets && host_end < end);
    if (rest == end)
        return true;
    char *after;
    unsigned long port = *rest == ':' && isdigit((unsigned char)rest[1]) ? strtoul(rest + 1, &after, 10) : 0;
    if (port == 0 || port > 65535 || after != end)
        return bad(url, "the port is a number from 1 to 65535", err);
    ret->port = (unsigned)port;
    return true;
}

static bool parse(const char *url, struct maria_url *ret, struct err *err)
{
    if (!maria_is_url(url))
        return bad(url, "expected mariadb://user@host:3306/database", err);
    const char *at = strstr(url, "://") + 3;
    size_t authority = strcspn(at, "/?");
    const char *path = at + authority;
    const char *host = at;
    for (const char *p = at; p < path; p++) { /* the last '@': a password may hold one */
        if (*p == '@')
            host = p + 1;
    }
    if (host > at) {
        size_t len = (size_t)(host - 1 - at), user = 0;
        while (user < len && at[user] != ':')
            user++;
        if (!take(url, at, user, &ret->user, err) ||
            (user < len && !take(url, at + user + 1, len - user - 1, &ret->password, err)))
            return false;
    }
    if (!read_host(url, host, (size_t)(path - host), ret, err))
        return false;
    const char *query = path + strcspn(path, "?");
    if (*path == '/' && !take(url, path + 1, (size_t)(query - path) - 1, &ret->database, err))
        return false;
    if (*query == '?' && !read_options(url, query + 1, ret, err))
        return false;
    return (ret->database != NULL && ret->database[0] != '\0') ||
           bad(url, "it must name the database: mariadb://user@host:3306/database", err);
}

bool maria_url_parse(const char *url, struct maria_url *ret, struct err *err)
{
    struct maria_url parsed = {.port = 3306, .tls_by_default = true};
    if (!parse(url, &parsed, err)) {
        maria_url_release(&parsed);
        return false;
    }
    /* A socket beside another host's name is not used (libmariadb: only for localhost). */
    if (parsed.tls_by_default && !host_is_local(parsed.host))
        parsed.tls = parsed.tls_verify = true;
    *ret = parsed;
    return true;
}

bool maria_url_with(const char *url, const char *suffix, const char *database, char **ret, struct err *err)
{
    struct maria_url parsed;
    if (!maria_url_parse(url, &parsed, err))
        return false;
    bool named = parsed.user != NULL && parsed.user[0] != '\0';
    maria_url_release(&parsed);
    if (!named)
        return bad(url, "it must name the user: mariadb://user@host:3306/database", err);
    const char *at = strstr(url, "://") + 3;
    size_t authority = strcspn(at, "/?"), user = strcspn(at, ":");
    for (const char *p = at; user > (size_t)(p - at) && p < at + authority; p++) {
        if (*p == '@' && memchr(p + 1, '@', (size_t)(at + authority - p - 1)) == NULL)
            user = (size_t)(p - at);
    }
    const char *options = at + strcspn(at, "?");
    *ret = xasprintf("%.*s%s%.*s/%s%s", (int)(at + user - url), url, suffix, (int)(authority - user),
                     at + user, database, options);
    return true;
}
