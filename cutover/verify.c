/*
 * Owns the comparison after the drain: source and target stand still, so no fence is needed. Which tables
 * changed since the last full PASS is known from the journal: every fence names the streams that it touched.
 * What was walked through before the freeze is not walked again, so the pause pays only for the last fences.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/fence.h"
#include "change/table.h"
#include "compare/compare.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "cutover_internal.h"
#include "from_maria/from_maria.h"
#include "journal/journal_settings.h"

#define BACK_STEP 1000 /* offsets before the estimate at which the walk begins: control records take some */

/* Marks the tables whose topic is named; two tables may share a topic name, then both are marked. */
static void mark_changed(struct cutover *co, const char *stream)
{
    for (size_t i = 0; i < co->table_count; i++) {
        if (strcmp(co->tables[i].topic, stream) == 0)
            co->tables[i].changed = true;
    }
}

static bool take_fence(struct cutover *co, const struct journal_record *rec, uint64_t *ret_id,
                       struct err *err)
{
    struct fence fence = {0};
    if (!fence_decode(rec->value, rec->value_len, &fence, err))
        return err_wrap(err, "topic=%s offset=%llu", rec->stream, (unsigned long long)rec->offset);
    *ret_id = fence.id;
    if (fence.id == co->baseline_fence_id && fence.lsn == co->baseline_lsn)
        co->baseline_seen = true;
    if (fence.id > co->scanned_fence_id) {
        bool by_another_way = fence.kind != FENCE_STREAM || !fence.complete || fence.copy.direct;
        for (size_t i = 0; by_another_way && i < co->table_count; i++)
            co->tables[i].changed = true; /* rows were copied anew, and not all by the streams */
        for (size_t i = 0; i < fence.range_count; i++) {
            if (fence.ranges[i].next_offset > fence.ranges[i].first_offset)
                mark_changed(co, fence.ranges[i].stream);
        }
        co->scanned_fence_id = fence.id;
    }
    fence_release(&fence);
    return true;
}

/* Walks [first, next) of the fence stream; *ret_first_id = id of the first fence met (0 = none). */
static bool walk(struct cutover *co, struct journal_reader *jr, const char *stream, uint64_t first,
                 uint64_t next, uint64_t *ret_first_id, struct err *err)
{
    struct journal_range range = {.stream = stream, .first_offset = first, .next_offset = next};
    struct journal_record rec;
    uint64_t id = 0;
    *ret_first_id = 0;
    if (first >= next)
        return true;
    if (!journal_assign(jr, &range, 1, err))
        return false;
    for (;;) {
        bool end = false;
        if (!journal_take(jr, 10000, &rec, &end, err))
            return err_wrap(err, "topic=%s", stream);
        if (end)
            return true;
        if (!take_fence(co, &rec, &id, err))
            return false;
        if (*ret_first_id == 0)
            *ret_first_id = id;
    }
}

/* Ids have no gaps, so the fence after the last PASS lies at most this far back; a walk that begins too late
 * is begun again further back. */
static bool scan_from_verdict(struct cutover *co, struct journal_reader *jr, const char *stream,
                              uint64_t kept, uint64_t next, struct err *err)
{
    uint64_t wanted = co->scanned_fence_id, distance = BACK_STEP, first_id = 0;
    const char *params[] = {co->pipeline};
    char *applied CLEANUP(free_ptr) = NULL;
    if (!store_text(co, STORE_APPLIED, 1, params, &applied, err))
        return false;
    uint64_t applied_id = applied != NULL ? strtoull(applied, NULL, 10) : 0;
    if (applied_id > wanted)
        distance += 2 * (applied_id - wanted);
    for (;;) {
        uint64_t first = next - kept > distance ? next - distance : kept;
        uint64_t before = co->scanned_fence_id;
        if (!walk(co, jr, stream, first, next, &first_id, err))
            return false;
        if (first == kept || first_id <= wanted)
            break;
        co->scanned_fence_id = before;
        distance *= 4;
    }
    if (first_id > wanted)
        return err_set(err, ERR_GAP, "the journal no longer holds fence %llu", (unsigned long long)wanted);
    return true;
}

