/* Owns: whether rows of a source's table can be loaded as they are, and what is loaded already. See target/loader.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "loader_postgres.h"
#include "postgres.h"

/* --- does it fit? --- */

/* Casts by which nothing is lost, through the text form. */
static bool widens(const char *from, const char *to)
{
    static const char *const pairs[][2] = {
        {"smallint", "integer"},       {"smallint", "bigint"},        {"smallint", "numeric"},
        {"integer", "bigint"},         {"integer", "numeric"},        {"bigint", "numeric"},
        {"character varying", "text"}, {"text", "character varying"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (strcmp(from, pairs[i][0]) == 0 && strcmp(to, pairs[i][1]) == 0)
            return true;
    }
    return false;
}

enum fit { FIT_NOT = 0, FIT_TEXT, FIT_BINARY };

/* A modifier that the target does not share could round or cut in silence. */
static enum fit fit_of(const struct loader_column *c, const char *type, const char *bare)
{
    if (strcmp(c->type, type) == 0)
        return c->binary ? FIT_BINARY : FIT_TEXT;
    bool unbounded = strcmp(type, bare) == 0 && strcmp(bare, "character") != 0 && strcmp(bare, "bit") != 0 &&
                     strcmp(bare, "bpchar") != 0;
    if (!unbounded)
        return FIT_NOT;
    if (strcmp(c->bare, bare) == 0 || widens(c->bare, bare))
        return FIT_TEXT;
    return FIT_NOT;
}

/* A type of the same name may be made of other things, which could round or cut, or take one for the other. */
static bool check_inside(struct pg_loader *ld, const struct loader_table *t, const struct loader_column *c,
                         const char *oid, struct err *err)
{
    char *inside CLEANUP(free_ptr) = NULL;
    const char *params[1] = {oid};
    if (c->builtin)
        return true;
    if (!pg_query_text(ld->conn, LOADER_TYPE_INSIDE, 1, params, &inside, err))
        return false;
    const char *source = c->inside != NULL ? c->inside : "", *target = inside != NULL ? inside : "";
    return strcmp(source, target) == 0 ||
           err_set(err, ERR_SCHEMA,
                   "table=%s.%s column=%s: type %s is (%s) on the source, (%s) on the target: rows "
                   "cannot be loaded directly; make them the same, or set capture.snapshot_path: journal",
                   t->schema, t->name, c->name, c->bare, source, target);
}

/* rows [from, to) of the answer are the table's */
static bool check_column(struct pg_loader *ld, const struct loader_table *t, const struct loader_column *c,
                         const struct pg_result *res, int from, int to, bool *binary, struct err *err)
{
    for (int row = from; row < to; row++) {
        if (strcmp(pg_cell(res, row, 1), c->name) != 0)
            continue;
        enum fit fit =
            pg_cell_bool(res, row, 4) ? FIT_NOT : fit_of(c, pg_cell(res, row, 2), pg_cell(res, row, 3));
        *binary = *binary && fit == FIT_BINARY;
        if (fit != FIT_NOT)
            return check_inside(ld, t, c, pg_cell(res, row, 5), err);
        return err_set(err, ERR_SCHEMA,
                       "table=%s.%s column=%s: %s on the source, %s%s on the target: rows cannot be "
                       "loaded directly; give it the source's type, or set capture.snapshot_path: journal",
                       t->schema, t->name, c->name, c->type, pg_cell(res, row, 2),
                       pg_cell_bool(res, row, 4) ? " generated" : "");
    }
    return err_set(err, ERR_SCHEMA, "table=%s.%s: there is no column %s", t->schema, t->name, c->name);
}

/* --- questions about many tables: what comes back begins with the table's number, from 1 --- */

/* $1, $2: names; more parameters, if any, follow. */
#define TABLES_OF_NAMES                                                                                      \
    "unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (s, t, n) JOIN pg_catalog.pg_class c ON c.oid = "   \
    "to_regclass(format('%I.%I', u.s, u.t))"

bool pgl_names(const struct loader_table *const *tables, size_t count, struct pgl_names *ret, struct err *err)
{
    strbuf_init(&ret->schemas, STRBUF_SQL_MAX);
    strbuf_init(&ret->names, STRBUF_SQL_MAX);
    strbuf_init(&ret->oids, STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++) {
        pg_array_text(&ret->schemas, i, tables[i]->schema);
        pg_array_text(&ret->names, i, tables[i]->name);
        pg_array_int64(&ret->oids, i, tables[i]->oid);
    }
    pg_array_end(&ret->schemas, count);
    pg_array_end(&ret->names, count);
    pg_array_end(&ret->oids, count);
    return strbuf_ok(&ret->schemas, "names of tables", err) &&
           strbuf_ok(&ret->names, "names of tables", err) && strbuf_ok(&ret->oids, "tables", err);
}

void pgl_names_release(struct pgl_names *names)
{
    strbuf_release(&names->schemas);
    strbuf_release(&names->names);
    strbuf_release(&names->oids);
}

static bool refuse_triggers(struct pg_loader *ld, const struct loader_table *const *tables,
                            const char *const *params, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!ld->triggers_fire)
        return true;
    if (!pg_query(ld->conn,
                  "SELECT n FROM " TABLES_OF_NAMES " WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_trigger "
                  "WHERE tgrelid = c.oid AND tgenabled <> 'D') ORDER BY n LIMIT 1",
                  2, params, &res, err))
        return false;
    if (pg_rows(res) == 0)
        return true;
    const struct loader_table *t = tables[pg_cell_int64(res, 0, 0) - 1];
    return err_set(err, ERR_AUTH,
                   "table=%s.%s: its triggers and foreign keys would fire while rows are loaded. Hint: "
                   "GRANT SET ON PARAMETER session_replication_role to the target's role, or set "
                   "capture.snapshot_path: journal",
                   t->schema, t->name);
}

