/* Owns: rows of the pipeline and control tables on MariaDB: crossfade_* in the database of target.url. See maria_rows.h. */
#include "maria_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria_source.h"

#define PORTION "20000"

static void add_condition(struct cleanup *cl, const struct control_table *t, struct strbuf *sql)
{
    for (const char *c = t->mine != NULL ? t->mine : "pipeline = $1"; *c != '\0'; c++) {
        if (*c == '@') {
            strbuf_adds(sql, "crossfade_");
        } else if (strncmp(c, "$1", 2) == 0) {
            maria_quote_literal(sql, cl->pipeline);
            c++;
        } else {
            strbuf_addc(sql, *c);
        }
    }
}

static bool ask_int(struct maria_conn *conn, const char *sql, int64_t *ret, struct err *err)
{
    char *text CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(conn, sql, 0, &text, err))
        return false;
    *ret = text != NULL ? strtoll(text, NULL, 10) : 0;
    return true;
}

bool maria_table_there(struct cleanup *cl, const char *table, bool *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1000);
    int64_t count = 0;
    strbuf_addf(&sql,
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND "
                "TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME = 'crossfade_%s'",
                table);
    bool ok = ask_int(cl->maria, sql.data, &count, err);
    *ret = count > 0;
    strbuf_release(&sql);
    return ok;
}

bool maria_shards(struct cleanup *cl, const char *before, const char *after, maria_each_row *each, void *ctx,
                  struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    bool there = false;
    if (!maria_table_there(cl, "position", &there, err))
        return false;
    strbuf_addf(&sql,
                "SELECT s.shard, %sCONCAT('crossfade apply ', s.hash)%s, s.hash FROM (SELECT t.shard, "
                "SHA1(CONCAT_WS('\\n', DATABASE(), t.p, t.shard)) AS hash FROM (SELECT ",
                before, after);
    maria_quote_literal(&sql, cl->pipeline);
    strbuf_adds(&sql, " AS p, '1/1' AS shard");
    if (there) {
        strbuf_adds(&sql, " UNION SELECT pipeline, shard FROM crossfade_position WHERE pipeline = ");
        maria_quote_literal(&sql, cl->pipeline);
    }
    strbuf_adds(&sql, ") t) s");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query(cl->maria, sql.data, each, ctx, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "locks on the target");
}

/* Of the pipeline's rows (mine), or of those of others. */
static bool count_rows(struct cleanup *cl, const struct control_table *t, bool mine, int64_t *ret,
                       struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    strbuf_addf(&sql, "SELECT COUNT(*) FROM crossfade_%s WHERE %s(", t->name, mine ? "" : "NOT ");
    add_condition(cl, t, &sql);
    strbuf_addc(&sql, ')');
    bool ok = strbuf_ok(&sql, "statement", err) && ask_int(cl->maria, sql.data, ret, err);
    strbuf_release(&sql);
    return ok;
}

bool maria_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    for (size_t i = 0; i < control_table_count; i++) {
        const struct control_table *t = &control_tables[i];
        struct strbuf condition = STRBUF_INIT(2000);
        int64_t rows = 0;
        bool there = false;
        if (!t->on_target)
            continue;
        if (!maria_table_there(cl, t->name, &there, err) || (there && !count_rows(cl, t, true, &rows, err)))
            return err_wrap(err, "crossfade_%s on the target", t->name);
        if (rows == 0)
            continue;
        struct cleanup_item *item = item_add(cl, kind, "target", t->name);
        add_condition(cl, t, &condition);
        item->rows = rows;
        item_action(item, "DELETE FROM crossfade_%s WHERE %s", t->name, condition.data);
        rows_judge(cl, item, t->name);
        strbuf_release(&condition);
    }
    return true;
}

bool maria_rows_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(4000);
    strbuf_addf(&sql, "%s LIMIT " PORTION, item->action);
    bool ok = strbuf_ok(&sql, "statement", err);
    for (bool more = ok; ok && more;) {
        int64_t rows = 0;
        ok = maria_exec(item_maria(cl, item), sql.data, err) &&
             ask_int(item_maria(cl, item), "SELECT ROW_COUNT()", &rows, err);
        more = ok && rows > 0;
        if (more && cl->talk->stop_asked(cl->talk->ctx))
            ok = err_set(err, ERR_INTERRUPTED, "stop was asked for");
    }
    strbuf_release(&sql);
    return ok;
}

static bool others(struct cleanup *cl, bool *ret, struct err *err)
{
    *ret = false;
    for (size_t i = 0; i < control_table_count && !*ret; i++) {
        const struct control_table *t = &control_tables[i];
        int64_t rows = 0;
        bool there = false;
        if (t->on_target && (!maria_table_there(cl, t->name, &there, err) ||
                             (there && !count_rows(cl, t, false, &rows, err))))
            return false;
        *ret = rows > 0;
    }
    return true;
}

bool maria_objects_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    bool used = false;
    if (!others(cl, &used, err))
        return false;
    for (size_t i = 0; i < control_table_count; i++) {
        bool there = false;
        if (!control_tables[i].on_target)
            continue;
        if (!maria_table_there(cl, control_tables[i].name, &there, err))
            return false;
        if (!there)
            continue;
        char *name CLEANUP(free_ptr) = xasprintf("table crossfade_%s", control_tables[i].name);
        struct cleanup_item *item = item_add(cl, kind, "target", name);
        item_action(item, "DROP TABLE IF EXISTS crossfade_%s", control_tables[i].name);
        if (used)
            item_leave(item, "another pipeline uses the control tables of this database");
        else if (cl->switched && (strcmp(control_tables[i].name, "cutover") == 0 ||
                                  strcmp(control_tables[i].name, "tombstone") == 0))
            item_leave(item, "`crossfade decommission` and `cutover status` read it");
    }
    return true;
}

/* Between looking and dropping there is no lock; who starts just then makes the table again. */
bool maria_objects_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    bool used = false, source = strcmp(item->side, "source") == 0;
    if (source ? !maria_source_others(cl, &used, err) : !others(cl, &used, err))
        return false;
    if (used) {
        item_leave(item, "another pipeline has come meanwhile");
        return true;
    }
    return cleanup_exec_maria(cl, item_maria(cl, item), item->action, err);
}
