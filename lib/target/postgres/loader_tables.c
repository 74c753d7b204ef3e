/*
 * Owns: how tables of a direct load begin (empty, and noted as ours) and end (with their primary keys), many in a statement. See
 * target/loader.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "loader_postgres.h"
#include "postgres.h"

/* The locks of so many tables (and their indexes) are held at once. */
#define BEGIN_TABLES 100

struct taken {
    bool partitioned, ours, filled;
    char shard[32];
};

static bool exec_on(struct pg_loader *ld, const struct loader_table *t, const char *before, const char *after,
                    struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, before);
    pg_quote_table(&sql, t->schema, t->name);
    strbuf_adds(&sql, after);
    bool ok = strbuf_ok(&sql, "statement", err) && pg_exec(ld->conn, sql.data, err);
    strbuf_release(&sql);
    return ok || err_wrap(err, "table=%s.%s", t->schema, t->name);
}

/* A foreign key from outside forbids TRUNCATE; in replica role no trigger stops DELETE. Rows of inheritance children are those
 * of other tables. */
static bool empty(struct pg_loader *ld, const struct loader_table *t, bool partitioned, struct err *err)
{
    struct err first = ERR_INIT;
    if (!pg_exec(ld->conn, "SAVEPOINT crossfade_truncate", err))
        return false;
    if (exec_on(ld, t, partitioned ? "TRUNCATE " : "TRUNCATE ONLY ", "", &first))
        return pg_exec(ld->conn, "RELEASE SAVEPOINT crossfade_truncate", err);
    if (first.code == ERR_CONNECT) {
        *err = first;
        return false;
    }
    return pg_exec(ld->conn, "ROLLBACK TO SAVEPOINT crossfade_truncate", err) &&
           exec_on(ld, t, partitioned ? "DELETE FROM " : "DELETE FROM ONLY ", "", err);
}

/* --- the beginning --- */

/* Tables that firing foreign keys connect count by the name of one of them (target/layout.h). */
static bool find_shards(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                        const struct pgl_names *names, struct taken *ret, struct err *err)
{
    PG_RESULT_AUTO homes = NULL;
    const char *params[3] = {names->schemas.data, names->names.data, ld->base.pipeline};
    for (size_t i = 0; i < count; i++)
        loader_shard_of(ld->shards, tables[i]->schema, tables[i]->name, ret[i].shard);
    if (ld->shards == 1)
        return true;
    if (!pg_query(
            ld->conn,
            "SELECT n, home_schema, home_table FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u "
            "(s, t, n) JOIN crossfade.shard_home h ON h.schema_name = u.s AND h.table_name = u.t WHERE "
            "pipeline = $3",
            3, params, &homes, err))
        return false;
    for (int row = 0; row < pg_rows(homes); row++)
        loader_shard_of(ld->shards, pg_cell(homes, row, 1), pg_cell(homes, row, 2),
                        ret[pg_cell_int64(homes, row, 0) - 1].shard);
    return true;
}

bool pgl_shard_of(struct pg_loader *ld, const struct loader_table *t, char ret[32], struct err *err)
{
    struct taken taken = {0};
    struct pgl_names names;
    bool ok = pgl_names(&t, 1, &names, err) && find_shards(ld, &t, 1, &names, &taken, err);
    pgl_names_release(&names);
    memcpy(ret, taken.shard, sizeof taken.shard);
    return ok;
}

static void put_shards(struct strbuf *sb, const struct taken *taken, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pg_array_text(sb, i, taken[i].shard);
    pg_array_end(sb, count);
}

static bool look_at_tables(struct pg_loader *ld, const struct pgl_names *names, size_t count,
                           struct taken *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf shards = STRBUF_INIT(STRBUF_SQL_MAX);
    put_shards(&shards, ret, count);
    const char *params[4] = {names->schemas.data, names->names.data, shards.data, ld->base.pipeline};
    bool ok =
        strbuf_ok(&shards, "shards", err) &&
        pg_query(ld->conn,
                 "SELECT u.n, coalesce(relkind = 'p', false), EXISTS (SELECT 1 FROM crossfade.loaded l WHERE "
                 "pipeline = $4 AND shard = u.h AND schema_name = u.s AND table_name = u.t) FROM "
                 "unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u (s, t, h, n) LEFT JOIN "
                 "pg_catalog.pg_class c ON c.oid = to_regclass(format('%I.%I', u.s, u.t))",
                 4, params, &res, err);
    for (int row = 0; ok && row < pg_rows(res); row++) {
        struct taken *t = &ret[pg_cell_int64(res, row, 0) - 1];
        t->partitioned = pg_cell_bool(res, row, 1);
        t->ours = pg_cell_bool(res, row, 2);
    }
    strbuf_release(&shards);
    return ok;
}

