/*
 * Owns: the scratch databases, whatever servers they are on: their names, and that nothing is dropped that has none of them. Something that
 * says that its rehearsal lives is held by a session; without that a database of such a name is what one has left.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "maria/names.h"
#include "maria/url.h"
#include "rehearsal.h"

#define DROP_US  INT64_C(30000000)
#define PAUSE_MS 50

const char *const scratch_side_names[SIDES] = {[OLD] = "source", [NEW] = "target"};
static const char side_letters[SIDES + 1] = "st";

bool scratch_is_mariadb(const struct rehearsal *r, int side)
{
    return r->sides[side].server == &scratch_mariadb;
}

/* "crossfade_rehearsal_shop_": with tag and side no longer than a name of either server may be. */
static void name_begin(const struct rehearsal *r, char ret[NAME_MAX])
{
    (void)snprintf(ret, NAME_MAX, MARIA_REHEARSAL_PREFIX "%s_", r->pipeline);
}

/* Of this pipeline and that side, whichever rehearsal's. */
static bool is_ours(const struct rehearsal *r, int side, const char *name)
{
    char begin[NAME_MAX];
    name_begin(r, begin);
    size_t len = strlen(begin);
    return strncmp(name, begin, len) == 0 && strspn(name + len, "0123456789abcdef") == TAG_DIGITS &&
           name[len + TAG_DIGITS] == side_letters[side] && name[len + TAG_DIGITS + 1] == '\0';
}

bool scratch_connect(struct rehearsal *r, struct err *err)
{
    static const char *const keys[SIDES] = {[OLD] = "source.url", [NEW] = "target.url"};
    char begin[NAME_MAX];
    name_begin(r, begin);
    for (int side = 0; side < SIDES; side++) {
        struct scratch *s = &r->sides[side];
        s->url = config_text(r->cfg, keys[side]);
        s->server = maria_is_url(s->url) ? &scratch_mariadb : &scratch_postgres;
        (void)snprintf(s->name, sizeof s->name, "%.200s%s%c", begin, r->tag, side_letters[side]);
        if (!s->server->connect(s, err))
            return err_wrap(err, "%s", keys[side]);
    }
    return true;
}

bool scratch_reconnect(struct rehearsal *r, int side, struct err *err)
{
    return r->sides[side].server->connect(&r->sides[side], err);
}

bool scratch_may_be_made(struct rehearsal *r, struct err *err)
{
    for (int side = 0; side < SIDES; side++) {
        if (!r->sides[side].server->may_be_made(r, side, err))
            return err_wrap(err, "%s", scratch_side_names[side]);
    }
    return true;
}

bool scratch_make(struct rehearsal *r, struct err *err)
{
    for (int side = 0; side < SIDES; side++) {
        struct scratch *s = &r->sides[side];
        if (!s->server->make(s, r->pipeline, err))
            return err_wrap(err, "scratch database %s beside the %s", s->name, scratch_side_names[side]);
    }
    return true;
}

bool scratch_complete(struct rehearsal *r, int side, struct err *err)
{
    struct scratch *s = &r->sides[side];
    return s->server->complete(s, err) || err_wrap(err, "beside the %s", scratch_side_names[side]);
}

/* Somebody may still be going away: again, until it is done or has taken too long. */
bool scratch_drop(struct rehearsal *r, int side, const char *name, bool keep, struct err *err)
{
    struct scratch *s = &r->sides[side];
    int64_t until_us = clock_mono_us() + DROP_US;
    if (!is_ours(r, side, name))
        return err_set(err, ERR_BUG, "database %s is none of a rehearsal of pipeline %s", name, r->pipeline);
    for (;;) {
        bool gone = false;
        struct err now = ERR_INIT;
        if (s->server->drop(s, name, keep, &gone, &now) && gone)
            return true;
        if (clock_mono_us() >= until_us || now.code == ERR_CONNECT) {
            *err = now;
            if (!err_is_set(err))
                err_set(err, ERR_BUSY, "a replication slot is in use");
            return err_wrap(err, "database %s is left", name);
        }
        (void)poll(NULL, 0, PAUSE_MS);
    }
}

bool scratch_leftovers(struct rehearsal *r, int side, json_t *names, struct err *err)
{
    char begin[NAME_MAX];
    json_t *found = json_array(), *name;
    size_t i;
    name_begin(r, begin);
    bool ok = r->sides[side].server->leftovers(&r->sides[side], begin, found, err);
    json_array_foreach(found, i, name)
    {
        if (is_ours(r, side, json_string_value(name)))
            json_array_append(names, name);
    }
    json_decref(found);
    return ok || err_wrap(err, "%s", scratch_side_names[side]);
}

void scratch_leave(struct rehearsal *r, int side)
{
    if (r->sides[side].server != NULL)
        r->sides[side].server->leave(&r->sides[side]);
}

void scratch_close(struct rehearsal *r)
{
    for (int side = 0; side < SIDES; side++) {
        struct scratch *s = &r->sides[side];
        scratch_leave(r, side);
        if (s->server != NULL)
            s->server->close(s);
        free(s->scratch_url);
        free(s->app_url);
        s->scratch_url = s->app_url = NULL;
    }
}
