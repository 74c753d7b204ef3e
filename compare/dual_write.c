/* See dual_write.h. */
#include "dual_write.h"

#include <string.h>

#include "model.h"

static void note_table(struct compare_table *t, const struct pg_result *res, int row)
{
    const char *open = pg_cell(res, row, 5);
    table_add_note(t,
                   "written on both sides since %s: differences may be the application's own. Conflicts: %s "
                   "decided for the source, %s for the target, %s open",
                   pg_cell(res, row, 2), pg_cell(res, row, 3), pg_cell(res, row, 4), open);
    if (strcmp(open, "0") != 0)
        table_conclude(t, VERDICT_INCONCLUSIVE,
                       "%s conflicts are open: both sides have changed rows (crossfade apply conflicts list)",
                       open);
}

bool dual_write_conclude(struct pg_conn *target, struct compare_result *out, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    int64_t there = 0;
    const char *params[] = {out->pipeline};
    if (!pg_query_int64(target,
                        "SELECT count(to_regclass('crossfade.dual_write')) * "
                        "count(to_regclass('crossfade.conflict'))",
                        0, NULL, &there, err))
        return err_wrap(err, "target");
    if (there == 0)
        return true;
    if (!pg_query(
            target,
            "SELECT d.schema_name, d.table_name, to_char(d.since, 'YYYY-MM-DD HH24:MI:SSOF'), count(c.id) "
            "FILTER (WHERE c.decision = 'source'), count(c.id) FILTER (WHERE c.decision = 'target'), "
            "count(c.id) FILTER (WHERE c.state = 'open') FROM crossfade.dual_write d LEFT JOIN "
            "crossfade.conflict c ON c.pipeline = d.pipeline AND c.schema_name = d.schema_name AND "
            "c.table_name = d.table_name AND c.seen_at >= d.since WHERE d.pipeline = $1 GROUP BY d.id",
            1, params, &res, err))
        return err_wrap(err, "target: are there conflicts? (GRANT SELECT ON crossfade.dual_write, "
                             "crossfade.conflict)");
    for (int row = 0; row < pg_rows(res); row++) {
        for (size_t i = 0; i < out->table_count; i++) {
            struct compare_table *t = &out->tables[i];
            if (strcmp(t->schema, pg_cell(res, row, 0)) == 0 && strcmp(t->table, pg_cell(res, row, 1)) == 0)
                note_table(t, res, row);
        }
    }
    return true;
}
