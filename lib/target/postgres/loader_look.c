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

static bool check_column(struct pg_loader *ld, const struct loader_table *t, const struct loader_column *c,
                         const struct pg_result *res, bool *binary, struct err *err)
{
    for (int row = 0; row < pg_rows(res); row++) {
        if (strcmp(pg_cell(res, row, 0), c->name) != 0)
            continue;
        enum fit fit =
            pg_cell_bool(res, row, 3) ? FIT_NOT : fit_of(c, pg_cell(res, row, 1), pg_cell(res, row, 2));
        *binary = *binary && fit == FIT_BINARY;
        if (fit != FIT_NOT)
            return check_inside(ld, t, c, pg_cell(res, row, 4), err);
        return err_set(err, ERR_SCHEMA,
                       "table=%s.%s column=%s: %s on the source, %s%s on the target: rows cannot be "
                       "loaded directly; give it the source's type, or set capture.snapshot_path: journal",
                       t->schema, t->name, c->name, c->type, pg_cell(res, row, 1),
                       pg_cell_bool(res, row, 3) ? " generated" : "");
    }
    return err_set(err, ERR_SCHEMA, "table=%s.%s: there is no column %s", t->schema, t->name, c->name);
}

static bool refuse_triggers(struct pg_loader *ld, const struct loader_table *t, struct err *err)
{
    const char *params[2] = {t->schema, t->name};
    bool fire = false;
    if (!ld->triggers_fire)
        return true;
    if (!pgl_query_bool(ld,
                        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger WHERE tgrelid = "
                        "to_regclass(format('%I.%I', $1::text, $2::text)) AND tgenabled <> 'D')",
                        2, params, &fire, err))
        return false;
    return !fire ||
           err_set(err, ERR_AUTH,
                   "table=%s.%s: its triggers and foreign keys would fire while rows are loaded. Hint: "
                   "GRANT SET ON PARAMETER session_replication_role to the target's role, or set "
                   "capture.snapshot_path: journal",
                   t->schema, t->name);
}

bool pgl_fits(struct loader *base, const struct loader_table *t, enum loader_form *ret, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    bool binary = true;
    PG_RESULT_AUTO res = NULL;
    PG_RESULT_AUTO back = NULL;
    const char *params[2] = {t->schema, t->name}, *path[1] = {ld->search_path};
    /* Type names are to be whole, as the source gives them. */
    if (!pg_exec(ld->conn, "SET search_path = ''", err) ||
        !pg_query(
            ld->conn,
            "SELECT a.attname, pg_catalog.format_type(atttypid, atttypmod), pg_catalog.format_type(atttypid, "
            "NULL), a.attgenerated <> '', a.atttypid FROM pg_catalog.pg_attribute a WHERE attrelid = "
            "to_regclass(format('%I.%I', $1::text, $2::text)) AND attnum > 0 AND NOT attisdropped",
            2, params, &res, err))
        return false;
    if (pg_rows(res) == 0 && t->column_count > 0)
        return err_set(err, ERR_SCHEMA, "there is no table %s.%s: make it (crossfade schema create)",
                       t->schema, t->name);
    for (size_t i = 0; i < t->column_count; i++) {
        if (!check_column(ld, t, &t->columns[i], res, &binary, err))
            return false;
    }
    *ret = binary ? LOADER_BINARY : LOADER_TEXT;
    return pg_query(ld->conn, "SELECT pg_catalog.set_config('search_path', $1, false)", 1, path, &back,
                    err) &&
           refuse_triggers(ld, t, err);
}

/* --- what is there --- */

static char **read_upper(struct pg_loader *ld, const char *array, size_t *ret_count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[1] = {array};
    if (!pg_query(ld->conn, "SELECT u FROM unnest($1::text[]) WITH ORDINALITY AS t (u, n) ORDER BY n", 1,
                  params, &res, err))
        return NULL;
    *ret_count = (size_t)pg_rows(res);
    char **upper = xcalloc(*ret_count + 1, sizeof *upper);
    for (size_t i = 0; i < *ret_count; i++)
        upper[i] = xstrdup(pg_cell(res, (int)i, 0));
    return upper;
}

