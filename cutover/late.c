/*
 * Owns the last look before the decision: what the journal holds behind the final fence. The freeze closes
 * the ways that applications have; this tells whether somebody found another one (a subscription, a partition made meanwhile, a
 * trigger taken away): whatever wrote, its changes are there. What no stream tells of is told by the catalog: tables
 * that were altered, dropped or made since the final comparison looked at them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "core/alloc.h"
#include "core/hash.h"
#include "cutover_internal.h"
#include "from_maria/from_maria.h"
#include "gates.h"
#include "journal/journal_settings.h"
#include "refuse.h"

#define BACK_STEP       400 /* offsets before the end at which the walk begins */
#define READ_TIMEOUT_MS 10000

struct look {
    const char *nonce;
    bool final_seen;
    char stream[256]; /* of the first change behind the final fence; "" = none */
    lsn_t lsn;
};

static bool take_fence(struct look *look, const struct journal_record *rec, struct err *err)
{
    struct fence fence = {0};
    if (!fence_decode(rec->value, rec->value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    for (size_t i = 0; look->final_seen && look->stream[0] == '\0' && i < fence.range_count; i++) {
        if (fence.ranges[i].next_offset == fence.ranges[i].first_offset)
            continue;
        (void)snprintf(look->stream, sizeof look->stream, "%s", fence.ranges[i].stream);
        look->lsn = fence.lsn;
    }
    if (fence.marker.kind == MARKER_FINAL && strcmp(fence.marker.nonce, look->nonce) == 0)
        look->final_seen = true;
    fence_release(&fence);
    return true;
}

static bool walk(struct look *look, struct journal_reader *jr, const char *stream, uint64_t first,
                 uint64_t next, struct err *err)
{
    struct journal_range range = {.stream = stream, .first_offset = first, .next_offset = next};
    struct journal_record rec;
    if (first < next && !journal_assign(jr, &range, 1, err))
        return false;
    while (first < next) {
        bool end = false;
        if (!journal_take(jr, READ_TIMEOUT_MS, &rec, &end, err))
            return err_wrap(err, "topic=%s", stream);
        if (end)
            return true;
        if (!take_fence(look, &rec, err))
            return false;
    }
    return true;
}

static bool look_back(struct look *look, struct journal_reader *jr, const char *stream, struct err *err)
{
    uint64_t kept, next, first;
    if (!journal_bounds(jr, stream, 0, &kept, &next, err))
        return false;
    for (uint64_t distance = BACK_STEP;; distance *= 4) {
        first = next - kept > distance ? next - distance : kept;
        if (!walk(look, jr, stream, first, next, err))
            return false;
        if (look->final_seen || first == kept)
            break;
    }
    return look->final_seen || err_set(err, ERR_GAP, "topic=%s does not hold the final fence", stream);
}

/* A rewrite has a new file, so values that it has changed are told as well. */
static const char catalog_sql[] =
    "SELECT pg_catalog.md5(string_agg(concat_ws(' ', c.oid, c.relnamespace, c.relname,"
    " pg_catalog.pg_relation_filenode(c.oid), (SELECT string_agg(concat_ws(',', a.attnum, a.attname, "
    "a.atttypid,"
    "  a.atttypmod, a.attcollation, a.attgenerated, a.attisdropped), ';' ORDER BY a.attnum)"
    "  FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)), '|' ORDER BY c.oid))"
    " FROM (" FROZEN_TABLES("$1") ") f JOIN pg_catalog.pg_class c ON c.oid = f.oid";

static bool note_shapes(struct cutover *co, char ret[40], struct err *err)
{
    char *shapes CLEANUP(free_ptr) = NULL;
    if (!from_maria_shapes(co, &shapes, err))
        return false;
    (void)snprintf(ret, 40, "%016" PRIx64, hash_fnv1a(HASH_FNV1A, shapes, strlen(shapes)));
    return true;
}

bool late_note_catalog(struct cutover *co, char ret[40], struct err *err)
{
    char publication[64];
    char *digest CLEANUP(free_ptr) = NULL;
    (void)snprintf(publication, sizeof publication, "crossfade_%s", co->pipeline);
    const char *params[] = {publication};
    if (co->from_maria != NULL)
        return note_shapes(co, ret, err);
    if (!pg_query_text(co->source, catalog_sql, 1, params, &digest, err))
        return err_wrap(err, "source: the tables that are closed");
    (void)snprintf(ret, 40, "%s", digest != NULL ? digest : "");
    return true;
}

static bool catalog_stands(struct cutover *co, struct err *err)
{
    struct gate_result gate = {.verdict = GATE_OK};
    char now[40];
    /* By another process, before this one resumed: what it has seen is not known here. */
    if (co->catalog[0] == '\0' && !verify_changed(co, err))
        return false;
    if (!late_note_catalog(co, now, err))
        return false;
    if (strcmp(now, co->catalog) != 0)
        return err_set(
            err, ERR_BUSY,
            "a table was altered, dropped or made on the source after it was compared. Hint: no migrations "
            "during "
            "a cutover; `crossfade cutover plan` tells which table it is if the target lacks something");
    const char *none = NULL;
    if (co->from_maria != NULL)
        (void)from_maria_gate("publication", &none)(co, &gate);
    else
        (void)gate_publication(co, &gate);
    return gate.verdict == GATE_OK ||
           err_set(err, ERR_BUSY, "a table was made on the source after it was closed: %s", gate.hint);
}

/* A client that is led to the wrong side may be in a transaction there. */
static bool nobody_on_target(struct cutover *co, struct err *err)
{
    struct gate_result gate = {.verdict = GATE_OK};
    (void)gate_writers(co, &gate);
    return gate.verdict == GATE_OK ||
           err_set(err, ERR_BUSY, "somebody writes to the target before it serves: %s", gate.hint);
}

bool late_none(struct cutover *co, struct err *err)
{
    struct journal_config config;
    struct journal_reader *jr = NULL;
    struct look look = {.nonce = co->nonce};
    char nonce[40];
    lsn_t lsn;
    nonce_make(nonce);
    /* What was committed before this marker is in the journal before its fence. */
    if (!freeze_verify(co, err) || !catalog_stands(co, err) || !nobody_on_target(co, err) ||
        !marker_write(co, "ping", nonce, &lsn, err) || !drain_wait(co, lsn, nonce, deadline_left_ms(co), err))
        return false;
    journal_settings(co->cfg, &config);
    char *stream = journal_fence_stream(config.topic_prefix);
    bool ok = journal_reader_open(&config, NULL, &jr, err) && look_back(&look, jr, stream, err);
    journal_reader_close(jr);
    free(stream);
    if (!ok)
        return err_wrap(err, "whether the source stayed closed cannot be told");
    return look.stream[0] == '\0' ||
           err_set(err, ERR_BUSY,
                   "topic=%s lsn=" LSN_FMT ": a change was committed on the source after it was closed: by a "
                   "subscription, by an owner who took the trigger away, or into a partition made meanwhile? "
                   "End that first",
                   look.stream, LSN_ARGS(look.lsn));
}
