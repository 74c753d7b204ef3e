/* See verdict_record.h. */
#include "verdict_record.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "control.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "schema/parity.h"

/* 'full', 'changed' (all tables, of some only what earlier comparisons left to do), 'where …' (rows inside conditions), or the tables. */
static char *scope_text(const struct compare_result *r)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    bool counts = r->level == LEVEL_COUNTS; /* proves too little to stand for a full comparison */
    if (counts)
        strbuf_adds(&sb, r->full ? "counts of all tables" : "counts of ");
    else if (r->full)
        strbuf_adds(&sb, r->built ? "changed" : "full");
    if (r->some_rows)
        strbuf_adds(&sb, "where ");
    for (size_t i = 0; !r->full && i < r->table_count; i++) {
        const struct compare_table *t = &r->tables[i];
        strbuf_addf(&sb, "%s%s.%s%s%s", i > 0 ? ", " : "", t->schema, t->table,
                    t->where[SIDE_SOURCE] != NULL ? ": " : "",
                    t->where[SIDE_SOURCE] != NULL ? t->where[SIDE_SOURCE] : "");
    }
    if (sb.len == 0)
        strbuf_adds(&sb, "nothing");
    return strbuf_detach(&sb);
}

static char *detail_text(const struct compare_result *r, const char *schema)
{
    json_t *j = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s?, s:s, s:s?}", "level",
        compare_level_name(r->level), "checks", (json_int_t)r->check_count, "findings",
        (json_int_t)r->checks_by_state[STATE_FINDING], "tables", (json_int_t)r->table_count, "passed",
        (json_int_t)r->passed, "failed", (json_int_t)r->failed, "inconclusive", (json_int_t)r->inconclusive,
        "rows_source", (json_int_t)r->rows_source, "rows_target", (json_int_t)r->rows_target, "differences",
        (json_int_t)r->differences, "rest_owed_ms", (json_int_t)(r->rest_owed_us / 1000), "frozen", r->frozen,
        "report_dir", r->report_dir, "reason", r->reason, "schema", schema);
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text != NULL ? text : xstrdup("{}");
}

static bool insert_verdict(const struct compare_result *r, const char *shapes, const char *schema,
                           struct session *conn, struct err *err)
{
    ROWSET_AUTO res = NULL;
    char fence_id[24], lsn[LSN_TEXT_MAX], started[ISO_TIME_MAX];
    char *scope = scope_text(r), *detail = detail_text(r, r->full ? schema : NULL);
    (void)snprintf(fence_id, sizeof fence_id, "%llu", (unsigned long long)r->fence_id);
    const char *params[] = {r->pipeline,
                            r->fence_id > 0 ? fence_id : NULL,
                            r->lsn != 0 ? lsn_format(r->lsn, lsn) : NULL,
                            scope,
                            compare_verdict_name(r->verdict),
                            detail,
                            clock_iso(r->started_us, started),
                            r->full ? shapes : NULL};
    bool ok = session_ask(conn, control_of(conn)->verdict, 8, params, &res, err);
    free(scope);
    free(detail);
    return ok;
}

char *verdict_schema(const struct config *cfg, struct pg_conn *source)
{
    char *digest = NULL;
    struct err failed = ERR_INIT;
    if (!schema_fingerprint(cfg, source, &digest, &failed))
        log_event(LOG_LEVEL_WARN, "schema_not_noted", "text=\"%s\"", failed.text);
    return digest;
}

bool verdict_record(const struct compare_result *result, const char *shapes, const char *schema,
                    struct session *target, struct err *err)
{
    return (insert_verdict(result, shapes, schema, target, err) &&
            control_delete_old(target, control_of(target)->prune_verdicts, result->pipeline, err)) ||
           err_wrap(err, "the verdict (%s) could not be recorded", compare_verdict_name(result->verdict));
}