static bool table_fits(struct pg_loader *ld, const struct loader_table *t, const struct pg_result *res,
                       int from, int to, enum loader_form *ret, struct err *err)
{
    bool binary = true;
    if (from == to && t->column_count > 0)
        return err_set(err, ERR_SCHEMA, "there is no table %s.%s: make it (crossfade schema create)",
                       t->schema, t->name);
    for (size_t i = 0; i < t->column_count; i++) {
        if (!check_column(ld, t, &t->columns[i], res, from, to, &binary, err))
            return false;
    }
    *ret = binary ? LOADER_BINARY : LOADER_TEXT;
    return true;
}

static bool check_columns(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                          const char *const *params, struct loader_seen *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(
            ld->conn,
            "SELECT n, a.attname, pg_catalog.format_type(atttypid, atttypmod), "
            "pg_catalog.format_type(atttypid, NULL), a.attgenerated <> '', a.atttypid FROM " TABLES_OF_NAMES
            " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE attnum > 0 AND NOT "
            "attisdropped ORDER BY n, attnum",
            2, params, &res, err))
        return false;
    int row = 0;
    for (size_t i = 0; i < count; i++) {
        int from = row;
        while (row < pg_rows(res) && pg_cell_int64(res, row, 0) == (int64_t)i + 1)
            row++;
        if (!table_fits(ld, tables[i], res, from, row, &ret[i].form, err))
            return false;
    }
    return true;
}

static bool fits(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                 const char *const *params, struct loader_seen *ret, struct err *err)
{
    PG_RESULT_AUTO back = NULL;
    const char *path[1] = {ld->search_path};
    /* Type names are to be whole, as the source gives them. */
    return pg_exec(ld->conn, "SET search_path = ''", err) &&
           check_columns(ld, tables, count, params, ret, err) &&
           pg_query(ld->conn, "SELECT pg_catalog.set_config('search_path', $1, false)", 1, path, &back,
                    err) &&
           refuse_triggers(ld, tables, params, err);
}

/* --- what is there --- */

static bool read_chunk(const struct pg_result *res, int row, struct loader_chunk *ret, struct err *err)
{
    *ret = (struct loader_chunk){.table_oid = (uint32_t)pg_cell_int64(res, row, 0),
                                 .part_oid = (uint32_t)pg_cell_int64(res, row, 1),
                                 .number = (int)pg_cell_int64(res, row, 2),
                                 .noted = true,
                                 .done = pg_cell_bool(res, row, 4),
                                 .rows = pg_cell_int64(res, row, 5)};
    if ((!ret->done || lsn_parse(pg_cell(res, row, 6), &ret->lsn)) &&
        (pg_is_null(res, row, 3) || loader_upper_read(pg_cell(res, row, 3), ret)))
        return true;
    loader_chunk_release(ret);
    return err_set(err, ERR_PROTOCOL, "crossfade.direct_chunk: part %s, chunk %s does not parse",
                   pg_cell(res, row, 1), pg_cell(res, row, 2));
}

static bool read_chunks(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                        const char *oids, struct loader_seen *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[2] = {ld->base.pipeline, oids};
    if (!pg_query(
            ld->conn,
            "SELECT source_oid, part_oid, number, (SELECT string_agg(octet_length(convert_to(b, 'UTF8')) || "
            "':' || b || ',', '' ORDER BY i) FROM unnest(upper) WITH ORDINALITY AS x (b, i)), done, "
            "coalesce(rows, 0), lsn FROM unnest($2::bigint[]) WITH ORDINALITY AS u (o, n) JOIN "
            "crossfade.direct_chunk c ON c.source_oid = u.o WHERE pipeline = $1 ORDER BY n, part_oid, number",
            2, params, &res, err))
        return false;
    int row = 0;
    for (size_t i = 0; i < count; i++) {
        int from = row;
        while (row < pg_rows(res) && pg_cell_int64(res, row, 0) == (int64_t)tables[i]->oid)
            row++;
        ret[i].chunks = xcalloc((size_t)(row - from) + 1, sizeof *ret[i].chunks);
        for (int r = from; r < row; r++) {
            if (!read_chunk(res, r, &ret[i].chunks[ret[i].chunk_count], err))
                return false;
            ret[i].chunk_count++;
        }
    }
    return true;
}

