/* Owns: rows of the pipeline in the control tables, on PostgreSQL. Deleted in portions: a transaction of millions helps nobody. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "maria_rows.h"
#include "maria_source.h"
#include "pg/control_tables.h"

#define PORTION "20000"

/* The condition with the tables' names as PostgreSQL has them; with the pipeline's name (letters, digits, '_') in it for people. */
static void add_condition(struct strbuf *sql, const struct control_table *t, const char *shown)
{
    for (const char *c = t->mine != NULL ? t->mine : "pipeline = $1"; *c != '\0'; c++) {
        if (*c == '@') {
            strbuf_adds(sql, "crossfade.");
        } else if (shown != NULL && strncmp(c, "$1", 2) == 0) {
            strbuf_addf(sql, "'%s'", shown);
            c++;
        } else {
            strbuf_addc(sql, *c);
        }
    }
}

static bool count_rows(struct cleanup *cl, struct pg_conn *conn, const struct control_table *t, int64_t *ret,
                       struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    char *name CLEANUP(free_ptr) = xasprintf("crossfade.%s", t->name);
    bool there = false;
    *ret = 0;
    if (!pg_control_tables_look(conn, name, &there, err))
        return false;
    strbuf_addf(&sql, "SELECT count(*) FROM %s WHERE ", name);
    add_condition(&sql, t, NULL);
    bool ok = !there || (strbuf_ok(&sql, "statement", err) &&
                         pg_query_int64(conn, sql.data, 1, &cl->pipeline, ret, err));
    strbuf_release(&sql);
    return ok;
}

void rows_judge(struct cleanup *cl, struct cleanup_item *item, const char *table)
{
    if (strcmp(table, "cutover") == 0 && cl->switched)
        item_leave(item, "`crossfade decommission` and `cutover status` read them");
    else if (strcmp(table, "tombstone") == 0 && cl->source != NULL)
        item_leave(item,
                   "it says how the tombstone is taken down: `crossfade decommission tombstone --undo`");
    else if (strcmp(table, "decision") == 0 && cl->triggers_stay)
        item_leave(item, "it says why the tables are closed to writers; --open-source removes it");
}

static void add_rows(struct cleanup *cl, const struct cleanup_kind *kind, const char *side,
                     const struct control_table *t, int64_t rows)
{
    struct cleanup_item *item = item_add(cl, kind, side, t->name);
    struct strbuf condition = STRBUF_INIT(2000);
    add_condition(&condition, t, cl->pipeline);
    item->rows = rows;
    item_action(item, "DELETE FROM crossfade.%s WHERE %s", t->name, condition.data);
    strbuf_release(&condition);
    rows_judge(cl, item, t->name);
}

static bool find_rows(struct cleanup *cl, const struct cleanup_kind *kind, bool source, struct err *err)
{
    for (size_t i = 0; i < control_table_count; i++) {
        const struct control_table *t = &control_tables[i];
        int64_t rows = 0;
        if (!(source ? t->on_source : t->on_target))
            continue;
        if (!count_rows(cl, source ? cl->source : cl->target, t, &rows, err))
            return err_wrap(err, "crossfade.%s on the %s", t->name, source ? "source" : "target");
        if (rows > 0)
            add_rows(cl, kind, source ? "source" : "target", t, rows);
    }
    return true;
}

bool source_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    if (cl->maria_source != NULL)
        return maria_source_rows_find(cl, kind, err);
    return cl->source == NULL || find_rows(cl, kind, true, err);
}

bool target_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    return cl->target != NULL ? find_rows(cl, kind, false, err) : maria_rows_find(cl, kind, err);
}

static const struct control_table *table_of(const struct cleanup_item *item)
{
    for (size_t i = 0; i < control_table_count; i++) {
        if (strcmp(control_tables[i].name, item->name) == 0)
            return &control_tables[i];
    }
    BUG("no control table %s", item->name);
}

bool rows_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(8000);
    struct pg_conn *conn = item_conn(cl, item);
    if (conn == NULL)
        return maria_rows_remove(cl, item, err);
    strbuf_addf(&sql, "DELETE FROM crossfade.%s WHERE ctid = ANY (ARRAY(SELECT ctid FROM crossfade.%s WHERE ",
                item->name, item->name);
    add_condition(&sql, table_of(item), NULL);
    strbuf_adds(&sql, " LIMIT " PORTION "))");
    bool ok = strbuf_ok(&sql, "statement", err);
    for (bool more = ok; ok && more;) {
        PG_RESULT_AUTO res = NULL;
        ok = pg_query(conn, sql.data, 1, &cl->pipeline, &res, err);
        more = ok && pg_affected(res) > 0;
        if (more && cl->talk->stop_asked(cl->talk->ctx))
            ok = err_set(err, ERR_INTERRUPTED, "stop was asked for");
    }
    strbuf_release(&sql);
    return ok;
}
