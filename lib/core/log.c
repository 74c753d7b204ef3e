#include "core/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"

static const char *log_role = "crossfade";
static enum log_level log_least = LOG_LEVEL_INFO;
static bool log_json;

static const char *const level_names[] = {[LOG_LEVEL_DEBUG] = "debug",
                                          [LOG_LEVEL_INFO] = "info",
                                          [LOG_LEVEL_WARN] = "warn",
                                          [LOG_LEVEL_ERROR] = "error"};

void log_init(const char *role, enum log_level least, bool json)
{
    log_role = role;
    log_least = least;
    log_json = json;
}

bool log_enabled(enum log_level level)
{
    return level >= log_least;
}

static size_t json_escape(const char *in, char *out, size_t size)
{
    size_t n = 0;
    for (; *in != '\0' && n + 7 < size; in++) {
        unsigned char c = (unsigned char)*in;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20) {
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if (level < log_least)
        return;
    char text[2048], line[4600], when[ISO_TIME_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clock_iso(clock_wall_us(), when);
    int n;
    if (log_json) {
        char escaped[4200];
        json_escape(text, escaped, sizeof escaped);
        n = snprintf(
            line, sizeof line,
            "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%s\",\"event\":\"%s\",\"detail\":\"%s\"}\n", when,
            level_names[level], log_role, event, escaped);
    } else {
        for (char *p = text; *p != '\0'; p++) {
            if (iscntrl((unsigned char)*p))
                *p = ' ';
        }
        n = snprintf(line, sizeof line, "%s %-5s %s %s %s\n", when, level_names[level], log_role, event,
                     text);
    }
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    line[len - 1] = '\n';
    (void)!write(STDERR_FILENO, line, len); /* one write: lines of threads do not mix */
}

static bool is_secret_key(const char *at, size_t len)
{
    static const char *const keys[] = {"password", "sslpassword", "sasl.password", "ssl.key.password",
                                       "passwd"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strlen(keys[i]) == len && strncasecmp(at, keys[i], len) == 0)
            return true;
    }
    return false;
}

/* Where the value that starts at p ends: quoted conninfo value, else up to a separator. */
static const char *value_end(const char *p)
{
    if (*p == '\'') {
        for (p++; *p != '\0' && *p != '\''; p++) {
            if (*p == '\\' && p[1] != '\0')
                p++;
        }
        return *p == '\'' ? p + 1 : p;
    }
    while (*p != '\0' && *p != '&' && *p != ' ')
        p++;
    return p;
}

char *log_mask_url(const char *url, char *out, unsigned long out_size)
{
    size_t n = 0;
    const char *p = url;
    const char *authority = strstr(url, "://");
    if (authority != NULL) {
        authority += 3;
        size_t span = strcspn(authority, "/?#");
        const char *at = memrchr(authority, '@', span);
        const char *colon = at != NULL ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
        if (colon != NULL) {
            n = (size_t)snprintf(out, out_size, "%.*s:***", (int)(colon - url), url);
            p = at;
        }
    }
    const char *key = p;
    while (*p != '\0' && n + 4 < out_size) {
        out[n++] = *p;
        if (*p == '=' && is_secret_key(key, (size_t)(p - key))) {
            memcpy(out + n, "***", 3);
            n += 3;
            p = value_end(p + 1);
            key = p;
            continue;
        }
        if (*p == '&' || *p == '?' || *p == ' ' || *p == '@')
            key = p + 1;
        p++;
    }
    out[n < out_size ? n : out_size - 1] = '\0';
    return out;
}
