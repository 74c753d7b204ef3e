/* Owns: the catalog queries about replicated tables and slots. See source.h. */
#include "pg/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

static void release_parts(struct source_table *t)
{
    for (size_t i = 0; i < t->part_count; i++) {
        free(t->parts[i].schema);
        free(t->parts[i].name);
    }
    free(t->parts);
    t->parts = NULL;
    t->part_count = 0;
}

void source_table_release(struct source_table *t)
{
    for (size_t i = 0; i < t->column_count; i++)
        free(t->columns[i].name);
    release_parts(t);
    free(t->columns);
    free(t->key);
    free(t->schema);
    free(t->name);
    free(t->generated);
    memset(t, 0, sizeof *t);
}

static uint32_t cell_oid(const struct pg_result *res, int row, int column)
{
    return (uint32_t)pg_cell_int64(res, row, column);
}

bool source_tables(struct pg_conn *conn, source_each_table *each, void *ctx, struct err *err)
{
    static const char sql[] =
        "SELECT c.oid, n.nspname, c.relname,"
        " CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::oid ELSE 0 END"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname <> 'information_schema'"
        " AND n.nspname !~ '^pg_' AND n.nspname <> 'crossfade'"
        " ORDER BY n.nspname, c.relname";
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, sql, 0, NULL, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        if (!each(ctx, cell_oid(res, i, 0), pg_cell(res, i, 1), pg_cell(res, i, 2), cell_oid(res, i, 3), err))
            return false;
    }
    return true;
}

