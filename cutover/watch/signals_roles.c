/*
 * Owns: what the roles of the pipeline that runs tell: lag, failed batches, whether they answer. Where one does not answer, the lag is measured
 * from end to end, by a marker on the source that the target's position has to pass: no number of a dead role is trusted, and an idle source is not
 * taken for a late one.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "watching.h"

#define ANSWER_MS 2000

struct role_answer {
    const char *name, *address;
    json_t *status; /* NULL = none came */
    bool trouble;
    char text[120];
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void ask(const struct config *cfg, const char *role, const char *listen_key, struct role_answer *ret)
{
    char *body = NULL;
    int code = 0;
    struct err away = ERR_INIT;
    *ret = (struct role_answer){.name = role, .address = config_text(cfg, listen_key), .trouble = true};
    const struct http_access access = http_access_of(cfg);
    if (!http_get(&access, ret->address, "/status", ANSWER_MS, &body, &code, &away)) {
        (void)snprintf(ret->text, sizeof ret->text, "%s does not answer at %.60s", role, ret->address);
        return;
    }
    ret->status = code == 200 ? json_loads(body, 0, NULL) : NULL;
    free(body);
    if (strcmp(text_of(ret->status, "role"), role) != 0 ||
        strcmp(text_of(ret->status, "pipeline"), config_text(cfg, "pipeline")) != 0) {
        json_decref(ret->status);
        ret->status = NULL;
        (void)snprintf(ret->text, sizeof ret->text, "something else answers for %s at %.60s", role,
                       ret->address);
        return;
    }
    ret->trouble = strcmp(text_of(ret->status, "phase"), "halted") == 0;
    (void)snprintf(ret->text, sizeof ret->text, "%s is %.20s", role, text_of(ret->status, "phase"));
}

/* --- lag --- */

/* Where a commit stands in its stream, MariaDB does not tell the one who commits; when it was, the position tells. */
static bool ping_mariadb(struct watching *w, const char *pipeline, struct err *err)
{
    ROWSET_AUTO none = NULL;
    ROWSET_AUTO rs = NULL;
    const char *params[] = {pipeline, w->probe.nonce};
    if (!watch_ask_sql(&w->co, "INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES ($1, $2, 'ping')",
                       2, params, &none, err) ||
        !watch_ask_sql(&w->co, "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', SYSDATE(6))", 0, NULL, &rs,
                       err))
        return err_wrap(err, "marker ping");
    w->probe.lsn = LSN_UNKNOWN;
    w->probe.there_us = rowset_int64(rs, 0, 0);
    return true;
}

static bool probe_send(struct watching *w, const struct config *cfg, struct err *err)
{
    bool reverse = cfg == w->reverse;
    struct cutover from = {.cfg = cfg, .pipeline = config_text(cfg, "pipeline")};
    if (w->probe.lsn != 0 && w->probe.reverse == reverse)
        return true;
    w->probe = (struct watch_probe){.reverse = reverse};
    nonce_make(w->probe.nonce);
    w->probe.sent_us = clock_wall_us();
    if (reverse && w->co.maria != NULL)
        return ping_mariadb(w, from.pipeline, err);
    from.source = reverse ? w->co.target : watch_source(w, err);
    return from.source != NULL && marker_write(&from, "ping", w->probe.nonce, &w->probe.lsn, err);
}

/* The binlog has whole seconds, rounded down: a commit of a later second than the marker's is behind it; one of the same second may be, and then a
 * second marker will tell. */
static bool arrived_by_time(struct watching *w, const char *pipeline, int64_t commit_us, bool *ret,
                            struct err *err)
{
    int64_t there_us = w->probe.there_us;
    *ret = commit_us >= there_us;
    return *ret || commit_us < there_us - there_us % 1000000 || ping_mariadb(w, pipeline, err);
}

