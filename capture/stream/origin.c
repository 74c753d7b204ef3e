/*
 * Owns: which transactions are left out for their replication origin (capture.origin).
 *
 * Sources in the server: pgoutput.c (Origin follows Begin, if the origin still has a name), decode.c (origin 'none' of 16 and later: changes
 * with an origin are not even queued), reorderbuffer.c (a running transaction is sent with the origin of whatever was queued of it first: an
 * invalidation, as of a temporary table, has none, and its commit does not tell either. So no running ones are asked for where messages decide).
 */
#include <stdio.h>
#include <string.h>

#include "capture/stream/stream_internal.h"
#include "core/log.h"
#include "pg/origin.h"

static enum cap_origin wanted(const struct cap_stream *st)
{
    return st->session->settings->origin;
}

bool cap_origin_by_server(const struct cap_stream *st)
{
    return wanted(st) == CAP_ORIGIN_NONE && pg_server_version(st->session->stream) >= REPL_ORIGIN_VERSION;
}

bool cap_origin_by_message(const struct cap_stream *st)
{
    return wanted(st) != CAP_ORIGIN_ANY && !cap_origin_by_server(st);
}

/* A chain of databases is meant to be so, a ring is not: which one this is, only a person knows. */
static void tell_loop(struct cap_stream *st, const char *pipeline)
{
    if (strcmp(st->loop_told, pipeline) == 0)
        return;
    (void)snprintf(st->loop_told, sizeof st->loop_told, "%s", pipeline);
    log_event(LOG_LEVEL_INFO, "from_crossfade",
              "from=%s text=\"changes that apply of this pipeline wrote are captured, too; if they come from "
              "where this "
              "pipeline leads to, set capture.origin: not_crossfade\"",
              pipeline);
}

void cap_take_origin(struct cap_stream *st, const struct pgoutput_message *m)
{
    char pipeline[sizeof st->loop_told];
    bool ours = pg_origin_pipeline(m->origin.name, pipeline, sizeof pipeline);
    if (!st->txn.open)
        return;
    st->txn.left_out = wanted(st) == CAP_ORIGIN_NONE || (wanted(st) == CAP_ORIGIN_NOT_CROSSFADE && ours);
    if (ours && wanted(st) == CAP_ORIGIN_ANY && !st->txn.skip)
        tell_loop(st, pipeline);
}
