/* Owns: what is configured of the poolers, and their pause. Switching: switch.c; what gates ask: look.c. */
#include "cutover/poolers/poolers.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "cutover/poolers/keeper.h"
#include "cutover/poolers/poolers_internal.h"
#include "pg/url.h"
#include "json/text.h"

#define STOP_POLL_MS 100

/* --- what is configured --- */

static bool target_part(const struct config *cfg, const char *said, const char *keyword,
                        const char *otherwise, char **ret, struct err *err)
{
    if (said != NULL) {
        *ret = xstrdup(said);
        return true;
    }
    /* A rollback's source is where the cutover has led the poolers. */
    const char *key = config_is_reversed(cfg) ? "source.url" : "target.url";
    if (!pg_url_value(config_text(cfg, key), keyword, ret, err))
        return false;
    if (*ret == NULL && otherwise != NULL)
        *ret = xstrdup(otherwise);
    if (*ret != NULL && (**ret == '/' || strpbrk(*ret, ",\t\r\n") == NULL))
        return true;
    free(*ret);
    *ret = NULL;
    return err_set(err, ERR_CONFIG,
                   "%s says no single %s that a pooler could be pointed to. Hint: add %s:", key, keyword,
                   keyword);
}

static bool pooler_init(const struct config *cfg, const struct pooler_rule *rule, struct pooler *ret,
                        struct err *err)
{
    char masked[300];
    ret->rule = rule;
    ret->target_url = config_text(cfg, config_is_reversed(cfg) ? "source.url" : "target.url");
    ret->place =
        xasprintf("pooler=%s database=%s", log_mask_url(rule->admin, masked, sizeof masked), rule->database);
    return (target_part(cfg, rule->host, "host", NULL, &ret->target.host, err) &&
            target_part(cfg, rule->port, "port", "5432", &ret->target.port, err) &&
            target_part(cfg, rule->dbname, "dbname", NULL, &ret->target.dbname, err)) ||
           err_wrap(err, "%s", ret->place);
}

bool poolers_of(struct cutover *co, struct poolers **ret, struct err *err)
{
    if (co->poolers == NULL) {
        struct poolers *ps = xcalloc(1, sizeof *ps);
        bool ok = pooler_rules_from_config(co->cfg, &ps->rules, &ps->count, err);
        ps->items = xcalloc(ps->count + 1, sizeof *ps->items);
        ps->timeout_ms = config_int(co->cfg, "cutover.pooler_timeout_ms");
        for (size_t i = 0; ok && i < ps->count; i++)
            ok = pooler_init(co->cfg, &ps->rules[i], &ps->items[i], err);
        if (!ok) {
            poolers_free(ps);
            return false;
        }
        co->poolers = ps;
    }
    *ret = co->poolers;
    return true;
}

void poolers_free(struct poolers *ps)
{
    if (ps == NULL)
        return;
    keeper_end(ps);
    for (size_t i = 0; ps->items != NULL && i < ps->count; i++) {
        pooler_disconnect(&ps->items[i]);
        free(ps->items[i].place);
        connstr_release(&ps->items[i].target);
    }
    free(ps->items);
    pooler_rules_free(ps->rules, ps->count);
    free(ps);
}

size_t poolers_count(struct cutover *co)
{
    size_t count;
    (void)config_list(co->cfg, "cutover.poolers", &count);
    return count;
}

/* --- one of them --- */

void pooler_disconnect(struct pooler *p)
{
    pg_close(p->conn);
    p->conn = NULL;
}

static int64_t deadline_of(const struct poolers *ps)
{
    return clock_mono_us() + ps->timeout_ms * 1000;
}

bool pooler_connect(struct poolers *ps, struct pooler *p, bool *ret_gone, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    /* It may have been restarted since: then the old connection breaks. */
    if (p->conn != NULL && !pg_busy(p->conn) &&
        console_query(p->conn, "SHOW VERSION", deadline_of(ps), &res, NULL))
        return true;
    pooler_disconnect(p);
    return console_open(p->rule->admin, ps->timeout_ms, &p->conn, ret_gone, err) ||
           err_wrap(err, "%s", p->place);
}

