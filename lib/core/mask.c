/*
 * Owns: what may be shown of a URL or connection string. libpq takes more forms than one expects: a password
 * before '@' may hold '?' and '#', names of URL parameters may be percent-encoded, and a keyword=value string
 * allows blanks around '=', quotes and backslashes. Where the text does not parse, more is hidden, not less.
 */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/attr.h"
#include "core/log.h"

struct masking {
    const char *p; /* what comes next */
    char *out;
    size_t len, size;
};

static void put(struct masking *m, const char *text, size_t len)
{
    size_t room = m->size - 1 - m->len;
    len = len < room ? len : room;
    memcpy(m->out + m->len, text, len);
    m->len += len;
}

/* Shows everything up to `end`. */
static void show(struct masking *m, const char *end)
{
    put(m, m->p, (size_t)(end - m->p));
    m->p = end;
}

static void hide(struct masking *m, const char *end)
{
    if (end != m->p)
        put(m, "***", 3);
    m->p = end;
}

static int hex_digit(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* The name with %xx resolved. One that is too long for any of ours comes out cut. */
static void decode_name(const char *p, size_t len, char *out, size_t size)
{
    size_t n = 0;
    for (const char *end = p + len; p < end && n + 1 < size; p++) {
        bool encoded = *p == '%' && end - p >= 3 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0;
        out[n++] = (char)(encoded ? hex_digit(p[1]) << 4 | hex_digit(p[2]) : *p);
        p += encoded ? 2 : 0;
    }
    out[n] = '\0';
}

/* libpq's and librdkafka's: password, sslpassword, ssl.keystore.password, oauth_client_secret … */
static bool is_secret_name(const char *p, size_t len)
{
    static const char *const ends[] = {"password", "passwd",     "pwd",        "passphrase",  "secret",
                                       "token",    "client_key", "server_key", "jaas.config", "key.pem"};
    char name[100];
    decode_name(p, len, name, sizeof name);
    size_t have = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        size_t want = strlen(ends[i]);
        if (have >= want && strcasecmp(name + have - want, ends[i]) == 0)
            return true;
    }
    return false;
}

/* --- scheme://user:password@host/path?name=value&… --- */

static const char *authority_of(const char *url)
{
    size_t len = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-:_");
    return len > 0 && url[len - 1] == ':' && strncmp(url + len, "//", 2) == 0 ? url + len + 2 : NULL;
}

static void mask_user(struct masking *m, const char *authority)
{
    /* The last one: '@' and '/' in a password should have been encoded, but are not always. */
    const char *at = memrchr(authority, '@', strcspn(authority, "?"));
    if (at == NULL)
        at = strrchr(authority, '@');
    const char *colon = at != NULL ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon == NULL)
        return;
    show(m, colon + 1);
    hide(m, at);
}

static void mask_parameters(struct masking *m)
{
    while (*m->p != '\0') {
        show(m, m->p + strcspn(m->p, "?& "));
        if (*m->p == '\0')
            return;
        show(m, m->p + 1);
        size_t name = strcspn(m->p, "=?& ");
        bool secret = m->p[name] == '=' && is_secret_name(m->p, name);
        show(m, m->p + name);
        if (!secret)
            continue;
        show(m, m->p + 1);
        hide(m, m->p + strcspn(m->p, "&"));
    }
}

/* --- name = value name = 'value' … --- */

static const char *skip_blanks(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

static const char *value_end(const char *p)
{
    bool quoted = *p == '\'';
    for (p += quoted; *p != '\0'; p++) {
        if (quoted ? *p == '\'' : isspace((unsigned char)*p))
            return p + quoted;
        if (*p == '\\' && p[1] != '\0')
            p++;
    }
    return p;
}

static void mask_pairs(struct masking *m)
{
    bool had_secret = false;
    while (*m->p != '\0') {
        show(m, skip_blanks(m->p));
        const char *end = m->p;
        while (*end != '\0' && *end != '=' && !isspace((unsigned char)*end))
            end++;
        const char *equals = skip_blanks(end);
        if (*equals != '=') { /* not a name: perhaps the rest of a password with a blank in it */
            had_secret ? hide(m, end) : show(m, end);
            continue;
        }
        bool secret = is_secret_name(m->p, (size_t)(end - m->p));
        show(m, skip_blanks(equals + 1));
        secret ? hide(m, value_end(m->p)) : show(m, value_end(m->p));
        had_secret = had_secret || secret;
    }
}

/* postgresql:/user:password@host and the like. A path of the embedded journal may hold both characters. */
static bool mask_mistyped(struct masking *m)
{
    const char *colon = strchr(m->p, ':'), *at = strrchr(m->p, '@');
    if (colon == NULL || at == NULL || at < colon || memchr(m->p, '=', (size_t)(at - m->p)) != NULL ||
        strstr(m->p, "lmdb:") != NULL)
        return false;
    show(m, colon + 1);
    hide(m, at);
    return true;
}

char *log_mask_url(const char *url, char *out, unsigned long out_size)
{
    struct masking m = {.p = url, .out = out, .size = out_size};
    const char *authority = authority_of(url);
    if (authority != NULL) {
        mask_user(&m, authority);
        mask_parameters(&m);
    } else if (mask_mistyped(&m)) {
        mask_parameters(&m);
    } else {
        mask_pairs(&m);
    }
    out[m.len] = '\0';
    return out;
}

#define BLANKS   " \t\r\n"
#define WORD_MAX 2000

/* Where in the word a URL begins: behind what stands before its scheme ("(", "pooler="). */
static size_t url_in(const char *word)
{
    const char *slashes = strstr(word, "://");
    size_t at = slashes != NULL ? (size_t)(slashes - word) : 0;
    while (at > 0 && (isalnum((unsigned char)word[at - 1]) || strchr("+.-", word[at - 1]) != NULL))
        at--;
    return at;
}

static void mask_word(struct masking *m, size_t len)
{
    char word[WORD_MAX], masked[2 * WORD_MAX];
    const char *end = m->p + len;
    bool suspect = memchr(m->p, '=', len) != NULL || memchr(m->p, '@', len) != NULL;
    if (!suspect || len >= sizeof word) {
        suspect ? hide(m, end) : show(m, end);
        return;
    }
    memcpy(word, m->p, len);
    word[len] = '\0';
    size_t before = url_in(word);
    show(m, m->p + before);
    log_mask_url(word + before, masked, sizeof masked);
    put(m, masked, strlen(masked));
    m->p = end;
}

char *log_mask_text(const char *text, char *out, unsigned long out_size)
{
    struct masking m = {.p = text, .out = out, .size = out_size};
    while (*m.p != '\0') {
        show(&m, m.p + strspn(m.p, BLANKS));
        mask_word(&m, strcspn(m.p, BLANKS));
    }
    out[m.len] = '\0';
    return out;
}