static const char columns_sql[] =
    "SELECT a.attname, a.atttypid::oid::bigint, a.atttypmod, a.attnotnull, n.nspname, c.relname, c.relkind = "
    "'p',"
    "       c.relreplident, k.place, a.attnum, coalesce(ri.yes, false),"
    "       coalesce(x.indnkeyatts, 0),"
    "       (SELECT pg_catalog.array_agg(g.attname ORDER BY g.attnum) FROM pg_catalog.pg_attribute g"
    "         WHERE g.attrelid = c.oid AND g.attnum > 0 AND NOT g.attisdropped AND g.attgenerated <> ALL "
    "(sent.kinds)), c.oid"
    "  FROM pg_catalog.unnest($1::oid[]) WITH ORDINALITY w(oid, n)"
    "  JOIN pg_catalog.pg_class c ON c.oid = w.oid"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  CROSS JOIN (SELECT CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 180000"
    "       THEN ARRAY['', 's']::\"char\"[] ELSE ARRAY['']::\"char\"[] END AS kinds) sent"
    "  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    "       AND a.attgenerated = ANY (sent.kinds)"
    "  LEFT JOIN LATERAL (SELECT i.indkey, i.indnkeyatts FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid"
    "       AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END"
    "       AND i.indisvalid AND i.indimmediate LIMIT 1) x ON true"
    "  LEFT JOIN LATERAL (SELECT u.place FROM pg_catalog.unnest(x.indkey::int2[]) WITH ORDINALITY u(attnum, "
    "place)"
    "       WHERE u.attnum = a.attnum AND u.place <= x.indnkeyatts) k ON true"
    "  LEFT JOIN LATERAL (SELECT c.relreplident = 'f' OR (c.relreplident IN ('d', 'i') AND k.place IS NOT "
    "NULL) AS yes)"
    "       ri ON true"
    " WHERE c.relkind IN ('r', 'p')"
    " ORDER BY w.n, a.attnum";

static void load_row(const struct pg_result *res, int row, struct source_table *t, size_t *places)
{
    if (pg_is_null(res, row, 0)) /* a table without columns */
        return;
    struct source_column *c = &t->columns[t->column_count];
    *c = (struct source_column){
        .name = xstrdup(pg_cell(res, row, 0)),
        .type_oid = cell_oid(res, row, 1),
        .typmod = (int32_t)pg_cell_int64(res, row, 2),
        .not_null = pg_cell_bool(res, row, 3),
        .identity = pg_cell_bool(res, row, 10),
    };
    int64_t place = pg_is_null(res, row, 8) ? 0 : pg_cell_int64(res, row, 8);
    places[t->column_count++] = (size_t)place;
}

/* Rows [first, first + rows) of the answer are one table's. */
static void load_table(const struct pg_result *res, int first, int rows, struct source_table *ret)
{
    size_t max = (size_t)rows;
    struct source_table t = {
        .oid = cell_oid(res, first, 13),
        .schema = xstrdup(pg_cell(res, first, 4)),
        .name = xstrdup(pg_cell(res, first, 5)),
        .partitioned = pg_cell_bool(res, first, 6),
        .replica_identity = pg_cell(res, first, 7)[0],
        .columns = xcalloc(max, sizeof *t.columns),
    };
    if (!pg_is_null(res, first, 12))
        t.generated = xstrdup(pg_cell(res, first, 12));
    size_t *places = xcalloc(max, sizeof *places);
    for (int i = 0; i < rows; i++)
        load_row(res, first + i, &t, places);
    t.key = xcalloc(max + 1, sizeof *t.key);
    for (size_t i = 0; i < t.column_count; i++) {
        t.key_count += places[i] > 0;
        if (places[i] > 0 && places[i] <= max)
            t.key[places[i] - 1] = i;
    }
    if ((int64_t)t.key_count !=
        pg_cell_int64(res, first, 11)) /* a part of it is not published: what is left may not be unique */
        t.key_count = 0;
    free(places);
    t.live_columns = t.column_count;
    *ret = t;
}

/* A query for each of thousands of tables would be planned as often: several are asked for at once. */
#define TABLES_AT_ONCE 500

static int rows_of_same(const struct pg_result *res, int first, int column)
{
    int n = 1;
    while (first + n < pg_rows(res) &&
           strcmp(pg_cell(res, first + n, column), pg_cell(res, first, column)) == 0)
        n++;
    return n;
}

static bool query_oids(struct pg_conn *conn, const char *sql, const uint32_t *oids, size_t count,
                       struct pg_result **ret, struct err *err)
{
    struct strbuf list = STRBUF_INIT(16 * TABLES_AT_ONCE);
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&list, "%c%u", i == 0 ? '{' : ',', oids[i]);
    strbuf_addc(&list, '}');
    const char *params[] = {list.data};
    bool ok = strbuf_ok(&list, "list of tables", err) && pg_query(conn, sql, 1, params, ret, err);
    strbuf_release(&list);
    return ok;
}

static bool load_some(struct pg_conn *conn, const uint32_t *oids, size_t count, struct source_table *ret,
                      size_t *ret_count, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!query_oids(conn, columns_sql, oids, count, &res, err))
        return false;
    for (int row = 0, rows; row < pg_rows(res); row += rows) {
        rows = rows_of_same(res, row, 13);
        load_table(res, row, rows, &ret[(*ret_count)++]);
    }
    return true;
}

bool source_tables_load(struct pg_conn *conn, const uint32_t *oids, size_t count, struct source_table *ret,
                        size_t *ret_count, struct err *err)
{
    size_t loaded = 0;
    for (size_t i = 0; i < count; i += TABLES_AT_ONCE) {
        if (load_some(conn, oids + i, MIN_OF(count - i, TABLES_AT_ONCE), ret, &loaded, err))
            continue;
        while (loaded > 0)
            source_table_release(&ret[--loaded]);
        return false;
    }
    *ret_count = loaded;
    return true;
}

bool source_table_load(struct pg_conn *conn, uint32_t oid, struct source_table *ret, bool *ret_found,
                       struct err *err)
{
    size_t count = 0;
    if (!source_tables_load(conn, &oid, 1, ret, &count, err))
        return false;
    *ret_found = count > 0;
    return true;
}