bool verify_scan(struct cutover *co, struct err *err)
{
    struct journal_config config;
    struct journal_reader *jr = NULL;
    uint64_t kept, next, first_id;
    journal_settings(co->cfg, &config);
    char *stream = journal_fence_stream(config.topic_prefix);
    bool ok =
        journal_reader_open(&config, NULL, &jr, err) && journal_bounds(jr, stream, 0, &kept, &next, err);
    if (ok && co->scanned_offset == 0)
        ok = scan_from_verdict(co, jr, stream, kept, next, err);
    else if (ok)
        ok = walk(co, jr, stream, co->scanned_offset, next, &first_id, err);
    if (ok)
        co->scanned_offset = next;
    /* A PASS over a journal of before says nothing about this one. */
    co->baseline = co->baseline && co->baseline_seen;
    journal_reader_close(jr);
    free(stream);
    return ok ? true : err_wrap(err, "what changed since the last comparison cannot be read");
}

/* Where the last full PASS stood; without one everything counts as changed. */
static bool load_baseline(struct cutover *co, bool *ret_found, struct err *err)
{
    char switch_id[40], switched_at[40];
    if (!back_last_switch(co, switch_id, switched_at, err))
        return false;
    const char *params[] = {co->pipeline, switched_at, switch_id};
    ROWSET_AUTO rs = NULL;
    if (!store_ask(co, STORE_BASELINE, 3, params, &rs, err))
        return false;
    *ret_found = rowset_rows(rs) > 0 && lsn_parse(rowset_cell(rs, 0, 1), &co->baseline_lsn);
    if (*ret_found) {
        co->baseline_fence_id = co->scanned_fence_id = (uint64_t)rowset_int64(rs, 0, 0);
        (void)snprintf(co->baseline_verdict, sizeof co->baseline_verdict, "%s", rowset_cell(rs, 0, 2));
    }
    return true;
}

static json_t *parsed(const char *text)
{
    json_t *j = text != NULL ? json_loads(text, 0, NULL) : NULL;
    return json_is_object(j) ? j : (json_decref(j), json_object());
}

bool verify_shapes(struct cutover *co, char **ret, struct err *err)
{
    return co->from_maria != NULL ? from_maria_shapes(co, ret, err)
                                  : compare_shapes(co->source, co->pipeline, ret, err);
}

/* Marks the tables that are not surely what they were at the PASS: the stream does not tell of that. (A publication for all
 * tables, or for those of a schema, has no shapes: all are marked.) */
static bool mark_reshaped(struct cutover *co, struct err *err)
{
    char *now CLEANUP(free_ptr) = NULL, *then CLEANUP(free_ptr) = NULL;
    const char *params[] = {co->baseline_verdict};
    if (!verify_shapes(co, &now, err) || !store_text(co, STORE_SHAPES, 1, params, &then, err))
        return false;
    json_t *shapes_now = parsed(now), *shapes_then = parsed(then);
    for (size_t i = 0; i < co->table_count; i++) {
        char *name CLEANUP(free_ptr) = xasprintf("%s.%s", co->tables[i].schema, co->tables[i].table);
        const json_t *has = json_object_get(shapes_now, name), *had = json_object_get(shapes_then, name);
        bool holds = has != NULL && had != NULL && json_equal(has, had);
        co->tables[i].changed = co->tables[i].changed || !holds;
    }
    json_decref(shapes_now);
    json_decref(shapes_then);
    return true;
}