static bool probe_arrived(struct watching *w, const struct config *cfg, bool *ret, struct err *err)
{
    struct cutover *to = w->probe.reverse ? watch_back(w, err) : &w->co;
    const char *pipeline = config_text(cfg, "pipeline");
    ROWSET_AUTO rs = NULL;
    lsn_t lsn;
    bool complete;
    char nonce[40];
    if (to == NULL || !position_read(to, &lsn, &complete, nonce, err) ||
        !watch_ask(to, ASK_POSITION, 1, &pipeline, &rs, err))
        return false;
    *ret = strcmp(nonce, w->probe.nonce) == 0;
    if (*ret || w->probe.there_us == 0) {
        *ret = *ret || lsn >= w->probe.lsn;
        return true;
    }
    return arrived_by_time(w, pipeline, rowset_int64(rs, 0, 1), ret, err);
}

static void lag_by_marker(struct watching *w, const struct config *cfg, struct signal *s)
{
    struct err away = ERR_INIT;
    bool arrived = false;
    if (!watch_there(&w->co)) {
        signal_unknown(s, "the target is away");
        return;
    }
    if (!probe_send(w, cfg, &away) || !probe_arrived(w, cfg, &arrived, &away)) {
        signal_unknown(s, "%.280s", away.text);
        return;
    }
    double waits_s = arrived ? 0 : (double)(clock_wall_us() - w->probe.sent_us) / 1e6;
    signal_set(s, MAX_OF(waits_s, 0), "a role does not answer; a marker %s",
               arrived ? "has arrived" : "is under way");
    if (arrived)
        w->probe.lsn = 0;
}

static void lag_by_roles(const struct role_answer *capture, const struct role_answer *apply, struct signal *s)
{
    const json_t *c = json_object_get(capture->status, "lag_seconds"),
                 *a = json_object_get(apply->status, "lag_seconds");
    if (!json_is_number(c) || !json_is_number(a)) {
        signal_unknown(s, "the roles do not know it yet");
        return;
    }
    double c_s = json_number_value(c), a_s = json_number_value(a);
    signal_set(s, MAX_OF(c_s, a_s), "capture %.1f s, apply %.1f s", c_s, a_s);
}

/* --- all of them --- */

static void failed_batches(const struct role_answer *apply, struct signal *s)
{
    const json_t *failed = json_object_get(apply->status, "failed_batches");
    if (!json_is_integer(failed))
        signal_unknown(s, "%s", apply->text);
    else
        signal_set(s, (double)json_integer_value(failed), "%.250s",
                   json_integer_value(failed) > 0 ? text_of(apply->status, "last_error") : "none");
}

/* A part of `corruption`: what apply met last. The rest is added by signal_of_corruption(). */
static void damage_met(const struct role_answer *role, struct signal *s)
{
    const char *state = text_of(role->status, "last_sqlstate");
    if (strncmp(state, "XX", 2) != 0 && strcmp(state, "58030") != 0)
        return;
    signal_set(s, 1, "%s: %.250s", role->name, text_of(role->status, "last_error"));
}

void signals_of_roles(struct watching *w)
{
    const struct config *cfg = watch_running(w);
    struct role_answer capture, apply;
    struct watch_trigger *t = w->triggers;
    if (cfg == NULL) {
        signal_unknown(
            &t[TRIGGER_LAG].signal,
            "there is no way back (crossfade --reverse capture and apply, or cutover.watch.reverse_config)");
        t[TRIGGER_ROLES].signal = t[TRIGGER_FAILED_BATCHES].signal = t[TRIGGER_LAG].signal;
        return;
    }
    ask(cfg, "apply", "apply.listen", &apply);
    ask(cfg, "capture", "capture.listen", &capture);
    signal_set(&t[TRIGGER_ROLES].signal, capture.trouble + apply.trouble, "%s, %s", capture.text, apply.text);
    if (capture.status != NULL && apply.status != NULL) {
        w->probe.lsn = 0;
        lag_by_roles(&capture, &apply, &t[TRIGGER_LAG].signal);
    } else {
        lag_by_marker(w, cfg, &t[TRIGGER_LAG].signal);
    }
    failed_batches(&apply, &t[TRIGGER_FAILED_BATCHES].signal);
    damage_met(&apply, &t[TRIGGER_CORRUPTION].signal);
    json_decref(capture.status);
    json_decref(apply.status);
}
