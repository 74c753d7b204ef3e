/* See dead_letters.h. */
#include "dead_letters.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "model.h"

#define REASON "%s dead letters are held: changes that the target refused (crossfade apply dlq list)"

static struct compare_table *find_table(struct compare_result *out, const char *schema, const char *table)
{
    for (size_t i = 0; i < out->table_count; i++) {
        if (strcmp(out->tables[i].schema, schema) == 0 && strcmp(out->tables[i].table, table) == 0)
            return &out->tables[i];
    }
    return NULL;
}

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

bool dead_letters_conclude(struct pg_conn *target, struct compare_result *out, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    int64_t there = 0;
    const char *params[] = {out->pipeline};
    if (!pg_query_int64(target, "SELECT count(to_regclass('crossfade.dead_letter'))", 0, NULL, &there, err))
        return err_wrap(err, "target");
    if (there == 0)
        return true;
    if (!pg_query(target,
                  "SELECT schema_name, table_name, count(*) FROM crossfade.dead_letter WHERE pipeline = $1 "
                  "AND state = "
                  "'held' GROUP BY 1, 2 ORDER BY 1, 2",
                  1, params, &res, err))
        return err_wrap(err, "target: are there dead letters? (GRANT SELECT ON crossfade.dead_letter)");
    for (int row = 0; row < pg_rows(res); row++) {
        const char *schema = pg_cell(res, row, 0), *table = pg_cell(res, row, 1),
                   *count = pg_cell(res, row, 2);
        struct compare_table *t = find_table(out, schema, table);
        if (t != NULL) {
            say(t, count);
        } else if (out->full) {
            free(out->reason);
            out->reason = xasprintf("%s.%s: " REASON, schema, table, count);
            out->verdict = VERDICT_INCONCLUSIVE;
        }
    }
    return true;
}
