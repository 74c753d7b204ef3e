/* Owns: who waited for how long. See pause.h. */
#include "cutover/dossier/pause.h"

#include <string.h>

static json_t *pause_of(struct dossier *d)
{
    return json_object_get(d->doc, "pause");
}

void pause_begin(struct dossier *d)
{
    const struct cutover_report *now = d->req->now;
    json_t *j = json_object();
    int64_t budget_ms = now != NULL && now->pause_budget_ms > 0
                            ? now->pause_budget_ms
                            : deadline_option_ms(d->cfg, "cutover.pause_budget_ms");
    dossier_put(j, "budget_ms", json_integer(budget_ms));
    dossier_put(j, "estimate_ms", json_null());
    dossier_put(j, "began_at", json_null());
    dossier_put(j, "offset_ms", json_null());
    dossier_put(j, "refused_ms", json_null());
    dossier_put(j, "clients_longest_ms", json_null());
    dossier_put(j, "clients_waiting", json_null());
    dossier_put(j, "poolers", json_array());
    dossier_put(j, "stragglers", json_array());
    dossier_put(d->doc, "pause", j);
}

/* A pooler's entry: where it was paused, how it was let go. */
static json_t *pooler_named(json_t *poolers, const json_t *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(poolers, i, one)
    {
        if (json_equal(json_object_get(one, "name"), name))
            return one;
    }
    one = json_pack("{s:O, s:n, s:n, s:n, s:n, s:n, s:b, s:i}", "name", name, "paused_at", "resumed_at",
                    "held_ms", "clients", "longest_ms", "pause_seen", 0, "pauses", 0);
    json_array_append_new(poolers, one);
    return one;
}

static int64_t put_time(json_t *j, const char *key, const char *us_key, int64_t at_us)
{
    dossier_put(j, key, dossier_time(at_us));
    dossier_put(j, us_key, json_integer(at_us));
    return at_us;
}

static void take_pause(json_t *pooler, const json_t *note, int64_t at_us)
{
    bool found_so = json_is_true(json_object_get(note, "was_paused"));
    if (!found_so)
        dossier_put(pooler, "pauses", json_integer(dossier_int(pooler, "pauses", 0) + 1));
    if (!json_is_null(json_object_get(pooler, "paused_at")))
        return;
    (void)put_time(pooler, "paused_at", "paused_us", at_us);
    dossier_put(pooler, "pause_seen", json_boolean(!found_so));
}

static void take_resume(json_t *pooler, const json_t *note, int64_t at_us)
{
    int64_t resumed_us =
        put_time(pooler, "resumed_at", "resumed_us", at_us + dossier_int(note, "took_us", 0));
    int64_t paused_us = dossier_int(pooler, "paused_us", 0);
    if (paused_us > 0)
        dossier_put(pooler, "held_ms", dossier_ms(resumed_us - paused_us));
    int64_t longest_us = dossier_int(note, "longest_us", -1);
    dossier_put(pooler, "longest_ms", dossier_ms(longest_us));
    dossier_put(pooler, "clients",
                longest_us < 0 ? json_null() : json_integer(dossier_int(note, "clients", 0)));
}

static void take_straggler(struct dossier *d, const json_t *note, int64_t at_us)
{
    json_array_append_new(json_object_get(pause_of(d), "stragglers"),
                          json_pack("{s:o, s:o, s:o, s:o}", "pid", dossier_say(d, dossier_text(note, "name")),
                                    "role", dossier_say(d, dossier_text(note, "role")), "application",
                                    dossier_say(d, dossier_text(note, "application")), "ended_at",
                                    dossier_time(at_us)));
}

void pause_take(struct dossier *d, const json_t *note, int64_t at_us)
{
    const char *kind = dossier_text(note, "kind");
    if (strcmp(kind, "straggler") == 0)
        take_straggler(d, note, at_us);
    if (strcmp(kind, "pooler") != 0)
        return;
    json_t *name = dossier_say(d, dossier_text(note, "name"));
    json_t *pooler = pooler_named(json_object_get(pause_of(d), "poolers"), name);
    json_decref(name);
    if (strcmp(dossier_text(note, "what"), "pause") == 0)
        take_pause(pooler, note, at_us);
    else
        take_resume(pooler, note, at_us);
}

void pause_refused(struct dossier *d, int64_t began_us, int64_t refused_us)
{
    json_t *j = pause_of(d);
    if (json_is_null(json_object_get(j, "began_at"))) {
        dossier_put(j, "began_at", dossier_time(began_us));
        dossier_put(j, "offset_ms", dossier_ms(began_us > d->began_us ? began_us - d->began_us : 0));
    }
    if (refused_us >= 0)
        dossier_put(j, "refused_ms", dossier_ms(refused_us));
}

void pause_end(struct dossier *d)
{
    json_t *j = pause_of(d), *one;
    double longest = -1;
    int64_t clients = -1;
    size_t i;
    json_array_foreach(json_object_get(j, "poolers"), i, one)
    {
        double ms = dossier_number(one, "longest_ms");
        longest = ms > longest ? ms : longest;
        if (ms >= 0)
            clients = (clients < 0 ? 0 : clients) + dossier_int(one, "clients", 0);
        (void)json_object_del(one, "paused_us");
        (void)json_object_del(one, "resumed_us");
    }
    if (clients >= 0) {
        dossier_put(j, "clients_longest_ms", json_real(longest));
        dossier_put(j, "clients_waiting", json_integer(clients));
    }
}
