/* Owns: emptying tables, and crossfade.loaded, which remembers what this pipeline has filled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres.h"

/* Where foreign keys fire, to delete rows could take rows of tables along that are none of ours. */
static bool may_delete(struct pg_target *pt, const char *const *names, size_t count, bool *ret,
                       struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    *ret = true;
    if (!pt->base.triggers_fire)
        return true;
    strbuf_adds(&sql, "SELECT NOT EXISTS (SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confdeltype IN "
                      "('c', 'n', 'd') "
                      "AND confrelid IN (");
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(&sql, i > 0 ? ", " : "");
        pg_quote_literal(&sql, strncmp(names[i], "ONLY ", 5) == 0 ? names[i] + 5 : names[i]);
        strbuf_adds(&sql, "::regclass");
    }
    strbuf_adds(&sql, "))");
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query_bool(pt->conn, sql.data, 0, NULL, ret, err);
    strbuf_release(&sql);
    return ok;
}

/* TRUNCATE of all in one statement satisfies foreign keys among them. A foreign key from outside forbids it:
 * then rows are deleted (in replica role no trigger stops that). `names` are quoted, with ONLY where it is
 * due. */
static bool empty_tables(struct pg_target *pt, const char *const *names, size_t count, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    struct err first = ERR_INIT;
    strbuf_adds(&sql, "TRUNCATE ");
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sql, "%s%s", i > 0 ? ", " : "", names[i]);
    bool ok = pg_exec(pt->conn, "SAVEPOINT crossfade_truncate", err) && strbuf_ok(&sql, "statement", err);
    if (ok && !pg_exec(pt->conn, sql.data, &first)) {
        bool may = false;
        ok = first.code != ERR_CONNECT &&
             pg_exec(pt->conn, "ROLLBACK TO SAVEPOINT crossfade_truncate", err) &&
             may_delete(pt, names, count, &may, err);
        if (ok && !may)
            ok = err_set(err, ERR_SQL,
                         "%s. To delete the rows instead would take rows of other tables along (ON DELETE "
                         "CASCADE …). Hint: "
                         "GRANT SET ON PARAMETER session_replication_role to the target's role",
                         first.text);
        for (size_t i = count; ok && i > 0; i--)
            ok = pg_execf(pt->conn, err, "DELETE FROM %s", names[i - 1]);
        if (first.code == ERR_CONNECT)
            *err = first;
    }
    strbuf_release(&sql);
    return ok && pg_exec(pt->conn, "RELEASE SAVEPOINT crossfade_truncate", err);
}

bool pgt_truncate(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    const char **names = malloc(count * sizeof *names);
    if (names == NULL)
        return err_set(err, ERR_NO_MEMORY, "list of tables");
    for (size_t i = 0; i < count; i++) {
        names[i] = tabs[i]->rows_of;
        tabs[i]->emptied = true;
    }
    bool ok = pgt_plain(pt, err) && empty_tables(pt, names, count, err);
    free(names);
    return ok;
}

bool pgt_refuse_source(struct pg_conn *conn, const char *pipeline, struct err *err)
{
    const char *params[1] = {pipeline};
    int64_t slots = 0;
    if (!pg_query_int64(conn,
                        "SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name = "
                        "'crossfade_' || $1 AND database = current_database()",
                        1, params, &slots, err))
        return false;
    return slots == 0 ||
           err_set(err, ERR_CONFIG,
                   "the target is the source itself: slot crossfade_%s is of this database; source.url and "
                   "target.url must name different databases",
                   pipeline);
}

