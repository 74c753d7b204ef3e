/* Owns: what a pipeline has put on the application's tables of the source: the triggers that close them, and the publication. */
#include <string.h>

#include "cleanup_internal.h"
#include "maria_source.h"

/* Known by their name and by the function that they call, which is the pipeline's own (cutover/refuse.c). */
static const char triggers_sql[] =
    "SELECT n.nspname, c.relname, pg_catalog.format('DROP TRIGGER IF EXISTS crossfade_freeze ON %I.%I', "
    "n.nspname, c.relname)"
    " FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE g.tgname = 'crossfade_freeze' AND g.tgfoid = "
    "pg_catalog.to_regproc('crossfade.refuse_write_' || $1)::oid ORDER BY 1, 2";

bool triggers_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (cl->maria_source != NULL)
        return maria_source_triggers_find(cl, kind, err);
    if (cl->source == NULL)
        return true;
    const char *params[] = {cl->pipeline};
    if (!pg_query(cl->source, triggers_sql, 1, params, &res, err))
        return err_wrap(err, "triggers on the source");
    for (int i = 0; i < pg_rows(res); i++) {
        struct strbuf table = STRBUF_INIT(1000);
        pg_quote_table(&table, pg_cell(res, i, 0), pg_cell(res, i, 1));
        struct cleanup_item *item = item_add(cl, kind, "source", table.data);
        strbuf_release(&table);
        item_action(item, "%s", pg_cell(res, i, 2));
        if (cl->triggers_stay)
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
    return true;
}
