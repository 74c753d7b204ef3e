/* See dead_letters.h. */
#include "dead_letters.h"

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "core/alloc.h"
#include "model.h"

#define REASON "%s dead letters are held: changes that the target refused (crossfade apply dlq list)"

static void say(struct compare_table *t, const char *count)
{
    if (t->verdict != VERDICT_FAIL) {
        table_conclude(t, VERDICT_INCONCLUSIVE, REASON, count);
        return;
    }
    char *reason = xasprintf("%s; " REASON, t->reason, count);
    free(t->reason);
    t->reason = reason;
}

/* The table, or its partitions. False: it was not compared. */
static bool say_all(struct compare_result *out, const char *schema, const char *table, const char *count)
{
    bool there = false;
    for (size_t i = 0; i < out->table_count; i++) {
        if (strcmp(out->tables[i].schema, schema) != 0 || strcmp(out->tables[i].table, table) != 0)
            continue;
        say(&out->tables[i], count);
        there = true;
    }
    return there;
}

bool dead_letters_conclude(struct session *target, struct compare_result *out, struct err *err)
{
    ROWSET_AUTO res = NULL;
    int64_t there = 0;
    const char *pipeline = out->pipeline, *name = "dead_letter";
    if (!session_int64(target, control_of(target)->table_there, 1, &name, &there, err))
        return err_wrap(err, "target");
    if (there == 0)
        return true;
    if (!session_ask(target, control_of(target)->dead_letters, 1, &pipeline, &res, err))
        return err_wrap(err, "target: are there dead letters? (GRANT SELECT ON crossfade.dead_letter)");
    for (int row = 0; row < rowset_rows(res); row++) {
        const char *schema = rowset_cell(res, row, 0), *table = rowset_cell(res, row, 1),
                   *count = rowset_cell(res, row, 2);
        if (!say_all(out, schema, table, count) && out->full) {
            free(out->reason);
            out->reason = xasprintf("%s.%s: " REASON, schema, table, count);
            out->verdict = VERDICT_INCONCLUSIVE;
        }
    }
    return true;
}
