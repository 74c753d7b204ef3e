/* Owns: reading what belongs to a pipeline's tables, on either side. See parity_internal.h. */
#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "parity_internal.h"
#include "plan_postgres_builder.h"
#include "sql/embedded.h"

#define LIST_BYTES_MAX ((size_t)64 << 20)
#define SCOPE_PARAMS   6

/* Behind catalog_parity.sql and catalog_definition.sql. A rule that makes a view is the view. */
#define LISTED                                                                                               \
    " SELECT i.type, i.identity, coalesce(d.def, '') AS def, coalesce((CASE d.c WHEN 1259 THEN (SELECT "     \
    "x.indrelid FROM pg_index x"                                                                             \
    " WHERE x.indexrelid = d.o) WHEN 2606 THEN (SELECT x.conrelid FROM pg_constraint x WHERE x.oid = d.o) "  \
    "WHEN 2620 THEN (SELECT"                                                                                 \
    " x.tgrelid FROM pg_trigger x WHERE x.oid = d.o) WHEN 2618 THEN (SELECT x.ev_class FROM pg_rewrite x "   \
    "WHERE x.oid = d.o)"                                                                                     \
    " WHEN 3256 THEN (SELECT x.polrelid FROM pg_policy x WHERE x.oid = d.o) END)::regclass::text, '') AS "   \
    "of FROM definition d"                                                                                   \
    " CROSS JOIN LATERAL pg_identify_object(d.c, d.o, 0) i UNION ALL SELECT 'extension', "                   \
    "quote_ident(e.extname),"                                                                                \
    " E'!version\t' || e.extversion, '' FROM pg_extension e WHERE e.extname <> 'plpgsql'"

/* SQL_ASCII: whatever bytes there are. */
static const char digest_head[] =
    ", listed (type, name, def, of) AS MATERIALIZED (" LISTED
    ") SELECT encode(sha256(convert_to(coalesce(string_agg(h, '' ORDER BY h COLLATE \"C\"),"
    " ''), 'SQL_ASCII')), 'hex') FROM (SELECT encode(sha256(convert_to(concat_ws(E'\t', l.type, l.name, "
    "l.def), 'SQL_ASCII')), 'hex')"
    " FROM listed l) f (h)";

/* Tables beside the pipeline's: what needs them cannot be on the target. Not those that the pipeline's inherit from: where the target has them not, its tables
 * are other tables, which is told of them. */
static const char others_sql[] =
    "WITH RECURSIVE ours (o) AS (SELECT p.o FROM unnest($1::text[], $2::text[]) root (s, t) JOIN "
    "pg_namespace "
    "pn ON pn.nspname = root.s JOIN pg_class c ON c.relnamespace = pn.oid AND c.relname = root.t"
    " CROSS JOIN LATERAL (SELECT c.oid AS o UNION SELECT q.relid::oid FROM pg_partition_tree(c.oid) q) p"
    " UNION SELECT i.inhparent FROM pg_inherits i JOIN ours ON i.inhrelid = ours.o)"
    " SELECT r.oid FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace "
    "WHERE r.relkind IN ('r', 'p', 'f') AND r.oid >= 16384"
    " AND n.nspname NOT IN ('crossfade', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
    " AND r.oid NOT IN (SELECT o FROM ours)"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 1259 AND d.objid = r.oid AND d.deptype = "
    "'e')";

/* Of the tables and of their partitions, whose columns have the same names. */
static const char columns_sql[] =
    "SELECT root.s, root.t, p.o, a.attname, a.attnum, p.o::regclass::text, p.o = c.oid FROM "
    "unnest($1::text[], $2::text[]) root (s, t)"
    " JOIN pg_namespace n ON n.nspname = root.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = "
    "root.t"
    " CROSS JOIN LATERAL (SELECT c.oid AS o UNION SELECT q.relid::oid FROM pg_partition_tree(c.oid) q) p"
    " JOIN pg_attribute a ON a.attrelid = p.o AND a.attnum > 0 AND NOT a.attisdropped";

/* Names come out with their schemas; nothing is compiled, for such plans are costly on paper alone. */
static bool ask(struct pg_conn *conn, const char *sql, int count, const char *const *params,
                struct pg_result **ret, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (!pg_exec(conn, "BEGIN READ ONLY; SET LOCAL search_path = ''; SET LOCAL jit = off", err))
        return false;
    bool ok = pg_query(conn, sql, count, params, ret, err);
    bool ended = pg_exec(conn, ok ? "COMMIT" : "ROLLBACK", ok ? err : &ignored);
    if (ok && !ended)
        pg_result_cleanup(ret);
    return ok && ended;
}

