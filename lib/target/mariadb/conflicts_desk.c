/* Owns: conflicts as people see them and answer them, on a connection that has no lock. See target/conflicts.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "letters.h"
#include "watch.h"

#define TIME(column) "CONCAT(LEFT(DATE_FORMAT(" column ", '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"

static void read_view(const struct md_rows *rows, struct conflict_view *v)
{
    *v = (struct conflict_view){.id = strtoll(rows->cell[0], NULL, 10),
                                .schema_name = md_cell_text(rows, 1),
                                .table_name = md_cell_text(rows, 2),
                                .key = md_cell_text(rows, 3),
                                .kind = md_cell_text(rows, 4),
                                .policy = md_cell_text(rows, 5),
                                .state = md_cell_text(rows, 6),
                                .decision = md_cell_text(rows, 7),
                                .request = md_cell_text(rows, 8),
                                .commit_lsn = md_cell_text(rows, 9),
                                .seen_at = md_cell_text(rows, 10),
                                .settled_at = md_cell_text(rows, 11),
                                .source_row = md_cell_text(rows, 12),
                                .target_row = md_cell_text(rows, 13)};
}

static void add_query(struct strbuf *sql, const struct conflicts_query *query)
{
    strbuf_adds(sql, "SELECT id, schema_name, table_name, `key`, kind, policy, state, decision, request, "
                     "commit_lsn, " TIME("seen_at") ", " TIME("settled_at"));
    strbuf_adds(sql, query->id != 0 ? ", source_row, target_row" : ", NULL, NULL");
    strbuf_adds(sql, " FROM crossfade_conflict WHERE pipeline = ");
    maria_quote_literal(sql, query->pipeline);
    if (query->id != 0)
        strbuf_addf(sql, " AND id = %" PRId64, query->id);
    else if (!query->decided)
        strbuf_adds(sql, " AND state = 'open'");
    strbuf_adds(sql, " ORDER BY state <> 'open', id DESC LIMIT 10000");
}

bool md_conflicts_look(const struct conflicts_query *query,
                       bool (*each)(void *ctx, const struct conflict_view *view, struct err *err), void *ctx,
                       struct err *err)
{
    bool there = false;
    struct md_target *mt = md_desk_open(query->url, "crossfade_conflict", &there, err);
    if (mt == NULL)
        return false;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    MD_ROWS rows = {0};
    add_query(&sql, query);
    bool ok = !there || ((strbuf_ok(&sql, "statement", err) && md_query(mt, sql.data, &rows, err)) ||
                         err_wrap(err, "target"));
    while (ok && there && md_next(&rows)) {
        struct conflict_view view;
        read_view(&rows, &view);
        ok = each(ctx, &view, err);
    }
    strbuf_release(&sql);
    md_close(&mt->base);
    return ok;
}

bool md_conflicts_answer(const struct conflicts_query *query, const int64_t *ids, size_t count,
                         const char *side, int64_t *ret_count, struct err *err)
{
    bool there = false;
    struct md_target *mt = md_desk_open(query->url, "crossfade_conflict", &there, err);
    if (mt == NULL)
        return false;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    int64_t found = 0;
    strbuf_adds(&sql, "UPDATE crossfade_conflict SET request = ");
    maria_quote_literal(&sql, side);
    strbuf_adds(&sql, " WHERE pipeline = ");
    maria_quote_literal(&sql, query->pipeline);
    strbuf_adds(&sql, " AND state = 'open' AND id IN (0");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sql, ", %" PRId64, ids[i]);
    strbuf_addc(&sql, ')');
    bool ok = !there || ((strbuf_ok(&sql, "statement", err) && md_exec_count(mt, sql.data, &found, err)) ||
                         err_wrap(err, "target"));
    if (ok)
        *ret_count = found;
    strbuf_release(&sql);
    md_close(&mt->base);
    return ok;
}
