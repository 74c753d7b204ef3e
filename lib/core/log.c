/* Owns: the one line of an event, as text or JSON. See log.h; what may be shown of a URL: mask.c. */
#include "core/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/attr.h"
#include "core/clock.h"
#include "core/log_events.h"
#include "core/log_level.h"
#include "core/log_listen.h"
#include "core/utf8.h"

/* Of one event: so many lines at once, and so many a second after that. */
#define BURST      100
#define PER_SECOND 10

static const char *log_role = "crossfade";
static _Atomic enum log_level log_least = LOG_LEVEL_INFO;
static bool log_json;
static pthread_mutex_t listener_lock = PTHREAD_MUTEX_INITIALIZER;
static log_listener_fn *log_listener; /* under the lock */
static void *log_listener_ctx;

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

void log_set_level(enum log_level least)
{
    log_least = least;
}

void log_listen(log_listener_fn *listener, void *ctx)
{
    pthread_mutex_lock(&listener_lock);
    log_listener_ctx = ctx;
    log_listener = listener;
    pthread_mutex_unlock(&listener_lock);
}

static void tell_listener(enum log_level level, const char *event, const char *text)
{
    pthread_mutex_lock(&listener_lock);
    if (log_listener != NULL)
        log_listener(log_listener_ctx, level_names[level], event, text);
    pthread_mutex_unlock(&listener_lock);
}

bool log_enabled(enum log_level level)
{
    return level >= log_least;
}

/* Of valid UTF-8. */
static size_t json_escape(const char *in, char *out, size_t size)
{
    size_t n = 0;
    for (; *in != '\0' && n + 7 < size; in++) {
        unsigned char c = (unsigned char)*in;
        size_t wide = c >= 0xc0 ? utf8_char_len(in, strnlen(in, 4)) : 1;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        } else if (wide > 1 && utf8_is_sly(utf8_code_point(in, wide))) {
            n += (size_t)snprintf(out + n, size - n, "\\u%04lx", utf8_code_point(in, wide));
            in += wide - 1;
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

/* How much of its limit an event has used: lines, leaking away with time. */
static struct {
    double used;
    int64_t at_us; /* mono */
    uint64_t suppressed;
} limits[LOG_EVENTS_MAX];
static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

/* *ret_suppressed: lines that were left out since the last one that was written. Events that are not in the table have no limit: only
 * tests have such. */
static bool may_write(const char *event, uint64_t *ret_suppressed)
{
    int i = log_event_index(event);
    *ret_suppressed = 0;
    if (i < 0)
        return true;
    int64_t now_us = clock_mono_us();
    pthread_mutex_lock(&limits_lock);
    double leaked = (double)(now_us - limits[i].at_us) / 1e6 * PER_SECOND;
    limits[i].used = MAX_OF(limits[i].used - leaked, 0.0);
    limits[i].at_us = now_us;
    bool may = limits[i].used + 1 <= BURST;
    if (may) {
        limits[i].used += 1;
        *ret_suppressed = limits[i].suppressed;
        limits[i].suppressed = 0;
    } else {
        limits[i].suppressed++;
    }
    pthread_mutex_unlock(&limits_lock);
    return may;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    uint64_t suppressed = 0;
    if (level < log_least || (level > LOG_LEVEL_DEBUG && !may_write(event, &suppressed)))
        return;
    char left_out[48] = "";
    char text[2048], line[6 * sizeof text + 300], when[ISO_TIME_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    utf8_make_valid(text);
    tell_listener(level, event, text);
    if (!log_json)
        utf8_make_plain(text);
    clock_iso(clock_wall_us(), when);
    int n;
    if (log_json) {
        char escaped[6 * sizeof text + 8]; /* six bytes for a control character */
        json_escape(text, escaped, sizeof escaped);
        if (suppressed > 0)
            (void)snprintf(left_out, sizeof left_out, ",\"suppressed\":%" PRIu64, suppressed);
        n = snprintf(
            line, sizeof line,
            "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%s\",\"event\":\"%s\",\"detail\":\"%s\"%s}\n", when,
            level_names[level], log_role, event, escaped, left_out);
    } else {
        if (suppressed > 0)
            (void)snprintf(left_out, sizeof left_out, " suppressed=%" PRIu64, suppressed);
        n = snprintf(line, sizeof line, "%s %-5s %s %s %s%s\n", when, level_names[level], log_role, event,
                     text, left_out);
    }
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    line[len - 1] = '\n';
    (void)!write(STDERR_FILENO, line, len); /* one write: lines of threads do not mix */
}
