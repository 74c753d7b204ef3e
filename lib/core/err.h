/*
 * Errors. A function that can fail is `bool thing_verb(…, struct err *err)`, marked MUST_CHECK. Success
 * leaves *err untouched; failure fills it and leaves all outputs untouched. "Nothing yet" and "end" are
 * results, not errors.
 *
 * The text can be shown to a person unchanged: what failed, where (`table= lsn= topic= partition= offset=`),
 * and what to do. Layers add their place in front with err_wrap(). Libraries never log an error; the role's
 * loop does, once.
 */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#include "core/attr.h"

enum err_code {
    ERR_NONE = 0,
    ERR_CONFIG,      /* configuration or usage: a person must change it */
    ERR_IO,          /* file system; sys_errno says more */
    ERR_NO_SPACE,    /* disk full under journal or spill */
    ERR_NO_MEMORY,   /* a size decided by data was refused */
    ERR_CONNECT,     /* a server cannot be reached or the connection broke */
    ERR_BUSY,        /* slot in use, lock held, another writer */
    ERR_TRANSIENT,   /* serialization failure, deadlock, lock timeout: same work may be tried again */
    ERR_AUTH,        /* login or privilege refused */
    ERR_SQL,         /* the server refused a statement; sqlstate says why */
    ERR_DATA,        /* a value or row that the other side cannot take */
    ERR_SCHEMA,      /* table or column missing, or does not fit */
    ERR_PROTOCOL,    /* bytes from a server or journal that do not parse */
    ERR_IDENTITY,    /* other system, other pipeline, forked timeline, recreated topic */
    ERR_GAP,         /* the journal no longer holds what a position needs */
    ERR_FENCED,      /* another instance of this role has taken over */
    ERR_TIMEOUT,     /* a deadline of ours has passed */
    ERR_INTERRUPTED, /* stop was asked for */
    ERR_INJECTED,    /* a failpoint or fault: decorator said so (tests) */
    ERR_UNSUPPORTED, /* valid, but not built */
    ERR_REFUSED,     /* the command may not do that in the state that things are in */
    ERR_BUG,         /* an invariant of ours does not hold */
    ERR_MAX_
};

/* What the owner of a loop does with an error. There is no "skip". */
enum err_policy {
    POLICY_UNKNOWN = 0,
    POLICY_RETRY,     /* same work again after a backoff */
    POLICY_RECONNECT, /* open everything anew from the durable position, after a backoff */
    POLICY_HALT,      /* needs a person; the text says what to do */
    POLICY_STOP,      /* orderly end */
    POLICY_BUG        /* abort */
};

struct err {
    enum err_code code;
    int sys_errno;    /* 0 if none */
    char sqlstate[6]; /* "" if none */
    char text[1200];  /* NUL-terminated, one line, no secrets, no values of rows */
    char detail
        [600]; /* "", or all that a server said, values of rows with it: for a dead letter, never for a log */
};

#define ERR_INIT                                                                                             \
    {                                                                                                        \
        .code = ERR_NONE                                                                                     \
    }

/* Fills *err; always returns false, so that `return err_set(…)` reads well. A NULL err is allowed. @thread
 * any */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* As err_set, with errno's text appended; ENOSPC/EDQUOT turn ERR_IO into ERR_NO_SPACE. */
bool err_set_errno(struct err *err, int sys_errno, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "place: " in front of the text; code stays. Always returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Cut to what there is room for. */
void err_set_detail(struct err *err, const char *detail);
/* Text and detail: for a place that is as well guarded as the rows themselves. Returns out. */
#define ERR_WHOLE_MAX 1900
const char *err_whole(const struct err *err, char out[ERR_WHOLE_MAX]);
void err_clear(struct err *err);
static inline bool err_is_set(const struct err *err)
{
    return err->code != ERR_NONE;
}

const char *err_code_name(enum err_code code);
enum err_policy err_policy(enum err_code code);
/* Exit code of a role or command that ends with this error (2 usage, 4 could not run, 5 needs a
 * person: docs/OPERATIONS.md). */
int err_exit_code(enum err_code code);

/* An invariant that does not hold: says where, aborts. Restart from the durable position is the design. */
NORETURN void bug_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define BUG_UNLESS(cond)                                                                                     \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            bug_at(__FILE__, __LINE__, "does not hold: %s", #cond);                                          \
    } while (0)

#endif
