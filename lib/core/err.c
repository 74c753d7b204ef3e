/* Owns: the table of error classes, their policies and exit codes. See err.h. */
#include "core/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/utf8.h"

static const struct {
    const char *name;
    enum err_policy policy;
    int exit_code;
} err_table[ERR_MAX_] = {
    [ERR_NONE] = {"none", POLICY_UNKNOWN, 0},
    [ERR_CONFIG] = {"config", POLICY_HALT, 2},
    [ERR_IO] = {"io", POLICY_HALT, 4},
    [ERR_NO_SPACE] = {"no_space", POLICY_RECONNECT, 4},
    [ERR_NO_MEMORY] = {"no_memory", POLICY_HALT, 5},
    [ERR_CONNECT] = {"connect", POLICY_RECONNECT, 4},
    [ERR_BUSY] = {"busy", POLICY_RECONNECT, 4},
    [ERR_TRANSIENT] = {"transient", POLICY_RETRY, 4},
    [ERR_AUTH] = {"auth", POLICY_HALT, 4},
    [ERR_SQL] = {"sql", POLICY_HALT, 5},
    [ERR_DATA] = {"data", POLICY_HALT, 5},
    [ERR_SCHEMA] = {"schema", POLICY_HALT, 5},
    [ERR_PROTOCOL] = {"protocol", POLICY_HALT, 5},
    [ERR_IDENTITY] = {"identity", POLICY_HALT, 5},
    [ERR_GAP] = {"gap", POLICY_HALT, 5},
    [ERR_FENCED] = {"fenced", POLICY_HALT, 5},
    [ERR_TIMEOUT] = {"timeout", POLICY_RECONNECT, 4},
    [ERR_INTERRUPTED] = {"interrupted", POLICY_STOP, 0},
    [ERR_INJECTED] = {"injected", POLICY_RECONNECT, 4},
    [ERR_UNSUPPORTED] = {"unsupported", POLICY_HALT, 5},
    [ERR_REFUSED] = {"refused", POLICY_HALT, 10},
    [ERR_BUG] = {"bug", POLICY_BUG, 70},
};

/* A message is one line of valid UTF-8, so that it fits into any log, terminal and JSON text. */
static void tidy(char *text)
{
    utf8_make_plain(text);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == ' ') /* libpq's texts end with a newline */
        text[--len] = '\0';
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    va_list ap;
    va_start(ap, fmt);
    char text[sizeof err->text]; /* arguments may point into *err */
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    *err = (struct err){.code = code};
    memcpy(err->text, text, sizeof text);
    tidy(err->text);
    return false;
}

bool err_set_errno(struct err *err, int sys_errno, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    va_list ap;
    va_start(ap, fmt);
    char text[sizeof err->text - 200];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tidy(text);
    bool full = sys_errno == ENOSPC || sys_errno == EDQUOT;
    err_set(err, full ? ERR_NO_SPACE : ERR_IO, "%s: %s", text, strerror(sys_errno));
    err->sys_errno = sys_errno;
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    char place[400];
    char old[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(place, sizeof place, fmt, ap);
    va_end(ap);
    tidy(place);
    memcpy(old, err->text, sizeof old);
    int n = snprintf(err->text, sizeof err->text, "%s: ", place);
    if (n > 0 && (size_t)n < sizeof err->text) {
        size_t room = sizeof err->text - (size_t)n - 1;
        size_t len = strnlen(old, room);
        memcpy(err->text + n, old, len);
        err->text[(size_t)n + len] = '\0';
    }
    tidy(err->text);
    return false;
}

void err_set_detail(struct err *err, const char *detail)
{
    (void)snprintf(err->detail, sizeof err->detail, "%s", detail);
    tidy(err->detail);
}

const char *err_whole(const struct err *err, char out[ERR_WHOLE_MAX])
{
    (void)snprintf(out, ERR_WHOLE_MAX, "%s%s%s%s", err->text, err->detail[0] != '\0' ? " [" : "", err->detail,
                   err->detail[0] != '\0' ? "]" : "");
    return out;
}

void err_clear(struct err *err)
{
    *err = (struct err)ERR_INIT;
}

const char *err_code_name(enum err_code code)
{
    return (unsigned)code < ERR_MAX_ ? err_table[code].name : "?";
}

enum err_policy err_policy(enum err_code code)
{
    return (unsigned)code < ERR_MAX_ ? err_table[code].policy : POLICY_BUG;
}

int err_exit_code(enum err_code code)
{
    return (unsigned)code < ERR_MAX_ ? err_table[code].exit_code : 70;
}

void bug_at(const char *file, int line, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *base = strrchr(file, '/');
    log_event(LOG_LEVEL_ERROR, "bug", "at=%s:%d text=%s", base != NULL ? base + 1 : file, line, text);
    abort();
}
