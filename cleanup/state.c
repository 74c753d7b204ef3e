/* Owns what keeps a cleanup from beginning beside a role that runs: an unfinished cutover, transactions that are prepared, and records that were
 * never applied. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "maria_rows.h"
#include "maria_source.h"
#include "maria_state.h"
#include "pg/control_tables.h"

static bool find_steps(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    if (cl->target == NULL)
        return maria_steps_find(cl, kind, err);
    if (!pg_control_tables_look(cl->target, "crossfade.cutover", &there, err))
        return false;
    if (there &&
        !pg_query(
            cl->target,
            "SELECT DISTINCT ON (cutover_id) cutover_id, state FROM crossfade.cutover WHERE pipeline = $1"
            " ORDER BY cutover_id, seq DESC",
            1, &cl->pipeline, &res, err))
        return false;
    for (int i = 0; there && i < pg_rows(res); i++) {
        const char *state = pg_cell(res, i, 1);
        if (strcmp(state, "done") != 0 && strcmp(state, "aborted") != 0)
            item_refuse(
                item_add(cl, kind, "target", pg_cell(res, i, 0)),
                "the cutover stands at %s: `crossfade cutover resume` or `crossfade cutover abort` first",
                state);
    }
    return true;
}

bool cutovers_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    bool there = false;
    if (cl->maria_source != NULL && !maria_source_decision_find(cl, kind, err))
        return false;
    if (!find_steps(cl, kind, err) ||
        (cl->source != NULL && !pg_control_tables_look(cl->source, "crossfade.decision", &there, err)))
        return false;
    if (there && !pg_query(cl->source,
                           "SELECT cutover_id FROM crossfade.decision WHERE pipeline = $1 AND state = 'open'",
                           1, &cl->pipeline, &res, err))
        return false;
    for (int i = 0; there && i < pg_rows(res); i++)
        item_refuse(item_add(cl, kind, "source", pg_cell(res, i, 0)),
                    "its decision is open: `crossfade cutover resume` or `crossfade cutover abort` first");
    return true;
}

/* Names are crossfade:<pipeline>:<shard>:<token>:<writer>. What they hold is decided by apply: committed or not by the position. */
static bool add_xa(void *ctx, char **cells, size_t count, struct err *err)
{
    struct strbuf *names = ctx;
    (void)err;
    if (count > 3 && cells[3] != NULL)
        strbuf_addf(names, "%s\n", cells[3]);
    return true;
}

struct branches {
    struct cleanup *cl;
    const struct cleanup_kind *kind;
    const char *names;
};

/* Branches begin with the hash that names the lock of their shard. */
static bool add_branches(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct branches *b = ctx;
    (void)count;
    (void)err;
    if (cells[2] != NULL && strstr(b->names, cells[2]) != NULL)
        item_refuse(item_add(b->cl, b->kind, "target", cells[2]),
                    "XA transactions of apply, shard %s, are prepared: start apply, which ends them, and "
                    "stop it again",
                    cells[0]);
    return true;
}

static bool find_xa(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    struct strbuf names = STRBUF_INIT((size_t)1 << 20);
    bool ok = maria_query(cl->maria, "XA RECOVER", add_xa, &names, err) &&
              strbuf_ok(&names, "list of transactions", err) &&
              maria_shards(cl, "LENGTH(", ")", add_branches, &(struct branches){cl, kind, names.data}, err);
    strbuf_release(&names);
    return ok;
}

bool prepared_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (cl->target == NULL)
        return find_xa(cl, kind, err);
    if (!pg_query(
            cl->target,
            "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()"
            " AND pg_catalog.starts_with(gid, 'crossfade:' || $1 || ':') ORDER BY 1",
            1, &cl->pipeline, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        item_refuse(
            item_add(cl, kind, "target", pg_cell(res, i, 0)),
            "a transaction of apply's that is prepared: start apply, which ends it, and stop it again");
    return true;
}

static const struct {
    const char *table, *mine, *what, *remedy;
} unapplied[] = {
    {"dead_letter", "state = 'held'", "dead letters are held", "`crossfade apply dlq list`"},
    {"direct_letter", "true", "rows of a direct load were refused and not taken up",
     "start apply, which takes them up"},
    {"conflict", "state = 'open'", "conflicts are open", "`crossfade apply conflicts list`"},
};

static void add_unapplied(struct cleanup *cl, const struct cleanup_kind *kind, size_t which,
                          const char *count)
{
    if (strcmp(count, "0") == 0)
        return;
    struct cleanup_item *item = item_add(cl, kind, "target", unapplied[which].table);
    item->rows = strtoll(count, NULL, 10);
    if (cl->request->discard_letters)
        item_leave(item, "%s %s, and go with their table (--discard-dead-letters)", count,
                   unapplied[which].what);
    else
        item_refuse(item,
                    "%s %s: changes that the target never got. See to them (%s), or give them up with "
                    "--discard-dead-letters",
                    count, unapplied[which].what, unapplied[which].remedy);
}

static bool count_unapplied(struct cleanup *cl, size_t which, char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    const char *table = unapplied[which].table;
    bool there = false, ok = true;
    if (cl->target != NULL) {
        char *name CLEANUP(free_ptr) = xasprintf("crossfade.%s", table);
        strbuf_addf(&sql, "SELECT count(*)::text FROM crossfade.%s WHERE pipeline = $1 AND %s", table,
                    unapplied[which].mine);
        ok = pg_control_tables_look(cl->target, name, &there, err) &&
             (!there || pg_query_text(cl->target, sql.data, 1, &cl->pipeline, ret, err));
    } else {
        ok = maria_table_there(cl, table, &there, err);
        strbuf_addf(&sql, "SELECT COUNT(*) FROM crossfade_%s WHERE %s AND pipeline = ", table,
                    unapplied[which].mine);
        maria_quote_literal(&sql, cl->pipeline);
        ok = ok && (!there || maria_query_text(cl->maria, sql.data, 0, ret, err));
    }
    strbuf_release(&sql);
    return ok;
}

bool letters_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(unapplied); i++) {
        char *count CLEANUP(free_ptr) = NULL;
        if (!count_unapplied(cl, i, &count, err))
            return err_wrap(err, "target: %s", unapplied[i].table);
        if (count != NULL)
            add_unapplied(cl, kind, i, count);
    }
    return true;
}