static bool list_tables(const struct config *cfg, struct pg_conn *source, struct parity_scope *s,
                        struct err *err)
{
    const char *pipeline = config_text(cfg, "pipeline");
    struct table_filter *filter = NULL;
    PG_RESULT_AUTO res = NULL;
    size_t count = 0;
    bool ok = table_filter_from_config(cfg, &filter, err) &&
              pg_query(source,
                       "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables WHERE pubname = "
                       "'crossfade_' || $1 AND schemaname <> 'crossfade' ORDER BY 1, 2",
                       1, &pipeline, &res, err);
    for (int i = 0; ok && i < pg_rows(res); i++) {
        if (!table_filter_matches(filter, pg_cell(res, i, 0), pg_cell(res, i, 1)))
            continue;
        pg_array_text(&s->schemas, count, pg_cell(res, i, 0));
        pg_array_text(&s->tables, count++, pg_cell(res, i, 1));
    }
    pg_array_end(&s->schemas, count);
    pg_array_end(&s->tables, count);
    table_filter_free(filter);
    if (ok && count == 0)
        return err_set(err, ERR_REFUSED,
                       "publication crossfade_%s publishes no table of source.tables: start `crossfade "
                       "capture` first",
                       pipeline);
    return ok;
}

static void note_rename(struct parity_scope *s, const char *table, const char *from, const char *to)
{
    s->renames = xrealloc(s->renames, (s->rename_count + 1) * sizeof *s->renames);
    s->renames[s->rename_count++] =
        (struct parity_rename){.table = xstrdup(table), .from = xstrdup(from), .to = xstrdup(to)};
}

/* of, numbers: the left out columns of the tables themselves, for what needs them. */
static bool list_columns(struct pg_conn *source, const struct table_rules *rules, struct parity_scope *s,
                         struct strbuf *of, struct strbuf *numbers, size_t *ret_gone, struct err *err)
{
    const char *params[] = {s->schemas.data, s->tables.data};
    PG_RESULT_AUTO res = NULL;
    size_t gone = 0, own = 0;
    if (rules != NULL && !ask(source, columns_sql, 2, params, &res, err))
        return false;
    for (int i = 0; rules != NULL && i < pg_rows(res); i++) {
        const char *schema = pg_cell(res, i, 0), *table = pg_cell(res, i, 1), *column = pg_cell(res, i, 3);
        const char *name = table_rules_rename(rules, schema, table, column);
        bool kept = table_rules_keeps(rules, schema, table, column);
        if (kept && name != NULL && strcmp(name, column) != 0)
            note_rename(s, pg_cell(res, i, 5), column, name);
        if (kept)
            continue;
        pg_array_int64(&s->gone_tables, gone, pg_cell_int64(res, i, 2));
        pg_array_text(&s->gone_columns, gone++, column);
        if (!pg_cell_bool(res, i, 6))
            continue;
        pg_array_int64(of, own, pg_cell_int64(res, i, 2));
        pg_array_int64(numbers, own++, pg_cell_int64(res, i, 4));
    }
    pg_array_end(&s->gone_tables, gone);
    pg_array_end(&s->gone_columns, gone);
    pg_array_end(of, own);
    pg_array_end(numbers, own);
    *ret_gone = gone;
    return true;
}

