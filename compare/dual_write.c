/* See dual_write.h. */
#include "dual_write.h"

#include <string.h>

#include "control.h"
#include "core/attr.h"
#include "model.h"

static void note_table(struct compare_table *t, const struct rowset *res, int row)
{
    const char *open = rowset_cell(res, row, 5);
    table_add_note(t,
                   "written on both sides since %s: differences may be the application's own. Conflicts: %s "
                   "decided for the source, %s for the target, %s open",
                   rowset_cell(res, row, 2), rowset_cell(res, row, 3), rowset_cell(res, row, 4), open);
    if (strcmp(open, "0") != 0)
        table_conclude(t, VERDICT_INCONCLUSIVE,
                       "%s conflicts are open: both sides have changed rows (crossfade apply conflicts list)",
                       open);
}

bool dual_write_conclude(struct session *target, struct compare_result *out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    const struct control *control = control_of(target);
    const char *pipeline = out->pipeline, *tables[] = {"dual_write", "conflict"};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        int64_t there = 0;
        if (!session_int64(target, control->table_there, 1, &tables[i], &there, err))
            return err_wrap(err, "target");
        if (there == 0)
            return true;
    }
    if (!session_ask(target, control->dual_writes, 1, &pipeline, &res, err))
        return err_wrap(err, "target: are there conflicts? (GRANT SELECT ON crossfade.dual_write, "
                             "crossfade.conflict)");
    for (int row = 0; row < rowset_rows(res); row++) {
        for (size_t i = 0; i < out->table_count; i++) {
            struct compare_table *t = &out->tables[i];
            if (strcmp(t->schema, rowset_cell(res, row, 0)) == 0 &&
                strcmp(t->table, rowset_cell(res, row, 1)) == 0)
                note_table(t, res, row);
        }
    }
    return true;
}
