/* Owns: conflicts as people see them and answer them, on a connection that has no lock. See conflicts.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "postgres.h"

#define IDS_BYTES_MAX ((size_t)1 << 20)

static void read_view(const struct pg_result *res, int row, struct conflict_view *v)
{
    *v = (struct conflict_view){.id = pg_cell_int64(res, row, 0),
                                .schema_name = pg_cell(res, row, 1),
                                .table_name = pg_cell(res, row, 2),
                                .key = pg_cell(res, row, 3),
                                .kind = pg_cell(res, row, 4),
                                .policy = pg_cell(res, row, 5),
                                .state = pg_cell(res, row, 6),
                                .decision = pg_cell(res, row, 7),
                                .request = pg_cell(res, row, 8),
                                .commit_lsn = pg_cell(res, row, 9),
                                .seen_at = pg_cell(res, row, 10),
                                .settled_at = pg_cell(res, row, 11),
                                .source_row = pg_cell(res, row, 12),
                                .target_row = pg_cell(res, row, 13)};
}

bool pgt_conflicts_look(const struct conflicts_query *query,
                        bool (*each)(void *ctx, const struct conflict_view *view, struct err *err), void *ctx,
                        struct err *err)
{
    struct pg_conn *conn = NULL;
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    char id[24];
    (void)snprintf(id, sizeof id, "%" PRId64, query->id);
    const char *params[] = {query->pipeline, id, query->decided ? "t" : "f"};
    static const char sql[] =
        "SELECT id, schema_name, table_name, key, kind, policy, state, decision, request, commit_lsn, "
        "to_char(seen_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), to_char(settled_at, "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), CASE WHEN $2::bigint <> 0 THEN source_row END, CASE WHEN "
        "$2::bigint <> 0 THEN target_row END FROM crossfade.conflict WHERE pipeline = $1 AND CASE WHEN "
        "$2::bigint <> 0 THEN id = $2::bigint ELSE state = 'open' OR $3::boolean END ORDER BY state <> "
        "'open', id DESC LIMIT 10000";
    bool ok = pgt_desk_open(query->url, "crossfade conflicts", "crossfade.conflict", &conn, &there, err) &&
              (!there || pg_query(conn, sql, 3, params, &res, err) || err_wrap(err, "target"));
    for (int row = 0; ok && there && row < pg_rows(res); row++) {
        struct conflict_view view;
        read_view(res, row, &view);
        ok = each(ctx, &view, err);
    }
    pg_close(conn);
    return ok;
}

bool pgt_conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                          const char *side, int64_t *ret_count, struct err *err)
{
    struct pg_conn *conn = NULL;
    PG_RESULT_AUTO res = NULL;
    struct strbuf list = STRBUF_INIT(IDS_BYTES_MAX);
    bool there = false;
    pgt_desk_ids(&list, ids, count);
    const char *params[] = {query->pipeline, list.data, side};
    bool ok =
        strbuf_ok(&list, "list of ids", err) &&
        pgt_desk_open(query->url, "crossfade conflicts", "crossfade.conflict", &conn, &there, err) &&
        (!there || pg_query(conn,
                            "UPDATE crossfade.conflict SET request = $3 WHERE pipeline = $1 AND state = "
                            "'open' AND id = ANY ($2::bigint[])",
                            3, params, &res, err));
    if (ok)
        *ret_count = there ? pg_affected(res) : 0;
    strbuf_release(&list);
    pg_close(conn);
    return ok;
}