static bool look_at_shapes(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                           const char *oids, struct loader_seen *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf shapes = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++)
        pg_array_text(&shapes, i, tables[i]->shape);
    pg_array_end(&shapes, count);
    const char *params[3] = {ld->base.pipeline, oids, shapes.data};
    bool ok = strbuf_ok(&shapes, "shapes", err) &&
              pg_query(ld->conn,
                       "SELECT n FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS u (o, s, n) JOIN "
                       "crossfade.direct_table d ON d.source_oid = u.o WHERE pipeline = $1 AND shape = u.s",
                       3, params, &res, err);
    for (int row = 0; ok && row < pg_rows(res); row++)
        ret[pg_cell_int64(res, row, 0) - 1].same = true;
    strbuf_release(&shapes);
    return ok;
}

/* Neither a second unique index, nor a primary key of other columns than the key's. */
static bool look_at_indexes(struct pg_loader *ld, const struct loader_table *const *tables, size_t count,
                            const char *const *names, struct loader_seen *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf keys = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < count; i++) {
        struct strbuf key = STRBUF_INIT(STRBUF_SQL_MAX);
        for (size_t k = 0; k < tables[i]->key_count; k++)
            pg_array_text(&key, k, tables[i]->key[k]);
        pg_array_end(&key, tables[i]->key_count);
        pg_array_text(&keys, i, key.data != NULL ? key.data : "{}");
        strbuf_release(&key);
        ret[i].mixable = true;
    }
    pg_array_end(&keys, count);
    const char *params[3] = {names[0], names[1], keys.data};
    bool ok =
        strbuf_ok(&keys, "keys", err) &&
        pg_query(
            ld->conn,
            "SELECT u.n FROM (SELECT to_regclass(format('%I.%I', s, t)) AS o, k, n FROM unnest($1::text[], "
            "$2::text[], $3::text[]) WITH ORDINALITY AS x (s, t, k, n) OFFSET 0) AS u WHERE (SELECT "
            "count(*) FROM pg_catalog.pg_index i WHERE indrelid = u.o AND (indisunique OR "
            "indisexclusion) AND (NOT indisprimary OR (SELECT array_agg(attname::text ORDER BY "
            "attname::text COLLATE \"C\") FROM pg_catalog.pg_attribute WHERE attrelid = indrelid AND "
            "attnum = ANY (i.indkey)) IS DISTINCT FROM (SELECT array_agg(x ORDER BY x COLLATE \"C\") "
            "FROM unnest(u.k::text[]) AS x))) > 0",
            3, params, &res, err);
    for (int row = 0; ok && row < pg_rows(res); row++)
        ret[pg_cell_int64(res, row, 0) - 1].mixable = false;
    strbuf_release(&keys);
    return ok;
}

bool pgl_look(struct loader *base, const struct loader_table *const *tables, size_t count,
              struct loader_seen *ret, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    struct pgl_names names;
    bool ok = pgl_names(tables, count, &names, err);
    const char *params[2] = {names.schemas.data, names.names.data};
    ok = ok && fits(ld, tables, count, params, ret, err) &&
         look_at_shapes(ld, tables, count, names.oids.data, ret, err) &&
         look_at_indexes(ld, tables, count, params, ret, err) &&
         read_chunks(ld, tables, count, names.oids.data, ret, err);
    pgl_names_release(&names);
    return ok;
}

/* --- apply's side --- */

static bool read_tables(struct pg_target *pt, struct target_direct *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[1] = {pt->pipeline};
    if (!pg_query(pt->conn,
                  "SELECT schema_name, table_name, min(c.lsn) FROM crossfade.direct_table t JOIN "
                  "crossfade.direct_chunk c USING (pipeline, source_oid) WHERE pipeline = $1 AND c.done "
                  "GROUP BY 1, 2",
                  1, params, &res, err))
        return false;
    ret->tables = xcalloc((size_t)pg_rows(res) + 1, sizeof *ret->tables);
    for (int i = 0; i < pg_rows(res); i++) {
        struct target_direct_table *t = &ret->tables[ret->table_count];
        if (!lsn_parse(pg_cell(res, i, 2), &t->from_lsn))
            return err_set(err, ERR_PROTOCOL, "crossfade.direct_chunk.lsn does not parse");
        t->schema = xstrdup(pg_cell(res, i, 0));
        t->name = xstrdup(pg_cell(res, i, 1));
        ret->table_count++;
    }
    return true;
}

bool pgt_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret, struct err *err)
{
    struct pg_target *pt = (struct pg_target *)tgt;
    PG_RESULT_AUTO res = NULL;
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)attempt);
    const char *params[2] = {pt->pipeline, text};
    if (!pg_query(pt->conn,
                  "SELECT done FROM crossfade.direct_load WHERE pipeline = $1 AND attempt = $2::bigint", 2,
                  params, &res, err))
        return err_wrap(err, "target");
    ret->there = pg_rows(res) == 1;
    ret->done = ret->there && pg_cell_bool(res, 0, 0);
    if (!ret->done || read_tables(pt, ret, err))
        return true;
    target_direct_release(ret);
    return err_wrap(err, "target");
}
