/* Owns the way from the source's WAL to the target's position: marker rows, and waiting for them to arrive.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "cutover_internal.h"
#include "from_maria/from_maria.h"

#define POLL_MS 10

bool marker_write(struct cutover *co, const char *kind, const char *nonce, lsn_t *ret_lsn, struct err *err)
{
    const char *params[] = {co->pipeline, nonce, kind};
    PG_RESULT_AUTO res = NULL;
    if (co->from_maria != NULL)
        return from_maria_marker(co, kind, nonce, ret_lsn, err);
    if (!pg_query(co->source, "INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ($1, $2, $3)", 3,
                  params, &res, err))
        return err_wrap(err, "marker %s", kind);
    char *text = NULL;
    if (!pg_query_text(co->source, "SELECT pg_catalog.pg_current_wal_insert_lsn()::text", 0, NULL, &text,
                       err))
        return false;
    bool ok = text != NULL && lsn_parse(text, ret_lsn);
    free(text);
    return ok ? true : err_set(err, ERR_PROTOCOL, "pg_current_wal_insert_lsn() gave no LSN");
}

/* With several shards the pipeline is as far as the slowest, and at a marker when all of them are. */
bool position_read(struct cutover *co, lsn_t *ret_lsn, bool *ret_complete, char ret_nonce[40],
                   struct err *err)
{
    const char *params[] = {co->pipeline};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_POSITION, 1, params, &rs, err))
        return err_wrap(err, "target position");
    *ret_lsn = 0;
    *ret_complete = rowset_rows(rs) > 0;
    (void)snprintf(ret_nonce, 40, "%s", rowset_rows(rs) > 0 ? rowset_cell(rs, 0, 2) : "");
    for (int i = 0; i < rowset_rows(rs); i++) {
        lsn_t lsn = 0;
        if (!lsn_parse(rowset_cell(rs, i, 0), &lsn))
            return err_set(err, ERR_PROTOCOL, "crossfade.position holds no LSN");
        *ret_lsn = i == 0 ? lsn : MIN_OF(*ret_lsn, lsn);
        *ret_complete = *ret_complete && rowset_bool(rs, i, 1);
        if (strcmp(ret_nonce, rowset_cell(rs, i, 2)) != 0)
            ret_nonce[0] = '\0';
    }
    return true;
}

bool drain_wait(struct cutover *co, lsn_t marker_lsn, const char *nonce, int64_t timeout_ms, struct err *err)
{
    int64_t deadline_us = clock_mono_us() + timeout_ms * 1000;
    lsn_t applied_lsn = 0;
    for (;;) {
        bool complete;
        char seen[40];
        if (!position_read(co, &applied_lsn, &complete, seen, err))
            return false;
        /* The marker's own fence, or one behind it: fences are in the order of the WAL. */
        if (complete && (strcmp(seen, nonce) == 0 || applied_lsn >= marker_lsn))
            return true;
        if (co->talk->stop_asked(co->talk->ctx))
            return err_set(err, ERR_INTERRUPTED, "stop was asked for while waiting for the target");
        if (clock_mono_us() > deadline_us)
            break;
        (void)poll(NULL, 0, POLL_MS);
    }
    return err_set(err, ERR_TIMEOUT,
                   "the target did not reach the marker within %" PRId64 " ms: applied_lsn=" LSN_FMT
                   " wanted lsn=" LSN_FMT "; look at `crossfade status`",
                   timeout_ms, LSN_ARGS(applied_lsn), LSN_ARGS(marker_lsn));
}