bool pooler_state(struct poolers *ps, struct pooler *p, struct console_database *ret, struct err *err)
{
    struct console_database db;
    if (!console_database(p->conn, p->rule->database, deadline_of(ps), &db, err))
        return err_wrap(err, "%s", p->place);
    if (!db.found)
        return err_set(err, ERR_CONFIG, "%s: it has no such database", p->place);
    *ret = db;
    return true;
}

/* --- pause --- */

enum pausing { PAUSING_UNKNOWN = 0, PAUSING_ASKED, PAUSING_DONE };

/* Once it holds its clients, PAUSE does nothing more than to tell so. */
static bool ask_pause(struct cutover *co, struct poolers *ps, struct pooler *p, struct err *err)
{
    struct console_database db;
    if (!pooler_connect(ps, p, NULL, err) || !pooler_state(ps, p, &db, err))
        return false;
    if (db.disabled)
        return err_set(err, ERR_REFUSED, "%s: it is disabled. Hint: ENABLE it on its console", p->place);
    if (!db.paused && co->state == CUT_DECIDING)
        cutover_say(co, "%s is not paused any more: it was restarted? It is paused again", p->place);
    if (!retry_hasten(ps, p, err) || (!db.paused && !retry_await_logins(ps, p, err)))
        return false;
    p->was_paused = db.paused;
    p->asked_us = clock_mono_us();
    p->asked_wall_us = clock_wall_us();
    return console_send(p->conn, "PAUSE", p->rule->database, err) || err_wrap(err, "%s", p->place);
}

/* One that was paused before is told of only by who takes a cutover up: the pause is an earlier attempt's. */
static void note_paused(struct cutover *co, const struct pooler *p)
{
    if (!p->was_paused || co->attempt > 1)
        notes_add(co, json_pack("{s:s, s:s, s:o, s:I, s:I, s:b}", "kind", "pooler", "what", "pause", "name",
                                json_text(p->place), "at_us", (json_int_t)p->asked_wall_us, "took_us",
                                (json_int_t)(clock_mono_us() - p->asked_us), "was_paused", p->was_paused));
}

static bool take_answer(struct cutover *co, struct pooler *p, enum pausing *state, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    switch (pg_poll_result(p->conn, &res, err)) {
    case PG_POLL_ERROR:
        return err_wrap(err, "%s", p->place);
    case PG_POLL_READY:
        *state = PAUSING_DONE;
        note_paused(co, p);
        return true;
    case PG_POLL_WAIT:
        return true;
    }
    return true;
}

static bool not_in_time(const struct poolers *ps, const struct pooler *p, struct err *err)
{
    return err_set(
        err, ERR_TIMEOUT,
        "%s: not paused after %lld ms: a transaction goes on. Hint: SHOW SERVERS on its console tells "
        "whose; end it, or raise cutover.pooler_timeout_ms",
        p->place, (long long)ps->timeout_ms);
}

static bool await_all(struct cutover *co, struct poolers *ps, enum pausing *states, struct err *err)
{
    struct pollfd *fds CLEANUP(free_ptr) = xcalloc(ps->count, sizeof *fds);
    for (int64_t deadline_us = deadline_of(ps);;) {
        const struct pooler *late = NULL;
        size_t waiting = 0;
        for (size_t i = 0; i < ps->count; i++) {
            if (states[i] != PAUSING_DONE && !take_answer(co, &ps->items[i], &states[i], err))
                return false;
            if (states[i] == PAUSING_DONE)
                continue;
            late = &ps->items[i];
            fds[waiting++] = (struct pollfd){.fd = pg_socket(late->conn), .events = POLLIN};
        }
        if (late == NULL)
            return true;
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while the poolers were being paused");
        int64_t left_ms = (deadline_us - clock_mono_us()) / 1000;
        if (left_ms <= 0)
            return not_in_time(ps, late, err);
        (void)poll(fds, (nfds_t)waiting, (int)MIN_OF(left_ms, STOP_POLL_MS));
    }
}