static bool list_others(struct pg_conn *source, const struct parity_scope *s, struct strbuf *out,
                        size_t *ret_count, struct err *err)
{
    const char *params[] = {s->schemas.data, s->tables.data};
    PG_RESULT_AUTO res = NULL;
    if (!ask(source, others_sql, 2, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++)
        pg_array_int64(out, (size_t)i, pg_cell_int64(res, i, 0));
    *ret_count = (size_t)pg_rows(res);
    pg_array_end(out, *ret_count);
    return true;
}

static bool list_lost(struct pg_conn *source, const char *const *params, bool any, struct parity_scope *s,
                      struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    size_t count = 0;
    if (any && !plan_pg_ask_lost(source, params, &res, err))
        return false;
    for (int i = 0; any && i < pg_rows(res); i++) {
        if (pg_cell_int64(res, i, 2) != 0)
            continue;
        pg_array_int64(&s->lost_classes, count, pg_cell_int64(res, i, 0));
        pg_array_int64(&s->lost_objects, count++, pg_cell_int64(res, i, 1));
    }
    pg_array_end(&s->lost_classes, count);
    pg_array_end(&s->lost_objects, count);
    return true;
}

static bool list_left_out(const struct config *cfg, struct pg_conn *source, struct parity_scope *s,
                          struct err *err)
{
    struct table_rules *rules = NULL;
    struct strbuf others = STRBUF_INIT(LIST_BYTES_MAX), of = STRBUF_INIT(LIST_BYTES_MAX),
                  numbers = STRBUF_INIT(LIST_BYTES_MAX);
    size_t gone = 0, other = 0;
    bool ok = table_rules_from_config(cfg, &rules, err) &&
              list_columns(source, rules, s, &of, &numbers, &gone, err) &&
              list_others(source, s, &others, &other, err) && strbuf_ok(&of, "columns", err) &&
              strbuf_ok(&numbers, "columns", err) && strbuf_ok(&others, "tables", err);
    if (ok) {
        const char *params[] = {others.data, of.data, numbers.data, "{}"};
        ok = list_lost(source, params, gone > 0 || other > 0, s, err);
    }
    strbuf_release(&others);
    strbuf_release(&of);
    strbuf_release(&numbers);
    table_rules_free(rules);
    return ok;
}

static struct strbuf *list_of(struct parity_scope *s, size_t i)
{
    struct strbuf *const lists[SCOPE_PARAMS] = {&s->schemas,      &s->tables,       &s->gone_tables,
                                                &s->gone_columns, &s->lost_classes, &s->lost_objects};
    return lists[i];
}

bool parity_scope_read(const struct config *cfg, struct pg_conn *source, struct parity_scope *ret,
                       struct err *err)
{
    *ret = (struct parity_scope){.renames = NULL};
    for (size_t i = 0; i < SCOPE_PARAMS; i++)
        *list_of(ret, i) = (struct strbuf)STRBUF_INIT(LIST_BYTES_MAX);
    bool ok = list_tables(cfg, source, ret, err) && list_left_out(cfg, source, ret, err);
    for (size_t i = 0; ok && i < SCOPE_PARAMS; i++)
        ok = strbuf_ok(list_of(ret, i), "the list of what is compared", err);
    if (!ok)
        parity_scope_release(ret);
    return ok;
}

void parity_scope_release(struct parity_scope *scope)
{
    for (size_t i = 0; i < SCOPE_PARAMS; i++)
        strbuf_release(list_of(scope, i));
    for (size_t i = 0; i < scope->rename_count; i++) {
        free(scope->renames[i].table);
        free(scope->renames[i].from);
        free(scope->renames[i].to);
    }
    free(scope->renames);
    scope->renames = NULL;
    scope->rename_count = 0;
}

static bool read_side(struct pg_conn *conn, const struct parity_scope *s, bool all, const char *tail,
                      struct pg_result **ret, struct err *err)
{
    char *sql CLEANUP(free_ptr) =
        xasprintf("%s%s%s", embedded_sql_catalog_parity_sql, embedded_sql_catalog_definition_sql, tail);
    const char *params[SCOPE_PARAMS] = {s->schemas.data, s->tables.data, "{}", "{}", "{}", "{}"};
    if (all) {
        params[2] = s->gone_tables.data;
        params[3] = s->gone_columns.data;
        params[4] = s->lost_classes.data;
        params[5] = s->lost_objects.data;
    }
    return ask(conn, sql, SCOPE_PARAMS, params, ret, err);
}

bool parity_read_source(struct pg_conn *source, const struct parity_scope *scope, struct pg_result **ret,
                        struct err *err)
{
    return read_side(source, scope, true, LISTED, ret, err) || err_wrap(err, "definitions of the source");
}

bool parity_read_target(struct pg_conn *target, const struct parity_scope *scope, struct pg_result **ret,
                        struct err *err)
{
    return read_side(target, scope, false, LISTED, ret, err) || err_wrap(err, "definitions of the target");
}

bool schema_fingerprint(const struct config *cfg, struct pg_conn *source, char **ret, struct err *err)
{
    struct parity_scope scope = {.renames = NULL};
    PG_RESULT_AUTO res = NULL;
    for (size_t i = 0; i < SCOPE_PARAMS; i++)
        *list_of(&scope, i) = (struct strbuf)STRBUF_INIT(LIST_BYTES_MAX);
    bool ok = list_tables(cfg, source, &scope, err) && strbuf_ok(&scope.schemas, "the list of tables", err) &&
              strbuf_ok(&scope.tables, "the list of tables", err) &&
              read_side(source, &scope, false, digest_head, &res, err);
    parity_scope_release(&scope);
    if (!ok)
        return err_wrap(err, "the source's schema");
    *ret = xstrdup(pg_cell(res, 0, 0));
    return true;
}