static bool read_chunk(struct pg_loader *ld, const struct loader_table *t, const struct pg_result *res,
                       int row, struct loader_chunk *ret, struct err *err)
{
    *ret = (struct loader_chunk){.table_oid = t->oid,
                                 .part_oid = (uint32_t)pg_cell_int64(res, row, 0),
                                 .number = (int)pg_cell_int64(res, row, 1),
                                 .done = pg_cell_bool(res, row, 3),
                                 .rows = pg_cell_int64(res, row, 4)};
    if (ret->done && !lsn_parse(pg_cell(res, row, 5), &ret->lsn))
        return err_set(err, ERR_PROTOCOL, "crossfade.direct_chunk.lsn does not parse");
    if (pg_is_null(res, row, 2))
        return true;
    ret->upper = read_upper(ld, pg_cell(res, row, 2), &ret->upper_count, err);
    return ret->upper != NULL;
}

/* Neither a second unique index, nor a primary key of other columns than the key's. */
static bool look_at_indexes(struct pg_loader *ld, const struct loader_table *t, bool *ret_mixable,
                            struct err *err)
{
    const char *name[2] = {t->schema, t->name};
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql,
                "SELECT NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE indrelid = "
                "to_regclass(format('%I.%I', $1::text, $2::text)) AND (indisunique OR indisexclusion) AND "
                "(NOT indisprimary OR (SELECT array_agg(attname::text ORDER BY attname::text COLLATE \"C\") "
                "FROM pg_catalog.pg_attribute WHERE attrelid = indrelid AND attnum = ANY (i.indkey)) IS "
                "DISTINCT FROM (SELECT array_agg(k ORDER BY k COLLATE \"C\") FROM unnest(ARRAY[");
    for (size_t i = 0; i < t->key_count; i++) {
        strbuf_adds(&sql, i > 0 ? ", " : "");
        pg_quote_literal(&sql, t->key[i]);
    }
    strbuf_adds(&sql, "]::text[]) AS k)))");
    bool ok = strbuf_ok(&sql, "statement", err) && pgl_query_bool(ld, sql.data, 2, name, ret_mixable, err);
    strbuf_release(&sql);
    return ok;
}

static bool look_at_table(struct pg_loader *ld, const struct loader_table *t, const char *oid, bool *ret_same,
                          bool *ret_mixable, struct err *err)
{
    const char *known[3] = {ld->base.pipeline, oid, t->shape};
    return pgl_query_bool(
               ld,
               "SELECT shape = $3 FROM crossfade.direct_table WHERE pipeline = $1 AND source_oid = "
               "$2::bigint",
               3, known, ret_same, err) &&
           look_at_indexes(ld, t, ret_mixable, err);
}

bool pgl_look(struct loader *base, const struct loader_table *t, struct loader_chunk **ret, size_t *ret_count,
              bool *ret_same, bool *ret_mixable, struct err *err)
{
    struct pg_loader *ld = (struct pg_loader *)base;
    PG_RESULT_AUTO res = NULL;
    char oid[16];
    (void)snprintf(oid, sizeof oid, "%u", t->oid);
    const char *params[2] = {ld->base.pipeline, oid};
    if (!look_at_table(ld, t, oid, ret_same, ret_mixable, err) ||
        !pg_query(
            ld->conn,
            "SELECT part_oid, number, upper, done, coalesce(rows, 0), lsn FROM crossfade.direct_chunk WHERE "
            "pipeline = $1 AND source_oid = $2::bigint ORDER BY part_oid, number",
            2, params, &res, err))
        return false;
    struct loader_chunk *chunks = xcalloc((size_t)pg_rows(res) + 1, sizeof *chunks);
    bool ok = true;
    for (int i = 0; ok && i < pg_rows(res); i++)
        ok = read_chunk(ld, t, res, i, &chunks[(*ret_count)++], err);
    if (!ok) {
        while (*ret_count > 0)
            loader_chunk_release(&chunks[--*ret_count]);
        free(chunks);
        return false;
    }
    *ret = chunks;
    return true;
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