static void load_parts(const struct pg_result *res, int first, int rows, struct source_table *t)
{
    t->part_count = (size_t)rows;
    t->parts = xcalloc(t->part_count + 1, sizeof *t->parts);
    for (size_t i = 0; i < t->part_count; i++) {
        int row = first + (int)i;
        t->parts[i] = (struct source_part){
            .oid = cell_oid(res, row, 0),
            .schema = xstrdup(pg_cell(res, row, 1)),
            .name = xstrdup(pg_cell(res, row, 2)),
            .file_node = cell_oid(res, row, 3),
            .blocks = pg_cell_int64(res, row, 4),
            .rows_estimate = pg_cell_int64(res, row, 5),
        };
    }
}

static bool load_some_parts(struct pg_conn *conn, struct source_table *tables, size_t count, struct err *err)
{
    /* pg_relation_filenode and _size see the present, whatever snapshot the transaction has. */
    static const char sql[] =
        "SELECT c.oid, n.nspname, c.relname, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::bigint,"
        "       coalesce(pg_catalog.pg_relation_size(c.oid), 0) / "
        "pg_catalog.current_setting('block_size')::bigint,"
        "       CASE WHEN c.reltuples < 0 THEN -1 WHEN c.relpages = 0 THEN c.reltuples ELSE"
        "         c.reltuples / c.relpages * (pg_catalog.pg_relation_size(c.oid)"
        "                                     / pg_catalog.current_setting('block_size')::bigint) "
        "END::bigint,"
        "       w.n"
        "  FROM pg_catalog.unnest($1::oid[]) WITH ORDINALITY w(oid, n)"
        " CROSS JOIN LATERAL (SELECT w.oid AS oid, true AS itself UNION ALL"
        "       SELECT p.relid, false FROM pg_catalog.pg_partition_tree(w.oid::regclass) p"
        "        WHERE p.isleaf AND p.level > 0) part"
        "  JOIN pg_catalog.pg_class c ON c.oid = part.oid AND (c.relkind = 'r' OR NOT part.itself)"
        "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " ORDER BY w.n, c.oid";
    PG_RESULT_AUTO res = NULL;
    uint32_t oids[TABLES_AT_ONCE];
    for (size_t i = 0; i < count; i++)
        oids[i] = tables[i].oid;
    if (!query_oids(conn, sql, oids, count, &res, err))
        return false;
    for (size_t i = 0; i < count; i++)
        release_parts(&tables[i]);
    for (int row = 0, rows; row < pg_rows(res); row += rows) {
        rows = rows_of_same(res, row, 6);
        load_parts(res, row, rows, &tables[pg_cell_int64(res, row, 6) - 1]);
    }
    return true;
}

bool source_tables_parts(struct pg_conn *conn, struct source_table *tables, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i += TABLES_AT_ONCE) {
        if (!load_some_parts(conn, tables + i, MIN_OF(count - i, TABLES_AT_ONCE), err))
            return false;
    }
    return true;
}

/* Old images are written by a part's own identity, whatever the root announces (CheckCmdReplicaIdentity in
 * PostgreSQL's execReplication.c looks at the table that holds the row). */
bool source_parts_unfit(struct pg_conn *conn, const struct source_table *t, char **ret_names, struct err *err)
{
    static const char sql[] =
        "SELECT string_agg(p.relid::regclass::text, ', ' ORDER BY p.relid) FROM"
        " pg_catalog.pg_partition_tree($1::oid::regclass) p JOIN pg_catalog.pg_class c ON c.oid = p.relid"
        " WHERE p.isleaf AND p.level > 0 AND c.relreplident <> 'f' AND NOT"
        "  ($3::bool AND c.relreplident <> 'n' AND (c.relreplident = 'i') = ($2 = 'i') AND EXISTS"
        "   (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate "
        "AND"
        "     CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END))";
    char oid_text[16], identity[2] = {t->replica_identity, '\0'};
    bool by_key =
        t->key_count > 0 && !(t->key_chosen && t->replica_identity == 'f'); /* theirs are not the rule's */
    const char *params[] = {oid_text, identity, by_key ? "true" : "false"};
    (void)snprintf(oid_text, sizeof oid_text, "%u", t->oid);
    return pg_query_text(conn, sql, 3, params, ret_names, err);
}

