/* Owns: dead letters as people see them and ask about them, on a connection that has no lock. See dead_letter.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "letters.h"

#define TIME(column) "CONCAT(LEFT(DATE_FORMAT(" column ", '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"

static const char VIEW_COLUMNS[] =
    "SELECT id, chain, schema_name, table_name, op, key_shown, stream, `partition`, record_offset, "
    "commit_lsn, "
    "total_order, fence_id, behind, `sqlstate`, message, state, request, attempts, last_error, " TIME(
        "first_seen") ", " TIME("tried_at") ", " TIME("settled_at") ", reason";

struct md_target *md_desk_open(const char *url, const char *table, bool *ret_there, struct err *err)
{
    struct md_target *mt = xcalloc(1, sizeof *mt);
    struct strbuf sql = STRBUF_INIT(4096);
    int64_t there = 0;
    mt->fd = -1;
    (void)pthread_mutex_init(&mt->lock, NULL);
    strbuf_adds(&sql, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                      "TABLE_NAME = ");
    maria_quote_literal(&sql, table);
    bool ok = strbuf_ok(&sql, "statement", err) && md_connect(mt, url, err) &&
              md_query_int64(mt, sql.data, &there, err);
    strbuf_release(&sql);
    *ret_there = there > 0;
    if (ok)
        return mt;
    md_close(&mt->base);
    err_wrap(err, "target");
    return NULL;
}

static void read_view(const struct md_rows *rows, bool whole, char lsn[LSN_TEXT_MAX], struct letter_view *v)
{
    char **cell = rows->cell;
    *v = (struct letter_view){.letter = {.id = strtoll(cell[0], NULL, 10),
                                         .chain = strtoll(cell[1], NULL, 10),
                                         .schema_name = cell[2],
                                         .table_name = cell[3],
                                         .op = cell[4][0],
                                         .key_shown = md_cell_text(rows, 5),
                                         .stream = cell[6],
                                         .partition = (int32_t)strtol(cell[7], NULL, 10),
                                         .offset = strtoull(cell[8], NULL, 10),
                                         .commit_lsn = strtoull(cell[9], NULL, 10),
                                         .total_order = strtoull(cell[10], NULL, 10),
                                         .fence_id = strtoull(cell[11], NULL, 10),
                                         .behind = cell[12][0] != '0',
                                         .message = md_cell_text(rows, 14)},
                              .offset = cell[8],
                              .state = cell[15],
                              .request = md_cell_text(rows, 16),
                              .attempts = strtoll(cell[17], NULL, 10),
                              .last_error = md_cell_text(rows, 18),
                              .first_seen = md_cell_text(rows, 19),
                              .tried_at = md_cell_text(rows, 20),
                              .settled_at = md_cell_text(rows, 21),
                              .reason = md_cell_text(rows, 22)};
    v->commit_lsn = lsn_format(v->letter.commit_lsn, lsn);
    (void)snprintf(v->letter.sqlstate, sizeof v->letter.sqlstate, "%s", md_cell_text(rows, 13));
    if (!whole)
        return;
    v->letter.timestamp_ms = strtoll(cell[23], NULL, 10);
    v->letter.record_key = md_cell_bytes(rows, 24, &v->letter.record_key_len);
    v->letter.value = md_cell_bytes(rows, 25, &v->letter.value_len);
    v->letter.headers = md_cell_bytes(rows, 26, &v->letter.headers_len);
}

/* Letters are as many as the target has refused: they come in pages, behind the id of the last one. */
#define LOOK_ROWS 1000

static void add_query(struct strbuf *sql, const struct letters_query *query, int64_t last)
{
    bool whole = query->id != 0;
    strbuf_adds(sql, VIEW_COLUMNS);
    if (whole)
        strbuf_adds(sql, ", record_time_ms, record_key, record_value, record_headers");
    strbuf_adds(sql, " FROM crossfade_dead_letter WHERE pipeline = ");
    maria_quote_literal(sql, query->pipeline);
    strbuf_addf(sql, " AND id %s %" PRId64 "%s ORDER BY id LIMIT %d", whole ? "=" : ">",
                whole ? query->id : last, whole || query->settled ? "" : " AND state = 'held'", LOOK_ROWS);
}

static bool look_page(struct md_target *mt, const struct letters_query *query, int64_t *last,
                      bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                      bool *ret_more, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    size_t count = 0;
    add_query(&sql, query, *last);
    bool ok = strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err);
    strbuf_release(&sql);
    for (; ok && md_next(&rows); count++) {
        struct letter_view view;
        char lsn[LSN_TEXT_MAX];
        read_view(&rows, query->id != 0, lsn, &view);
        *last = view.letter.id;
        ok = each(ctx, &view, err);
    }
    *ret_more = query->id == 0 && count == LOOK_ROWS;
    return ok;
}

static bool look(const struct letters_query *query,
                 bool (*each)(void *ctx, const struct letter_view *view, struct err *err), void *ctx,
                 struct err *err)
{
    bool there = false, ok = true;
    int64_t last = 0;
    struct md_target *mt = md_desk_open(query->url, "crossfade_dead_letter", &there, err);
    if (mt == NULL)
        return false;
    for (bool more = there; ok && more;)
        ok = look_page(mt, query, &last, each, ctx, &more, err);
    md_close(&mt->base);
    return ok;
}

static bool ask(const struct letters_query *query, const int64_t *ids, size_t count, const char *request,
                const char *reason, int64_t *ret_count, struct err *err)
{
    bool there = false;
    struct md_target *mt = md_desk_open(query->url, "crossfade_dead_letter", &there, err);
    if (mt == NULL)
        return false;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "UPDATE crossfade_dead_letter SET begun = 0, request = ");
    maria_quote_literal(&sql, request);
    strbuf_adds(&sql, ", reason = ");
    if (reason != NULL)
        maria_quote_literal(&sql, reason);
    else
        strbuf_adds(&sql, "NULL");
    strbuf_adds(&sql, " WHERE pipeline = ");
    maria_quote_literal(&sql, query->pipeline);
    strbuf_adds(&sql, " AND state = 'held'");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sql, "%s%" PRId64, i == 0 ? " AND id IN (" : ", ", ids[i]);
    if (count > 0)
        strbuf_addc(&sql, ')');
    *ret_count = 0;
    bool ok = !there || (strbuf_ok(&sql, "statement", err) && md_exec_count(mt, sql.data, ret_count, err));
    strbuf_release(&sql);
    md_close(&mt->base);
    return ok;
}

const struct target_desk_ops md_desk = {.look = look, .ask = ask};