bool poolers_pause(struct cutover *co, struct err *err)
{
    struct poolers *ps;
    if (!poolers_of(co, &ps, err))
        return false;
    if (ps->count == 0)
        return true;
    enum pausing *states CLEANUP(free_ptr) = xcalloc(ps->count, sizeof *states);
    bool ok = keeper_start(co, ps, err);
    for (size_t i = 0; ok && i < ps->count; i++) {
        ok = ask_pause(co, ps, &ps->items[i], err);
        states[i] = PAUSING_ASKED;
    }
    if (ok && await_all(co, ps, states, err) && failpoint("cutover.poolers_paused", err))
        return true;
    struct err ignored = ERR_INIT; /* what went wrong first is told; the abort resumes once more */
    if (!poolers_resume(co, &ignored))
        cutover_say(co, "%s", ignored.text);
    return false;
}

/* --- resume --- */

/* How long a pause may be made longer so as to know how long it was. */
#define LOOK_US (INT64_C(300) * 1000)

static void note_resumed(struct cutover *co, const struct pooler *p, const struct console_waiting *waiting,
                         int64_t looked_us, int64_t begin_us)
{
    int64_t now_us = clock_mono_us();
    json_t *note = json_pack(
        "{s:s, s:s, s:o, s:I, s:I}", "kind", "pooler", "what", "resume", "name", json_text(p->place), "at_us",
        (json_int_t)(clock_wall_us() - (now_us - begin_us)), "took_us", (json_int_t)(now_us - begin_us));
    if (waiting != NULL) {
        json_object_set_new(note, "clients", json_integer(waiting->clients));
        json_object_set_new(
            note, "longest_us",
            json_integer(waiting->clients > 0 ? waiting->longest_us + now_us - looked_us : 0));
    }
    notes_add(co, note);
}

bool pooler_let_go(struct cutover *co, struct poolers *ps, struct pooler *p, struct err *err)
{
    struct console_waiting waiting;
    int64_t looked_us = clock_mono_us();
    bool known = console_waiting(p->conn, p->rule->database, looked_us + LOOK_US, &waiting, NULL);
    if (!known && !pooler_connect(ps, p, NULL, err))
        return false;
    if (!retry_hasten(ps, p, err)) /* a RELOAD, ours or since a process that died, has put it back */
        return false;
    int64_t begin_us = clock_mono_us();
    if (!console_run(p->conn, "RESUME", p->rule->database, deadline_of(ps), err))
        return err_wrap(err, "%s", p->place);
    note_resumed(co, p, known ? &waiting : NULL, looked_us, begin_us);
    return true;
}

static bool resume_one(struct cutover *co, struct poolers *ps, struct pooler *p, bool *ret_gone,
                       struct err *err)
{
    struct console_database db;
    if (!pooler_connect(ps, p, ret_gone, err) || !pooler_state(ps, p, &db, err))
        return false;
    return !db.paused || pooler_let_go(co, ps, p, err);
}

/* A pause lasts no longer than the process. */
static bool resume_unless_gone(struct cutover *co, struct poolers *ps, struct pooler *p, struct err *err)
{
    struct err failed = ERR_INIT;
    bool gone = false;
    if (resume_one(co, ps, p, &gone, &failed))
        return true;
    if (gone) {
        cutover_say(co, "%s: nobody listens there, so nothing is to be resumed", p->place);
        return true;
    }
    *err = failed;
    return false;
}

bool poolers_resume(struct cutover *co, struct err *err)
{
    struct poolers *ps;
    struct err first = ERR_INIT;
    if (!poolers_of(co, &ps, err))
        return false;
    for (size_t i = 0; i < ps->count; i++) {
        struct err now = ERR_INIT;
        if (!resume_unless_gone(co, ps, &ps->items[i], &now) && !err_is_set(&first))
            first = now;
    }
    struct err unsettled = ERR_INIT;
    if (!retry_settle(ps, &unsettled))
        cutover_say(co, "%s", unsettled.text);
    if (!err_is_set(&first))
        return true;
    *err = first;
    return err_wrap(err, "a pooler may still hold its clients");
}
