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

static bool remember(struct pg_target *pt, struct pg_table *tab, const char *const params[4], struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char attempt[24];
    (void)snprintf(attempt, sizeof attempt, "%llu", (unsigned long long)pt->attempt);
    const char *all[5] = {params[0], params[1], params[2], params[3], attempt};
    if (!pg_query(
            pt->conn,
            "INSERT INTO crossfade.loaded (pipeline, shard, schema_name, table_name, attempt, table_oid) "
            "VALUES ($1, $2, $3, $4, $5::bigint, to_regclass(format('%I.%I', $3::text, $4::text))::oid)",
            5, all, &res, err))
        return false;
    tab->loading = true;
    return true;
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

static bool refuse_or_empty(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool filled = false;
    strbuf_addf(&sql, "SELECT EXISTS (SELECT 1 FROM %s)", tab->rows_of);
    bool ok = pgt_refuse_source(pt->conn, pt->pipeline, err) && strbuf_ok(&sql, "statement", err) &&
              pg_query_bool(pt->conn, sql.data, 0, NULL, &filled, err);
    strbuf_release(&sql);
    if (!ok || !filled)
        return ok || pgt_table_err(tab, err);
    if (!pt->truncate_nonempty)
        return err_set(err, ERR_SCHEMA,
                       "table=%s.%s: the target table holds rows that this pipeline did not write: empty it, "
                       "or set apply.on_nonempty: truncate",
                       tab->base.schema->schema, tab->base.schema->table);
    return pgt_truncate(pt, &tab, 1, err);
}

/* It was filled under another name, and renamed since, as on the source: its rows are ours. */
static bool known_by_oid(struct pg_target *pt, const char *const params[4], bool *ret_known, struct err *err)
{
    return pg_query_bool(
        pt->conn,
        "UPDATE crossfade.loaded SET schema_name = $3, table_name = $4 WHERE pipeline = $1 AND shard = $2 "
        "AND table_oid = to_regclass(format('%I.%I', $3::text, $4::text))::oid RETURNING true",
        4, params, ret_known, err);
}

bool pgt_ensure_loaded(struct pg_target *pt, struct pg_table *tab, struct err *err)
{
    if (tab->loaded || tab->loading || pt->writer > 0) /* the lead has seen to it */
        return true;
    const char *params[4] = {pt->pipeline, pt->shard, tab->base.schema->schema, tab->base.schema->table};
    bool known = false;
    if (!pgt_plain(pt, err) ||
        !pg_query_bool(
            pt->conn,
            "SELECT true FROM crossfade.loaded WHERE pipeline = $1 AND shard = $2 AND schema_name = $3 AND "
            "table_name = $4",
            4, params, &known, err) ||
        (!known && !known_by_oid(pt, params, &known, err)))
        return false;
    if (known) {
        tab->loading = true; /* settled by the next commit: the row may be of this very transaction */
        return true;
    }
    /* Without a copy the rows are there already, and are to stay. */
    return (pt->attempt == 0 ? pgt_refuse_source(pt->conn, pt->pipeline, err)
                             : refuse_or_empty(pt, tab, err)) &&
           remember(pt, tab, params, err);
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
    if (!pgt_plain(pt, err) || !forget_direct(pt, err) ||
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
