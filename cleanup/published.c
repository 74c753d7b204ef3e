/* Owns: what a pipeline has put on the application's tables of the source: the triggers that close them, and the publication. */
#include <string.h>

#include "cleanup_internal.h"

/* Tables of a publication, partitions of every level included. */
#define TREE_OF(condition)                                                                                   \
    "(SELECT t.relid FROM pg_catalog.pg_publication_tables p JOIN pg_catalog.pg_namespace pn ON pn.nspname " \
    "= p.schemaname"                                                                                         \
    " JOIN pg_catalog.pg_class pc ON pc.relnamespace = pn.oid AND pc.relname = p.tablename CROSS JOIN "      \
    "LATERAL"                                                                                                \
    " (SELECT pc.oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree(pc.oid)) t "              \
    "WHERE " condition ")"

/* Triggers are known by their name and by the function that they call; whose they are, by the publication: who closes the tables, and
 * not any other, has them in his. */
static const char triggers_sql[] = "WITH ours AS " TREE_OF(
    "p.pubname = 'crossfade_' || $1") ", others AS " TREE_OF("p.pubname ~ '^crossfade_[a-z]' AND "
                                                             "p.pubname <> 'crossfade_' || $1 AND EXISTS "
                                                             "(SELECT FROM "
                                                             "pg_catalog.pg_publication_tables m"
                                                             " WHERE m.pubname = p.pubname AND "
                                                             "m.schemaname = 'crossfade' AND m.tablename "
                                                             "= 'marker')") " SELECT n.nspname, "
                                                                            "c.relname, c.oid IN (SELECT "
                                                                            "relid FROM others), "
                                                                            "pg_catalog.format('DROP "
                                                                            "TRIGGER IF EXISTS "
                                                                            "crossfade_freeze ON %I.%I', "
                                                                            "n.nspname, c.relname)"
                                                                            " FROM pg_catalog.pg_trigger "
                                                                            "g JOIN pg_catalog.pg_class "
                                                                            "c ON c.oid = g.tgrelid JOIN "
                                                                            "pg_catalog.pg_namespace n "
                                                                            "ON n.oid = c.relnamespace"
                                                                            " JOIN pg_catalog.pg_proc f "
                                                                            "ON f.oid = g.tgfoid JOIN "
                                                                            "pg_catalog.pg_namespace fn "
                                                                            "ON fn.oid = f.pronamespace"
                                                                            " WHERE g.tgname = "
                                                                            "'crossfade_freeze' AND "
                                                                            "fn.nspname = 'crossfade' "
                                                                            "AND f.proname = "
                                                                            "'refuse_write' AND NOT "
                                                                            "g.tgisinternal AND "
                                                                            "g.tgparentid = 0"
                                                                            " AND ($2 = '' OR c.oid IN "
                                                                            "(SELECT relid FROM ours)) "
                                                                            "ORDER BY 1, 2";

bool triggers_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (cl->source == NULL)
        return true;
    const char *params[] = {cl->pipeline, cl->source_others};
    if (!pg_query(cl->source, triggers_sql, 2, params, &res, err))
        return err_wrap(err, "triggers on the source");
    for (int i = 0; i < pg_rows(res); i++) {
        struct strbuf table = STRBUF_INIT(1000);
        pg_quote_table(&table, pg_cell(res, i, 0), pg_cell(res, i, 1));
        struct cleanup_item *item = item_add(cl, kind, "source", table.data);
        strbuf_release(&table);
        item_action(item, "%s", pg_cell(res, i, 3));
        if (pg_cell_bool(res, i, 2))
            item_leave(item, "a publication of another pipeline (%s) has the table as well",
                       cl->source_others);
        else if (cl->triggers_stay)
            item_leave(item, "it keeps the old database closed to writers; --open-source removes it");
    }
    return true;
}

/* Ours holds the markers, or all tables. */
bool publications_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *own = cl->own;
    if (cl->source == NULL)
        return true;
    if (!pg_query(cl->source,
                  "SELECT p.puballtables OR EXISTS (SELECT FROM pg_catalog.pg_publication_tables t WHERE "
                  "t.pubname = p.pubname AND t.schemaname ="
                  " 'crossfade' AND t.tablename = 'marker'), pg_catalog.pg_get_userbyid(p.pubowner), "
                  "pg_catalog.pg_has_role(p.pubowner, 'USAGE')"
                  " FROM pg_catalog.pg_publication p WHERE p.pubname = $1",
                  1, &own, &res, err))
        return err_wrap(err, "publications of the source");
    if (pg_rows(res) == 0)
        return true;
    struct cleanup_item *item = item_add(cl, kind, "source", cl->own);
    item_action(item, "DROP PUBLICATION IF EXISTS %s", cl->own); /* [a-z0-9_] */
    if (!pg_cell_bool(res, 0, 0))
        item_leave(item, "it does not publish crossfade.marker: capture has not made it");
    else if (!pg_cell_bool(res, 0, 2))
        item_leave(item, "it belongs to role %s: DROP PUBLICATION %s as that role", pg_cell(res, 0, 1),
                   cl->own);
    else if (cl->triggers_stay && *cl->source_others != '\0')
        item_leave(
            item,
            "it says which tables are closed to writers, beside those of %s; --open-source removes both",
            cl->source_others);
    return true;
}