bool source_publication_faults(struct pg_conn *conn, const char *publication, char **ret_faults,
                               struct err *err)
{
    /* Row filters and column lists are of PostgreSQL 15, pubgencols is of 18: before, the catalog has no such columns. */
    static const char sql[] =
        "SELECT nullif(pg_catalog.concat_ws('; ',"
        " (SELECT 'it does not publish insert, update, delete and truncate' FROM pg_catalog.pg_publication p"
        "   WHERE p.pubname = $1 AND NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate)),"
        " (SELECT 'publish_via_partition_root is off' FROM pg_catalog.pg_publication p"
        "   WHERE p.pubname = $1 AND NOT pubviaroot),"
        " (SELECT 'publish_generated_columns is not stored' FROM pg_catalog.pg_publication p"
        "   WHERE p.pubname = $1 AND to_jsonb(p)->>'pubgencols' <> 's'),"
        " (SELECT 'rows or columns are left out of ' || string_agg(r.prrelid::regclass::text, ', ') || ', or "
        "not as "
        "they were'"
        "   FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
        "   LEFT JOIN pg_catalog.jsonb_to_recordset((SELECT CASE WHEN d LIKE 'crossfade [%' THEN"
        "     pg_catalog.substr(d, 11) ELSE '[]' END FROM (SELECT pg_catalog.obj_description(x.oid, "
        "'pg_publication') AS d"
        "       FROM pg_catalog.pg_publication x WHERE x.pubname = $1) y)::jsonb) AS e(oid bigint, qual "
        "text, attrs text)"
        "     ON e.oid = r.prrelid::bigint"
        "   WHERE p.pubname = $1 AND (pg_catalog.md5(to_jsonb(r)->>'prqual') IS DISTINCT FROM e.qual"
        "     OR to_jsonb(r)->>'prattrs' IS DISTINCT FROM e.attrs))), "
        "'')";
    return pg_query_text(conn, sql, 1, &publication, ret_faults, err);
}

bool source_slot_look(struct pg_conn *conn, const char *slot, struct source_slot *ret, struct err *err)
{
    static const char sql[] =
        "SELECT s.plugin = 'pgoutput' AND s.database = pg_catalog.current_database(), coalesce(s.active_pid, "
        "0),"
        "       s.confirmed_flush_lsn, s.restart_lsn, coalesce(s.wal_status = 'lost', false),"
        "       coalesce(pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()"
        "                THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,"
        "                s.restart_lsn), -1)::bigint"
        "  FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1";
    PG_RESULT_AUTO res = NULL;
    struct source_slot s = {.retained_bytes = -1};
    if (!pg_query(conn, sql, 1, &slot, &res, err))
        return false;
    if (pg_rows(res) > 0) {
        s.exists = true;
        s.logical_pgoutput = pg_cell_bool(res, 0, 0);
        s.active_pid = pg_cell_int64(res, 0, 1);
        s.lost = pg_cell_bool(res, 0, 4);
        s.retained_bytes = pg_cell_int64(res, 0, 5);
        if ((!pg_is_null(res, 0, 2) && !lsn_parse(pg_cell(res, 0, 2), &s.confirmed_lsn)) ||
            (!pg_is_null(res, 0, 3) && !lsn_parse(pg_cell(res, 0, 3), &s.restart_lsn)))
            return err_set(err, ERR_PROTOCOL, "slot %s: unexpected answer", slot);
    }
    *ret = s;
    return true;
}

bool source_slot_drop(struct pg_conn *conn, const char *slot, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn, "SELECT pg_catalog.pg_drop_replication_slot($1)", 1, &slot, &res, err))
        return err_wrap(err, "dropping slot %s", slot);
    return true;
}
