/* Owns: dead letters as people see them and ask about them, on a connection that has no lock. See dead_letter.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "postgres.h"

#define IDS_BYTES_MAX ((size_t)1 << 20)

static void read_view(const struct pg_result *res, int row, bool whole, struct letter_view *v)
{
    *v = (struct letter_view){.letter = {.id = pg_cell_int64(res, row, 0),
                                         .chain = pg_cell_int64(res, row, 1),
                                         .schema_name = pg_cell(res, row, 2),
                                         .table_name = pg_cell(res, row, 3),
                                         .op = pg_cell(res, row, 4)[0],
                                         .key_shown = pg_cell(res, row, 5),
                                         .stream = pg_cell(res, row, 6),
                                         .partition = (int32_t)pg_cell_int64(res, row, 7),
                                         .total_order = (uint64_t)pg_cell_int64(res, row, 10),
                                         .fence_id = (uint64_t)pg_cell_int64(res, row, 11),
                                         .behind = pg_cell_bool(res, row, 12),
                                         .message = pg_cell(res, row, 14)},
                              .offset = pg_cell(res, row, 8),
                              .commit_lsn = pg_cell(res, row, 9),
                              .state = pg_cell(res, row, 15),
                              .request = pg_cell(res, row, 16),
                              .attempts = pg_cell_int64(res, row, 17),
                              .last_error = pg_cell(res, row, 18),
                              .first_seen = pg_cell(res, row, 19),
                              .tried_at = pg_cell(res, row, 20),
                              .settled_at = pg_cell(res, row, 21),
                              .reason = pg_cell(res, row, 22)};
    v->letter.offset = strtoull(v->offset, NULL, 10);
    (void)snprintf(v->letter.sqlstate, sizeof v->letter.sqlstate, "%s", pg_cell(res, row, 13));
    if (!whole)
        return;
    v->letter.timestamp_ms = pg_cell_int64(res, row, 23);
    v->letter.record_key = pgt_unhex(res, row, 24, &v->letter.record_key_len);
    v->letter.value = pgt_unhex(res, row, 25, &v->letter.value_len);
    v->letter.headers = pgt_unhex(res, row, 26, &v->letter.headers_len);
}

#define VIEW_COLUMNS                                                                                         \
    "id, chain, schema_name, table_name, op, key_shown, stream, partition, record_offset, commit_lsn, "      \
    "total_order, "                                                                                          \
    "fence_id, behind, sqlstate, message, state, request, attempts, last_error, "                            \
    "to_char(first_seen, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), to_char(tried_at, "                           \
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), to_char(settled_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), reason"

/* Letters are as many as the target has refused: they come in pages, behind the id of the last one. */
#define LOOK_ROWS 1000

static bool look_page(struct pg_conn *conn, const struct letters_query *query, int64_t *last,
                      bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                      bool *ret_more, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char id[24];
    bool whole = query->id != 0;
    (void)snprintf(id, sizeof id, "%" PRId64, whole ? query->id : *last);
    const char *params[] = {query->pipeline, id};
    char *sql CLEANUP(free_ptr) =
        xasprintf("SELECT " VIEW_COLUMNS "%s FROM crossfade.dead_letter WHERE pipeline = $1 AND id %s "
                  "$2::bigint%s ORDER BY id LIMIT %d",
                  whole ? ", record_time_ms, record_key, record_value, record_headers" : "",
                  whole ? "=" : ">", whole || query->settled ? "" : " AND state = 'held'", LOOK_ROWS);
    if (!pg_query(conn, sql, 2, params, &res, err))
        return false;
    for (int row = 0; row < pg_rows(res); row++) {
        struct letter_view view;
        read_view(res, row, whole, &view);
        *last = view.letter.id;
        if (!each(ctx, &view, err))
            return false;
    }
    *ret_more = !whole && pg_rows(res) == LOOK_ROWS;
    return true;
}

static bool look(const struct letters_query *query,
                 bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                 struct err *err)
{
    struct pg_conn *conn = NULL;
    bool there = false, more = false;
    int64_t last = 0;
    bool ok = pgt_desk_open(query->url, "crossfade dlq", "crossfade.dead_letter", &conn, &there, err);
    for (more = there; ok && more;)
        ok = look_page(conn, query, &last, each, ctx, &more, err);
    pg_close(conn);
    return ok;
}

static bool ask(const struct letters_query *query, const int64_t *ids, size_t count, const char *request,
                const char *reason, int64_t *ret_count, struct err *err)
{
    struct pg_conn *conn = NULL;
    PG_RESULT_AUTO res = NULL;
    struct strbuf list = STRBUF_INIT(IDS_BYTES_MAX);
    bool there = false;
    pgt_desk_ids(&list, ids, count);
    const char *params[] = {query->pipeline, count > 0 ? list.data : NULL, request, reason};
    bool ok =
        strbuf_ok(&list, "list of ids", err) &&
        pgt_desk_open(query->url, "crossfade dlq", "crossfade.dead_letter", &conn, &there, err) &&
        (!there ||
         pg_query(
             conn,
             "UPDATE crossfade.dead_letter SET request = $3, reason = $4, begun = 0 WHERE pipeline = $1 AND "
             "state = 'held' AND ($2::bigint[] IS NULL OR id = ANY ($2::bigint[]))",
             4, params, &res, err));
    if (ok)
        *ret_count = there ? pg_affected(res) : 0;
    strbuf_release(&list);
    pg_close(conn);
    return ok;
}

const struct target_desk_ops pgt_desk = {.look = look, .ask = ask};
