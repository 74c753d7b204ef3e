/* Owns: what all pipelines of a database share in schema crossfade. It goes with the last of them, and only what schemas/sql has made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "maria_rows.h"
#include "maria_source.h"
#include "pg/control_tables.h"

/* Who makes control tables holds it (pg/control_tables.c). */
#define MAKERS_LOCK "SELECT pg_catalog.pg_advisory_xact_lock(7236847205432871)"

/* Sessions of other pipelines, and rows of theirs, on the target. */
static bool target_others(struct cleanup *cl, char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = true;
    strbuf_adds(
        &sql,
        "SELECT coalesce(string_agg(DISTINCT p, ', ' ORDER BY p), '') FROM (SELECT "
        "split_part(application_name, ' ', 3)"
        " FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND "
        "application_name ~ "
        "'^crossfade (apply|load|cutover|compare) [a-z]' AND split_part(application_name, ' ', 3) <> $1");
    for (size_t i = 0; ok && i < control_table_count; i++) {
        const struct control_table *t = &control_tables[i];
        char *name CLEANUP(free_ptr) = xasprintf("crossfade.%s", t->name);
        bool there = false;
        ok = !t->on_target || t->mine != NULL || pg_control_tables_look(cl->target, name, &there, err);
        if (there)
            strbuf_addf(&sql, " UNION SELECT pipeline FROM %s WHERE pipeline <> $1", name);
    }
    strbuf_adds(&sql, ") o (p)");
    ok = ok && strbuf_ok(&sql, "statement", err) &&
         pg_query_text(cl->target, sql.data, 1, &cl->pipeline, ret, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "other pipelines of the target");
}

static bool others_of(struct cleanup *cl, bool source, char **ret, struct err *err)
{
    return source ? cleanup_source_others(cl, ret, err) : target_others(cl, ret, err);
}

/* In schema crossfade: kind, name as SQL, what is dropped, whether we may, whether it is one of ours ($2: their names). Parts of others (indexes, types of
 * tables, sequences of identities) go with them. */
static const char objects_sql[] =
    "SELECT o.what, o.name, pg_catalog.pg_has_role(o.owner, 'USAGE'), o.plain = ANY (string_to_array($1, ' "
    "')), pg_catalog.pg_get_userbyid(o.owner), o.bytes, o.plain FROM ("
    "SELECT 'function' AS what, p.oid::regprocedure::text AS name, p.proowner AS owner, p.proname::text AS "
    "plain, -1::bigint AS bytes, 1 AS place FROM pg_catalog.pg_proc p"
    " WHERE p.pronamespace = pg_catalog.to_regnamespace('crossfade')"
    " UNION ALL SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' "
    "ELSE 'relation of kind ' || c.relkind::text END, c.oid::regclass::text, c.relowner, c.relname,"
    " CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_total_relation_size(c.oid) ELSE -1 END, 2"
    " FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.to_regnamespace('crossfade') AND "
    "c.relkind NOT IN ('i', 'I', 't', 'c')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid "
    "= c.oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S')"
    " UNION ALL SELECT 'schema', n.nspname::text, n.nspowner, n.nspname, -1, 3 FROM pg_catalog.pg_namespace "
    "n WHERE n.nspname = 'crossfade') o ORDER BY o.place, o.name";

#define REFUSES "refuse_write_" /* and the pipeline: cutover/refuse.c */

/* Names of what schemas/sql and a cutover make on that side, beside the tables. */
static void add_known(const struct cleanup *cl, struct strbuf *names, bool source)
{
    if (source)
        strbuf_addf(names, REFUSES "%s crossfade", cl->pipeline);
    else
        strbuf_adds(names, "prune_verdicts dead_letter_id crossfade");
    for (size_t i = 0; i < control_table_count; i++) {
        if (source ? control_tables[i].on_source : control_tables[i].on_target)
            strbuf_addf(names, " %s", control_tables[i].name);
    }
}

/* What is left of the schema's contents is told by the items before. */
struct left {
    const char *others;
    bool something; /* stays, so that the schema does */
};

/* The way back, or another pipeline, has its source where this one has its target. */
static bool of_another_direction(const char *plain, bool source)
{
    bool found = strncmp(plain, REFUSES, strlen(REFUSES)) == 0;
    for (size_t i = 0; !found && i < control_table_count; i++)
        found = strcmp(control_tables[i].name, plain) == 0 &&
                (source ? control_tables[i].on_target : control_tables[i].on_source);
    return found || (source && (strcmp(plain, "prune_verdicts") == 0 ||
                                strcmp(plain, "dead_letter_id") == 0 || strcmp(plain, "audit") == 0));
}

