/*
 * Owns: markers on a source that is MariaDB. Nobody but capture knows at which place of its stream a row is, so the marker's fence is looked for in the
 * journal: its LSN is what drain_wait() waits for.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "core/clock.h"
#include "cutover/deadline.h"
#include "cutover/from_maria/from_maria.h"
#include "journal/journal_settings.h"

#define LOOK_MS         10
#define READ_TIMEOUT_MS 10000

struct look {
    struct journal_reader *jr;
    const char *stream, *nonce;
    uint64_t next; /* offset that was not read yet */
    bool found;
    lsn_t lsn;
};

static bool take_fence(struct look *look, const struct journal_record *rec, struct err *err)
{
    struct fence fence = {0};
    if (!fence_decode(rec->value, rec->value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    if (fence.marker.kind != MARKER_NONE && strcmp(fence.marker.nonce, look->nonce) == 0) {
        look->found = true;
        look->lsn = fence.lsn;
    }
    fence_release(&fence);
    return true;
}

/* What has come since the last look. */
static bool look_on(struct look *look, struct err *err)
{
    uint64_t kept, next;
    struct journal_record rec;
    bool end = false;
    if (!journal_bounds(look->jr, look->stream, 0, &kept, &next, err))
        return false;
    struct journal_range range = {
        .stream = look->stream, .first_offset = MAX_OF(look->next, kept), .next_offset = next};
    if (range.first_offset >= next)
        return true;
    if (!journal_assign(look->jr, &range, 1, err))
        return false;
    while (!end && !look->found) {
        if (!journal_take(look->jr, READ_TIMEOUT_MS, &rec, &end, err))
            return err_wrap(err, "topic=%s", look->stream);
        if (!end && !take_fence(look, &rec, err))
            return false;
    }
    look->next = next;
    return true;
}

static bool insert(struct cutover *co, const char *kind, const char *nonce, struct err *err)
{
    const char *params[] = {co->pipeline, nonce, kind};
    ROWSET_AUTO none = NULL;
    return session_ask(co->from_maria->main,
                       "INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES ($1, $2, $3)", 3, params,
                       &none, err) ||
           err_wrap(err, "marker %s", kind);
}

static bool await_fence(struct cutover *co, struct look *look, struct err *err)
{
    int64_t begin_us = clock_mono_us();
    int64_t most_ms = MIN_OF(MAX_OF(1, deadline_left_ms(co)), config_int(co->cfg, "cutover.max_lag_ms"));
    for (;;) {
        if (!look_on(look, err) || look->found)
            return look->found;
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while waiting for the journal");
        if (clock_mono_us() - begin_us > most_ms * 1000)
            return err_set(err, ERR_TIMEOUT,
                           "a marker did not reach the journal within %" PRId64
                           " ms; look at `crossfade status`",
                           most_ms);
        (void)poll(NULL, 0, LOOK_MS);
    }
}

static bool put_and_look(struct cutover *co, const char *kind, struct look *look, struct err *err)
{
    uint64_t kept;
    return journal_bounds(look->jr, look->stream, 0, &kept, &look->next, err) &&
           insert(co, kind, look->nonce, err) && await_fence(co, look, err);
}

bool from_maria_marker(struct cutover *co, const char *kind, const char *nonce, lsn_t *ret_lsn,
                       struct err *err)
{
    struct journal_config config;
    journal_settings(co->cfg, &config);
    char *stream = journal_fence_stream(config.topic_prefix);
    struct look look = {.stream = stream, .nonce = nonce};
    bool ok = journal_reader_open(&config, NULL, &look.jr, err) && put_and_look(co, kind, &look, err);
    journal_reader_close(look.jr);
    free(stream);
    if (ok)
        *ret_lsn = look.lsn;
    return ok;
}