static bool name_topics(struct cutover *co, struct err *err)
{
    struct table_rules *rules = NULL;
    struct topic_routing *routing = NULL;
    const char *prefix = config_text(co->cfg, "journal.topic_prefix");
    if (!table_rules_from_config(co->cfg, &rules, err))
        return false;
    if (!topic_routing_from_config(co->cfg, &routing, err)) {
        table_rules_free(rules);
        return false;
    }
    for (size_t i = 0; i < co->table_count; i++) {
        const char *topic = table_rules_topic(rules, co->tables[i].schema, co->tables[i].table);
        free(co->tables[i].topic);
        co->tables[i].topic =
            topic != NULL ? xasprintf("%s.%s", prefix, topic)
                          : journal_topic(routing, prefix, co->tables[i].schema, co->tables[i].table, NULL);
    }
    table_rules_free(rules);
    topic_routing_free(routing);
    return true;
}

bool verify_prepare(struct cutover *co, struct err *err)
{
    bool found;
    if (co->tables[0].topic != NULL) /* again, after a wait: only what came since is walked */
        return !co->baseline || verify_scan(co, err);
    if (!name_topics(co, err))
        return false;
    if (!load_baseline(co, &found, err))
        return false;
    co->baseline = found;
    co->baseline_seen = false;
    return !found || verify_scan(co, err);
}

/* Patterns for compare: quoted names, so that they mean exactly one table each. */
static const char **changed_patterns(struct cutover *co, size_t *ret_count)
{
    const char **patterns = xcalloc(co->table_count, sizeof *patterns);
    size_t n = 0;
    for (size_t i = 0; i < co->table_count; i++) {
        struct strbuf name = STRBUF_INIT(1024);
        if (co->baseline && !co->tables[i].changed)
            continue;
        pg_quote_table(&name, co->tables[i].schema, co->tables[i].table);
        patterns[n++] = strbuf_detach(&name);
    }
    *ret_count = n;
    return patterns;
}

static bool judge(struct cutover *co, const struct compare_result *result, struct err *err)
{
    (void)snprintf(co->report->verdict, sizeof co->report->verdict, "%s",
                   compare_verdict_name(result->verdict));
    if (result->verdict == VERDICT_PASS)
        return true;
    for (size_t i = 0; i < result->table_count; i++) {
        const struct compare_table *t = &result->tables[i];
        if (t->verdict != VERDICT_PASS)
            return err_set(err, ERR_DATA, "the final comparison is %s: table=%s.%s: %s; report: %s",
                           co->report->verdict, t->schema, t->table, t->reason != NULL ? t->reason : "",
                           result->report_dir);
    }
    return err_set(err, ERR_DATA, "the final comparison is %s: %s", co->report->verdict, result->reason);
}

/* Comparisons read PostgreSQL as their source: where both sides stand still it is the same which way round they look. */
static bool compare_tables(struct cutover *co, const struct compare_request *req, struct err *err)
{
    struct compare_result result;
    struct config *forward = NULL;
    if (co->from_maria != NULL && !config_reversed(co->cfg, &forward, err))
        return false;
    bool ok = compare_run(forward != NULL ? forward : co->cfg, req, &result, err);
    if (ok) {
        ok = judge(co, &result, err);
        compare_result_release(&result);
    }
    config_free(forward);
    return ok;
}

bool verify_changed(struct cutover *co, struct err *err)
{
    if (co->tables[0].topic == NULL && !verify_prepare(co, err)) /* resumed: nothing was walked yet */
        return false;
    if (!late_note_catalog(co, co->catalog, err) ||
        (co->baseline && (!verify_scan(co, err) || !mark_reshaped(co, err))) ||
        (co->from_maria != NULL && !from_maria_mark_cascades(co, err)))
        return false;
    size_t count;
    const char **patterns = changed_patterns(co, &count);
    (void)snprintf(co->report->verdict_scope, sizeof co->report->verdict_scope,
                   "%zu of %zu tables changed since the last PASS", count, co->table_count);
    struct compare_request req = {
        .tables = patterns, .table_count = count, .frozen = true, .stop_fd = deadline_fd(co)};
    bool ok = true;
    if (count == 0)
        (void)snprintf(co->report->verdict, sizeof co->report->verdict, "PASS");
    else
        ok = compare_tables(co, &req, err);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)patterns[i]);
    free(patterns);
    return ok;
}
