/*
 * Owns: the rows of a rehearsal: up to ROWS_PER_TABLE_MAX of each table and ROWS_MAX and BYTES_MAX in all, whichever the server gives first.
 * Parents of rows may not be among them, so they are loaded without foreign keys and triggers, as apply writes them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "core/alloc.h"
#include "rehearsal.h"

#define COPIES 6 /* of a row: two databases with their WAL, two journals */

/* Tables that are nobody's partition: rows of a partition come through its root. */
#define TABLES_FROM                                                                                          \
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                   \
    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'"                     \
    " AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crossfade')"                      \
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass"             \
    " AND d.objid = c.oid AND d.deptype = 'e')"

static const char tables_sql[] =
    "SELECT n.nspname, c.relname,"
    " (SELECT coalesce(string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), '')"
    " FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " AND a.attgenerated = ''), CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END,"
    " (SELECT coalesce(min(quote_ident(a.attname)), '') FROM pg_catalog.pg_attribute a WHERE a.attrelid = "
    "c.oid"
    " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a')" TABLES_FROM
    " AND NOT (n.nspname = 'public' AND c.relname ~ '^cfr_[0-9a-f]{8}_written$') ORDER BY 1, 2";

static const char sizes_sql[] =
    "SELECT n.nspname, c.relname, t.rows, t.bytes FROM (SELECT c.oid AS root,"
    " sum(greatest(l.reltuples, 0))::int8 AS rows, sum(pg_catalog.pg_table_size(l.oid))::int8 AS bytes"
    " FROM pg_catalog.pg_class c, LATERAL (SELECT c.oid AS relid UNION SELECT p.relid FROM"
    " pg_catalog.pg_partition_tree(c.oid) p) p JOIN pg_catalog.pg_class l ON l.oid = p.relid"
    " WHERE c.relkind IN ('r', 'p') AND l.relkind = 'r' GROUP BY c.oid) t JOIN"
    " (SELECT c.oid, c.relname, c.relnamespace" TABLES_FROM
    ") c ON c.oid = t.root JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

bool sample_tables(struct pg_conn *conn, struct pg_result **ret, struct err *err)
{
    return pg_query(conn, tables_sql, 0, NULL, ret, err);
}

/* Rows are what statistics say; a table without any counts with its whole size. */
static int64_t sampled_bytes(int64_t rows, int64_t bytes)
{
    return rows > ROWS_PER_TABLE_MAX ? (int64_t)((double)bytes / (double)rows * ROWS_PER_TABLE_MAX) : bytes;
}

bool sample_estimate(struct rehearsal *r, int64_t *ret_tables, int64_t *ret_bytes, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct table_filter *filter = NULL;
    *ret_tables = *ret_bytes = 0;
    if (!table_filter_from_config(r->cfg, &filter, err))
        return false;
    bool ok = pg_query(r->sides[OLD].admin, sizes_sql, 0, NULL, &res, err);
    for (int i = 0; ok && i < pg_rows(res); i++) {
        if (!table_filter_matches(filter, pg_cell(res, i, 0), pg_cell(res, i, 1)))
            continue;
        (*ret_tables)++;
        *ret_bytes += sampled_bytes(pg_cell_int64(res, i, 2), pg_cell_int64(res, i, 3));
    }
    table_filter_free(filter);
    *ret_bytes = MIN_OF(*ret_bytes, BYTES_MAX) * COPIES;
    return ok || err_wrap(err, "source");
}

bool sample_elsewhere(struct rehearsal *r, char **ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct table_filter *filter = NULL;
    *ret = NULL;
    if (!table_filter_from_config(r->cfg, &filter, err))
        return false;
    bool ok = pg_query(r->sides[OLD].admin, tables_sql, 0, NULL, &res, err);
    for (int i = 0; ok && *ret == NULL && i < pg_rows(res); i++) {
        const char *schema = pg_cell(res, i, 0), *table = pg_cell(res, i, 1);
        if (strcmp(schema, "public") != 0 && table_filter_matches(filter, schema, table))
            *ret = xasprintf("%s.%s", schema, table);
    }
    table_filter_free(filter);
    return ok;
}

/* --- copying --- */

static bool pump(struct rehearsal *r, struct pg_conn *to, struct err *err)
{
    struct pg_conn *from = r->sides[OLD].admin;
    for (;;) {
        const char *bytes;
        size_t len;
        if (!pg_copy_out_get(from, &bytes, &len, err))
            return false;
        if (len == 0)
            return true;
        if (r->bytes >= BYTES_MAX) /* each piece is a whole row */
            return scratch_reconnect(r, OLD, err);
        r->bytes += (int64_t)len;
        if (!pg_copy_in_put(to, bytes, len, err))
            return false;
    }
}

/* What was begun on one session is ended on the other as well: COPY knows no way out by halves. */
static bool copy_between(struct rehearsal *r, const char *out, const char *in, int64_t *ret_rows,
                         struct err *err)
{
    struct pg_conn *to = r->sides[OLD].inside;
    if (!pg_copy_out_begin(r->sides[OLD].admin, out, err))
        return err_wrap(err, "source");
    if (!pg_copy_in_begin(to, in, err))
        return false;
    if (pump(r, to, err))
        return pg_copy_in_end(to, ret_rows, err);
    pg_copy_in_abort(to, "the source could not be read");
    return false;
}

static bool copy_one(struct rehearsal *r, struct pg_result *tables, int row, struct err *err)
{
    struct strbuf out = STRBUF_INIT(STRBUF_SQL_MAX), in = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *schema = pg_cell(tables, row, 0), *table = pg_cell(tables, row, 1),
               *columns = pg_cell(tables, row, 2);
    int64_t rows = 0, limit = MIN_OF(ROWS_PER_TABLE_MAX, ROWS_MAX - r->rows);
    strbuf_addf(&out, "COPY (SELECT %s FROM %s", columns, pg_cell(tables, row, 3));
    pg_quote_table(&out, schema, table);
    strbuf_addf(&out, " LIMIT %" PRId64 ") TO STDOUT", limit);
    strbuf_adds(&in, "COPY ");
    pg_quote_table(&in, schema, table);
    strbuf_addf(&in, " (%s) FROM STDIN", columns);
    bool ok = strbuf_ok(&out, "COPY", err) && strbuf_ok(&in, "COPY", err) &&
              copy_between(r, out.data, in.data, &rows, err);
    strbuf_release(&out);
    strbuf_release(&in);
    r->rows += rows;
    r->tables++;
    return ok || err_wrap(err, "rows of table=%s.%s", schema, table);
}

bool sample_copy(struct rehearsal *r, struct err *err)
{
    PG_RESULT_AUTO tables = NULL;
    struct pg_conn *to = r->sides[OLD].inside;
    if (!sample_tables(to, &tables, err) || !pg_exec(to, "SET session_replication_role = replica", err))
        return false;
    bool ok = true;
    int left_out = 0;
    for (int i = 0; ok && i < pg_rows(tables); i++) {
        if (rehearsal_stop_asked(r))
            return err_set(err, ERR_INTERRUPTED, "stopped");
        bool full = r->rows >= ROWS_MAX || r->bytes >= BYTES_MAX;
        if (full || *pg_cell(tables, i, 2) == '\0')
            left_out++;
        else
            ok = copy_one(r, tables, i, err);
    }
    if (left_out > 0)
        rehearsal_say(r, "%d tables stay empty: the sample is full, or they have no column", left_out);
    return ok && pg_exec(to, "RESET session_replication_role; ANALYZE", err);
}
