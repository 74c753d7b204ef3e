/*
 * Owns: that a pause costs no login. PgBouncer closes what is logging in on a server when it pauses, and takes that for a login that
 * failed: behind RESUME it would try none for server_login_retry (15 s), keep those waiting that wait, and throw out all who come
 * meanwhile. (PgBouncer: janitor.c per_loop_pause(), objects.c launch_new_connection() and check_fast_fail().) So PAUSE waits until
 * nobody is logging in, as far as that can be waited for, and around RESUME the pooler is told to try again at once.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "cutover/poolers/poolers_internal.h"

#define LOGINS_END_US INT64_C(1000000) /* pools of many short sessions are never without one */
#define SERVED_US     INT64_C(3000000)
#define LOOK_MS       10
#define SETTING       "server_login_retry"
#define OURS          "0.107" /* seconds; nobody else's value, so that one that was left behind by a crash is known */

static int64_t deadline_of(const struct poolers *ps)
{
    return clock_mono_us() + ps->timeout_ms * 1000;
}

static bool read_setting(struct poolers *ps, struct pooler *p, char ret[RETRY_TEXT_MAX], struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    ret[0] = '\0';
    if (!console_query(p->conn, "SHOW CONFIG", deadline_of(ps), &res, err))
        return err_wrap(err, "%s", p->place);
    for (int i = 0; i < pg_rows(res); i++) {
        if (strcmp(console_cell(res, i, "key"), SETTING) == 0)
            (void)snprintf(ret, RETRY_TEXT_MAX, "%s", console_cell(res, i, "value"));
    }
    return true;
}

static bool run(struct poolers *ps, struct pooler *p, const char *sql, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return console_query(p->conn, sql, deadline_of(ps), &res, err) || err_wrap(err, "%s", p->place);
}

bool retry_hasten(struct poolers *ps, struct pooler *p, struct err *err)
{
    char now[RETRY_TEXT_MAX];
    if (!read_setting(ps, p, now, err))
        return false;
    if (now[0] == '\0' || strtod(now, NULL) <= strtod(OURS, NULL))
        return true;
    (void)snprintf(p->login_retry, sizeof p->login_retry, "%s", now);
    return run(ps, p, "SET " SETTING " = '" OURS "'", err);
}

/* Of the pools of its database: servers that log in, and whether somebody waits in one that has no server. */
static bool look_at_pools(struct poolers *ps, struct pooler *p, int *ret_logins, bool *ret_starved,
                          struct err *err)
{
    static const char *const kinds[] = {"sv_active", "sv_idle", "sv_used", "sv_tested"};
    PG_RESULT_AUTO res = NULL;
    if (!console_query(p->conn, "SHOW POOLS", deadline_of(ps), &res, err))
        return err_wrap(err, "%s", p->place);
    *ret_logins = 0;
    *ret_starved = false;
    for (int i = 0; i < pg_rows(res); i++) {
        int servers = 0;
        if (strcmp(console_cell(res, i, "database"), p->rule->database) != 0)
            continue;
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            servers += atoi(console_cell(res, i, kinds[k]));
        *ret_logins += atoi(console_cell(res, i, "sv_login"));
        *ret_starved = *ret_starved || (servers == 0 && atoi(console_cell(res, i, "cl_waiting")) > 0);
    }
    return true;
}

bool retry_await_logins(struct poolers *ps, struct pooler *p, struct err *err)
{
    int64_t end_us = clock_mono_us() + MIN_OF(LOGINS_END_US, ps->timeout_ms * 1000 / 2);
    int logins = 0;
    bool starved;
    do {
        if (!look_at_pools(ps, p, &logins, &starved, err))
            return false;
        if (logins > 0)
            (void)poll(NULL, 0, LOOK_MS);
    } while (logins > 0 && clock_mono_us() < end_us);
    return true;
}

static bool put_back(struct poolers *ps, struct pooler *p, int64_t end_us, struct err *err)
{
    char now[RETRY_TEXT_MAX], sql[80];
    int logins;
    bool starved = false;
    if (!read_setting(ps, p, now, err))
        return false;
    if (strcmp(now, OURS) != 0)
        return true;
    do {
        if (!look_at_pools(ps, p, &logins, &starved, err))
            return false;
        if (starved)
            (void)poll(NULL, 0, LOOK_MS);
    } while (starved && clock_mono_us() < end_us);
    (void)snprintf(sql, sizeof sql, "SET " SETTING " = '%s'", p->login_retry);
    return run(ps, p, p->login_retry[0] != '\0' ? sql : "RELOAD", err);
}

bool retry_settle(struct poolers *ps, struct err *err)
{
    int64_t end_us = clock_mono_us() + SERVED_US;
    struct err first = ERR_INIT;
    for (size_t i = 0; i < ps->count; i++) {
        struct err now = ERR_INIT;
        bool gone = false;
        /* One that is not there comes back with what its file says. */
        bool there = pooler_connect(ps, &ps->items[i], &gone, &now);
        if ((there ? put_back(ps, &ps->items[i], end_us, &now) : gone) || err_is_set(&first))
            continue;
        first = now;
    }
    if (!err_is_set(&first))
        return true;
    *err = first;
    return err_wrap(err, SETTING " may still be " OURS " there: RELOAD puts it back");
}