static bool look_for_rows(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                          struct taken *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(&sql, "%sSELECT %zu WHERE EXISTS (SELECT 1 FROM %s", i > 0 ? " UNION ALL " : "", i,
                    ret[i].partitioned ? "" : "ONLY ");
        pg_quote_table(&sql, tables[i]->schema, tables[i]->name);
        strbuf_adds(&sql, ")");
    }
    bool ok = strbuf_ok(&sql, "statement", err) && pg_query(ld->conn, sql.data, 0, NULL, &res, err);
    for (int row = 0; ok && row < pg_rows(res); row++)
        ret[pg_cell_int64(res, row, 0)].filled = true;
    strbuf_release(&sql);
    return ok;
}

static bool empty_filled(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                         const struct taken *taken, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!taken[i].filled)
            continue;
        if (!taken[i].ours && !ld->base.truncate_nonempty)
            return err_set(err, ERR_SCHEMA,
                           "table=%s.%s: the target table holds rows that this pipeline did not write: empty "
                           "it, or set apply.on_nonempty: truncate",
                           tables[i]->schema, tables[i]->name);
        if (!empty(ld, tables[i], taken[i].partitioned, err))
            return false;
    }
    return true;
}

/* crossfade.loaded tells whose rows they are; a table that comes in gets its row there. */
static bool note_loaded(struct pg_loader *ld, const struct pgl_names *names, size_t count,
                        const struct taken *taken, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf shards = STRBUF_INIT(STRBUF_SQL_MAX);
    put_shards(&shards, taken, count);
    const char *params[5] = {names->schemas.data, names->names.data, shards.data, ld->base.pipeline,
                             ld->attempt};
    bool ok =
        strbuf_ok(&shards, "shards", err) &&
        pg_query(
            ld->conn,
            "INSERT INTO crossfade.loaded (pipeline, shard, schema_name, table_name, attempt, table_oid) "
            "SELECT $4, u.h, u.s, u.t, $5::bigint, to_regclass(format('%I.%I', u.s, u.t))::oid FROM "
            "unnest($1::text[], $2::text[], $3::text[]) AS u (s, t, h) WHERE NOT EXISTS (SELECT 1 FROM "
            "crossfade.loaded l WHERE l.pipeline = $4 AND l.shard = u.h AND l.schema_name = u.s AND "
            "l.table_name = u.t)",
            5, params, &res, err);
    strbuf_release(&shards);
    return ok;
}

static bool note_tables(struct pg_loader *ld, const struct loader_table *const *tables,
                        const struct pgl_names *names, size_t count, struct err *err)
{
    PG_RESULT_AUTO chunks = NULL;
    PG_RESULT_AUTO letters = NULL;
    PG_RESULT_AUTO res = NULL;
    struct strbuf shapes = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++)
        pg_array_text(&shapes, i, tables[i]->shape);
    pg_array_end(&shapes, count);
    const char *params[5] = {ld->base.pipeline, names->oids.data, names->schemas.data, names->names.data,
                             shapes.data};
    bool ok = strbuf_ok(&shapes, "shapes", err) &&
              pg_query(ld->conn,
                       "DELETE FROM crossfade.direct_chunk WHERE pipeline = $1 AND source_oid = ANY "
                       "($2::bigint[])",
                       2, params, &chunks, err) &&
              pg_query(ld->conn,
                       "DELETE FROM crossfade.direct_letter WHERE pipeline = $1 AND source_oid = ANY "
                       "($2::bigint[])",
                       2, params, &letters, err) &&
              pg_query(ld->conn,
                       "INSERT INTO crossfade.direct_table (pipeline, source_oid, schema_name, table_name, "
                       "shape) SELECT $1, o, s, t, h FROM unnest($2::bigint[], $3::text[], $4::text[], "
                       "$5::text[]) AS u (o, s, t, h) ON CONFLICT (pipeline, source_oid) DO UPDATE SET "
                       "schema_name = excluded.schema_name, table_name = excluded.table_name, shape = "
                       "excluded.shape",
                       5, params, &res, err);
    strbuf_release(&shapes);
    return ok;
}

