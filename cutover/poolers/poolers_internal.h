/* What the files of cutover/poolers share of the poolers. */
#ifndef CUTOVER_POOLERS_INTERNAL_H
#define CUTOVER_POOLERS_INTERNAL_H

#include <sys/types.h>

#include "config/pooler_rules.h"
#include "cutover/poolers/connstr.h"
#include "cutover/poolers/console.h"
#include "cutover/poolers/poolers.h"

#define RETRY_TEXT_MAX 32

struct pooler {
    const struct pooler_rule *rule;
    char *place;                      /* for messages: URL without secrets, and the database */
    struct pg_conn *conn;             /* console; NULL = not open */
    struct connstr target;            /* where it shall lead */
    const char *target_url;           /* the configuration's URL of that server; the configuration's own */
    int64_t asked_us, asked_wall_us;  /* when PAUSE was sent (monotonic, wall) */
    bool was_paused;                  /* it was so already then */
    char login_retry[RETRY_TEXT_MAX]; /* its server_login_retry before retry_hasten(); "" = not known here */
};

struct poolers {
    struct pooler_rule *rules;
    struct pooler *items;
    size_t count;
    int64_t timeout_ms;
    pid_t keeper_pid; /* 0 = none; keeper.c owns both */
    int keeper_fd;
};

/* Reads the configuration at the first use. */
bool poolers_of(struct cutover *co, struct poolers **ret, struct err *err) MUST_CHECK;
/* A console that answers, opened anew if need be. *ret_gone as console_open(). */
bool pooler_connect(struct poolers *ps, struct pooler *p, bool *ret_gone, struct err *err) MUST_CHECK;
void pooler_disconnect(struct pooler *p);
/* RESUME, and a note of how long its clients have waited. */
bool pooler_let_go(struct cutover *co, struct poolers *ps, struct pooler *p, struct err *err) MUST_CHECK;
/* As console_database(), and it must be there. */
bool pooler_state(struct poolers *ps, struct pooler *p, struct console_database *ret,
                  struct err *err) MUST_CHECK;

/* retry.c; all on a console that answers. */
/* Waits, not for long, until no server of the database is logging in: PAUSE would make a failure of it. */
bool retry_await_logins(struct poolers *ps, struct pooler *p, struct err *err) MUST_CHECK;
/* Has it try logins again at once, until retry_settle() or RELOAD. */
bool retry_hasten(struct poolers *ps, struct pooler *p, struct err *err) MUST_CHECK;
/* Waits, not for long, until those who wait in all of them have servers, and takes retry_hasten() back, whichever process did it.
 * Goes through all; the first failure is told. */
bool retry_settle(struct poolers *ps, struct err *err) MUST_CHECK;

#endif