/* Runs "head (VALUES …) tail" about these tables; params as the texts want them. */
static bool ask_about(struct pg_target *pt, struct pg_table *const *tabs, size_t count, const char *head,
                      const char *tail, int param_count, const char *const *params, struct pg_result **ret,
                      struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, head);
    pgt_values(&sql, tabs, count);
    strbuf_adds(&sql, tail);
    bool ok =
        strbuf_ok(&sql, "statement", err) && pg_query(pt->conn, sql.data, param_count, params, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool remember(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char attempt[24];
    (void)snprintf(attempt, sizeof attempt, "%llu", (unsigned long long)pt->attempt);
    const char *params[3] = {pt->pipeline, pt->shard, attempt};
    return ask_about(
        pt, tabs, count,
        "INSERT INTO crossfade.loaded (pipeline, shard, schema_name, table_name, attempt, table_oid) "
        "SELECT $1, $2, s, t, $3::bigint, to_regclass(format('%I.%I', s, t))::oid FROM ",
        " w (n, s, t)", 3, params, &res, err);
}

/* Those that hold rows come first in tabs. */
static bool find_filled(struct pg_target *pt, struct pg_table **tabs, size_t count, size_t *ret_filled,
                        struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&sql, "%sSELECT %zu WHERE EXISTS (SELECT 1 FROM %s)", i > 0 ? " UNION ALL " : "", i,
                    tabs[i]->rows_of);
    strbuf_adds(&sql, " ORDER BY 1");
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(pt->conn, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    *ret_filled = ok ? (size_t)pg_rows(res) : 0;
    for (size_t i = 0; i < *ret_filled; i++) { /* (numbers rise: what is swapped away is none of them) */
        size_t found = (size_t)pg_cell_int64(res, (int)i, 0);
        struct pg_table *tab = tabs[found];
        tabs[found] = tabs[i];
        tabs[i] = tab;
    }
    return ok || (count == 1 && pgt_table_err(tabs[0], err));
}

static bool refuse_or_empty(struct pg_target *pt, struct pg_table **tabs, size_t count, struct err *err)
{
    size_t filled = 0;
    if (!find_filled(pt, tabs, count, &filled, err))
        return false;
    if (filled > 0 && !pt->truncate_nonempty)
        return err_set(err, ERR_SCHEMA,
                       "table=%s.%s: the target table holds rows that this pipeline did not write: empty it, "
                       "or set apply.on_nonempty: truncate",
                       tabs[0]->base.schema->schema, tabs[0]->base.schema->table);
    return filled == 0 || pgt_truncate(pt, tabs, filled, err);
}

/* Those in the result, by number, are known: the next commit settles it, since the row may be of this very transaction. */
static void drop_known(struct pg_table **tabs, size_t *count, const struct pg_result *known)
{
    size_t kept = 0;
    for (int i = 0; i < pg_rows(known); i++)
        tabs[pg_cell_int64(known, i, 0)]->loading = true;
    for (size_t i = 0; i < *count; i++) {
        if (!tabs[i]->loading)
            tabs[kept++] = tabs[i];
    }
    *count = kept;
}

static bool find_known(struct pg_target *pt, struct pg_table **tabs, size_t *count, struct err *err)
{
    PG_RESULT_AUTO known = NULL;
    PG_RESULT_AUTO renamed = NULL;
    const char *params[2] = {pt->pipeline, pt->shard};
    if (!ask_about(pt, tabs, *count, "SELECT w.n FROM ",
                   " w (n, s, t) JOIN crossfade.loaded l ON l.schema_name = w.s AND l.table_name = w.t WHERE "
                   "l.pipeline = $1 AND l.shard = $2",
                   2, params, &known, err))
        return false;
    drop_known(tabs, count, known);
    if (*count == 0)
        return true;
    /* Filled under another name, and renamed since, as on the source: its rows are ours. */
    if (!ask_about(pt, tabs, *count,
                   "UPDATE crossfade.loaded l SET schema_name = w.s, table_name = w.t FROM ",
                   " w (n, s, t) WHERE l.pipeline = $1 AND l.shard = $2 AND l.table_oid = "
                   "to_regclass(format('%I.%I', w.s, w.t))::oid RETURNING w.n",
                   2, params, &renamed, err))
        return false;
    drop_known(tabs, count, renamed);
    return true;
}

/* Whether this pipeline has been cut over: then applications have written here, whose rows are never in the way, and never emptied. */
static bool has_served(struct pg_target *pt, bool *ret, struct err *err)
{
    const char *params[] = {pt->pipeline};
    return pg_query_bool(pt->conn,
                         "SELECT EXISTS (SELECT FROM crossfade.cutover WHERE pipeline = $1 AND state IN "
                         "('switching', 'done'))",
                         1, params, ret, err) ||
           err_wrap(err, "whether the target has served already");
}

static bool unless_served(struct pg_target *pt, struct pg_table **tabs, size_t count, struct err *err)
{
    bool served = false;
    return has_served(pt, &served, err) && (served || refuse_or_empty(pt, tabs, count, err));
}

static bool ensure_some(struct pg_target *pt, struct pg_table **tabs, size_t count, struct err *err)
{
    if (!find_known(pt, tabs, &count, err))
        return false;
    if (count == 0)
        return true;
    /* Without a copy the rows are there already, and are to stay. */
    if (!pgt_refuse_source(pt->conn, pt->pipeline, err) ||
        (pt->attempt > 0 && !unless_served(pt, tabs, count, err)) || !remember(pt, tabs, count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        tabs[i]->loading = true;
    return true;
}

bool pgt_ensure_loaded(struct pg_target *pt, struct pg_table *const *tabs, size_t count, struct err *err)
{
    struct pg_table *some[PREPARE_TABLES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct pg_table *tab = tabs[i];
        bool twin = false;
        pgt_touch(pt, tab);
        if (tab->loaded || tab->loading || pt->writer > 0) /* the lead has seen to it */
            continue;
        for (size_t k = 0; !twin && k < n; k++)
            twin = strcmp(some[k]->name, tab->name) == 0; /* it repeats, or has changed its shape */
        if (twin || n == PREPARE_TABLES) {
            if (!pgt_plain(pt, err) || !ensure_some(pt, some, n, err))
                return false;
            n = 0;
        }
        if (!tab->loading)
            some[n++] = tab;
    }
    return n == 0 || (pgt_plain(pt, err) && ensure_some(pt, some, n, err));
}

static bool empty_known(struct pg_target *pt, const struct pg_result *known, struct err *err)
{
    size_t count = (size_t)pg_rows(known);
    const char **names = calloc(count, sizeof *names);
    if (names == NULL)
        return err_set(err, ERR_NO_MEMORY, "list of tables");
    for (size_t i = 0; i < count; i++)
        names[i] = pg_cell(known, (int)i, 0);
    bool ok = empty_tables(pt, names, count, err);
    free(names);
    return ok;
}

/* What was loaded directly goes with its rows: attempts of a new journal have the numbers of the old one's. The claim is first: behind it
 * no loader's transaction runs. */
static bool forget_direct(struct pg_target *pt, struct err *err)
{
    static const char *const statements[] = {
        "DELETE FROM crossfade.direct_load WHERE pipeline = $1",
        "DELETE FROM crossfade.direct_table WHERE pipeline = $1",
        "DELETE FROM crossfade.direct_chunk WHERE pipeline = $1",
        "DELETE FROM crossfade.direct_letter WHERE pipeline = $1",
    };
    const char *params[1] = {pt->pipeline};
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        PG_RESULT_AUTO res = NULL;
        if (!pg_query(pt->conn, statements[i], 1, params, &res, err))
            return false;
    }
    return true;
}

bool pgt_reset(struct pg_target *pt, struct err *err)
{
    PG_RESULT_AUTO known = NULL;
    PG_RESULT_AUTO gone = NULL;
    const char *params[2] = {pt->pipeline, pt->shard};
    bool served = false;
    if (!pgt_plain(pt, err) || !has_served(pt, &served, err))
        return false;
    if (served)
        return err_set(
            err, ERR_SCHEMA,
            "a new copy would empty the target, which pipeline %s has been cut over to. Hint: was capture's "
            "journal or slot lost? If the target is really to be filled anew, delete the pipeline's rows in "
            "crossfade.cutover",
            pt->pipeline);
    if (!forget_direct(pt, err) ||
        !pg_query(pt->conn,
                  "SELECT format('%s%I.%I', CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END, schema_name, "
                  "table_name) FROM crossfade.loaded l JOIN pg_class c ON c.oid = "
                  "to_regclass(format('%I.%I', schema_name, table_name)) WHERE pipeline = $1 AND shard = $2",
                  2, params, &known, err) ||
        (pg_rows(known) > 0 && !empty_known(pt, known, err)) || !pgt_watch_reset(pt, err) ||
        !pg_query(pt->conn, "DELETE FROM crossfade.loaded WHERE pipeline = $1 AND shard = $2", 2, params,
                  &gone, err))
        return false;
    for (size_t i = 0; i < pt->table_count; i++)
        pt->tables[i]->loaded = pt->tables[i]->loading = false;
    return true;
}