static bool begin_some(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                       struct err *err)
{
    struct taken *taken CLEANUP(free_ptr) = xcalloc(count, sizeof *taken);
    struct pgl_names names;
    bool ok = pgl_names(tables, count, &names, err) && pgl_begin_claimed(ld, err) &&
              find_shards(ld, tables, count, &names, taken, err) &&
              look_at_tables(ld, &names, count, taken, err) && look_for_rows(ld, tables, count, taken, err) &&
              empty_filled(ld, tables, count, taken, err) && note_loaded(ld, &names, count, taken, err) &&
              note_tables(ld, tables, &names, count, err) && pg_exec(ld->conn, "COMMIT", err);
    pgl_names_release(&names);
    return ok;
}

/* Partitions count, too: what is too much for the server's lock table is asked in smaller sets. False: it is another error, or one table's. */
static bool halve(const struct err *failed, size_t *n, struct err *err)
{
    if (*n > 1 && strcmp(failed->sqlstate, "53200") == 0) {
        *n = (*n + 1) / 2;
        return true;
    }
    *err = *failed;
    return false;
}

bool pgl_begin_tables(struct loader *base, const struct loader_table *const *tables, size_t count,
                      struct err *err)
{
    for (size_t first = 0, most = BEGIN_TABLES; first < count;) {
        struct err failed = ERR_INIT;
        size_t n = MIN_OF(most, count - first);
        if (begin_some((struct pg_loader *)base, tables + first, n, &failed))
            first += n;
        else if (halve(&failed, &n, err))
            most = n;
        else
            return false;
    }
    return true;
}

/* --- the end --- */

/* The server shares it among the workers of a parallel build. */
static bool give_memory(struct pg_loader *ld, struct err *err)
{
    char sql[80];
    (void)snprintf(sql, sizeof sql, "SET LOCAL maintenance_work_mem = '%lldkB'",
                   (long long)MAX_OF(1024, ld->base.index_memory_bytes / 1024));
    return ld->base.index_memory_bytes == 0 || pg_exec(ld->conn, sql, err);
}

static bool find_keyless(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                         struct pg_result **ret, struct err *err)
{
    struct pgl_names names;
    bool ok = pgl_names(tables, count, &names, err);
    const char *params[2] = {names.schemas.data, names.names.data};
    ok = ok &&
         pg_query(ld->conn,
                  "SELECT n FROM (SELECT to_regclass(format('%I.%I', s, t)) AS o, n FROM unnest($1::text[], "
                  "$2::text[]) WITH ORDINALITY AS x (s, t, n) OFFSET 0) AS u WHERE (SELECT count(*) FROM "
                  "pg_catalog.pg_index WHERE indrelid = u.o AND indisprimary) = 0 ORDER BY n",
                  2, params, ret, err);
    pgl_names_release(&names);
    return ok;
}

static bool add_key(struct pg_loader *ld, const struct loader_table *t, struct err *err)
{
    struct strbuf add = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&add, " ADD %s", t->key_as);
    bool ok = strbuf_ok(&add, "statement", err) && exec_on(ld, t, "ALTER TABLE ", add.data, err);
    strbuf_release(&add);
    return ok;
}

static bool add_keys(struct pg_loader *ld, const struct loader_table *const *keyed,
                     const struct pg_result *res, int from, int to, struct err *err)
{
    bool ok = pgl_begin_claimed(ld, err) && give_memory(ld, err);
    for (int row = from; ok && row < to; row++)
        ok = add_key(ld, keyed[pg_cell_int64(res, row, 0) - 1], err);
    return ok && pg_exec(ld->conn, "COMMIT", err);
}

/* Those that have a key to be made at all. */
bool pgl_end_tables(struct loader *base, const struct loader_table *const *tables, size_t count,
                    struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    const struct loader_table *keyed[LOADER_TABLES];
    PG_RESULT_AUTO res = NULL;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (tables[i]->key_as != NULL)
            keyed[n++] = tables[i];
    }
    if (n == 0)
        return true;
    if (!find_keyless(ld, keyed, n, &res, err))
        return false;
    for (size_t row = 0, most = LOADER_TABLES; row < (size_t)pg_rows(res);) {
        struct err failed = ERR_INIT;
        size_t some = MIN_OF(most, (size_t)pg_rows(res) - row);
        if (add_keys(ld, keyed, res, (int)row, (int)(row + some), &failed))
            row += some;
        else if (halve(&failed, &some, err))
            most = some;
        else
            return false;
    }
    return true;
}