static void judge(struct cleanup *cl, struct cleanup_item *item, const struct pg_result *res, int row,
                  bool source, struct left *left)
{
    const char *what = pg_cell(res, row, 0), *plain = pg_cell(res, row, 6);
    bool schema = strcmp(what, "schema") == 0, own = strncmp(plain, REFUSES, strlen(REFUSES)) == 0;
    if (strcmp(plain, "audit") == 0 && !source)
        item_leave(item, "the audit log is kept always");
    else if (source && strcmp(plain, "refuse_login") == 0)
        item_leave(item, "the tombstone stands: `crossfade decommission tombstone --undo` takes it down");
    else if (!pg_cell_bool(res, row, 3))
        item_leave(item, of_another_direction(plain, source)
                             ? "it is another pipeline's, or the way back's: their own cleanup removes it"
                             : "Crossfade does not know it: somebody else has put it there");
    else if (*left->others != '\0' && !own)
        item_leave(item, "used by other pipelines: %s", left->others);
    else if (!pg_cell_bool(res, row, 2))
        item_leave(item, "it belongs to role %s: come again as that role", pg_cell(res, row, 4));
    else if (source && cl->triggers_stay && (own || strcmp(plain, "decision") == 0))
        item_leave(item, "it keeps the old database closed to writers; --open-source removes it");
    else if (!source && cl->switched && (strcmp(plain, "cutover") == 0 || strcmp(plain, "tombstone") == 0))
        item_leave(item, "`crossfade decommission` and `cutover status` read it");
    else if (schema && left->something)
        item_leave(item, "it is not empty");
    left->something = left->something || item->fate == CLEANUP_LEAVE;
}

static bool find_on(struct cleanup *cl, const struct cleanup_kind *kind, bool source, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char *others CLEANUP(free_ptr) = NULL;
    struct strbuf names = STRBUF_INIT(4000);
    struct pg_conn *conn = source ? cl->source : cl->target;
    if (conn == NULL)
        return true;
    add_known(cl, &names, source);
    const char *known = names.data;
    bool ok = others_of(cl, source, &others, err) && pg_query(conn, objects_sql, 1, &known, &res, err);
    strbuf_release(&names);
    struct left left = {.others = others};
    for (int i = 0; ok && i < pg_rows(res); i++) {
        char *name CLEANUP(free_ptr) = xasprintf("%s %s", pg_cell(res, i, 0), pg_cell(res, i, 1));
        struct cleanup_item *item = item_add(cl, kind, source ? "source" : "target", name);
        item->bytes = pg_cell_int64(res, i, 5);
        item_action(item, "DROP %s", name); /* RESTRICT: what somebody has built upon it keeps it */
        judge(cl, item, res, i, source, &left);
    }
    return ok;
}

bool objects_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    if (cl->maria_source != NULL ? !maria_source_objects_find(cl, kind, err) : !find_on(cl, kind, true, err))
        return err_wrap(err, "control tables on the source");
    if (cl->maria != NULL)
        return maria_objects_find(cl, kind, err);
    return find_on(cl, kind, false, err) || err_wrap(err, "schema crossfade on the target");
}

/* Nobody can put a row in while we look. */
static bool table_is_empty(struct pg_conn *conn, const char *table, bool *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(2000);
    strbuf_addf(&sql, "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
    bool ok = pg_exec(conn, sql.data, err);
    strbuf_clear(&sql);
    strbuf_addf(&sql, "SELECT NOT EXISTS (SELECT FROM %s)", table);
    ok = ok && pg_query_bool(conn, sql.data, 0, NULL, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool drop_it(struct cleanup *cl, struct cleanup_item *item, struct pg_conn *conn, struct err *err)
{
    char *others CLEANUP(free_ptr) = NULL;
    bool source = strcmp(item->side, "source") == 0, empty = true,
         table = strncmp(item->name, "table ", 6) == 0;
    if (!pg_exec(conn, "BEGIN; " MAKERS_LOCK, err) || !others_of(cl, source, &others, err) ||
        (table && !table_is_empty(conn, item->name + 6, &empty, err)))
        return false;
    if ((*others != '\0' && strstr(item->name, REFUSES) == NULL) || !empty) {
        item_leave(item, "another pipeline has come meanwhile%s%s", *others != '\0' ? ": " : "", others);
        return pg_exec(conn, "ROLLBACK", err);
    }
    return pg_exec(conn, item->action, err) && pg_exec(conn, "COMMIT", err);
}

#define DEPENDED "2BP01"
#define GONE     "42P01 3F000 42883 42704"

bool objects_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    struct pg_conn *conn = item_conn(cl, item);
    if (conn == NULL)
        return maria_objects_remove(cl, item, err);
    for (int attempt = 0;; attempt++) {
        struct err now = ERR_INIT, ignored = ERR_INIT;
        if (drop_it(cl, item, conn, &now))
            return true;
        if (now.code != ERR_CONNECT)
            (void)!pg_exec(conn, "ROLLBACK", &ignored);
        if (strlen(now.sqlstate) == 5 && strstr(GONE, now.sqlstate) != NULL)
            return true;
        if (strcmp(now.sqlstate, DEPENDED) == 0) {
            item_leave(item, "%s", now.text);
            return true;
        }
        if (now.code != ERR_TRANSIENT || attempt == 10 || cl->talk->stop_asked(cl->talk->ctx)) {
            *err = now;
            return false;
        }
    }
}
