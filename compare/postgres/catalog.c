/* Owns: the catalog queries. PostgreSQL documentation: chapter "System Catalogs"; works with 14 to 18. */
#include "catalog.h"

#include "catalog_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "pg/conn.h"
#include "postgres.h"

#define WHERE_TABLE                                                                                          \
    " c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'"                          \
    " AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crossfade') "

static const char tables_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence = 'p',"
    "       (CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(greatest(l.reltuples, 0)), 0)"
    "               FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf)"
    "             ELSE greatest(c.reltuples, 0) END)::bigint"
    "  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE" WHERE_TABLE "ORDER BY c.oid";

/* %s: the actual version of the database's default collation. Two columns sort alike if provider, locale,
 * version and encoding are the same; C and POSIX compare bytes. C.* of libc has no version and sorts by code
 * point. */
static const char columns_sql[] =
    "WITH db AS (SELECT to_jsonb(d) AS j, pg_encoding_to_char(d.encoding) AS encoding, %s AS version"
    "              FROM pg_database d WHERE d.datname = current_database()),"
    "     co AS (SELECT o.oid, format('%%I.%%I', n.nspname, o.collname) AS named,"
    "                   o.collisdeterministic AS deterministic, db.encoding,"
    "                   CASE o.collprovider WHEN 'd' THEN coalesce(db.j->>'datlocprovider', 'c')"
    "                                       ELSE o.collprovider::text END AS provider,"
    "                   CASE WHEN o.collprovider = 'd' THEN"
    "                             CASE WHEN coalesce(db.j->>'datlocprovider', 'c') = 'c' THEN "
    "db.j->>'datcollate'"
    "                                  ELSE coalesce(db.j->>'datlocale', db.j->>'daticulocale') END"
    "                        ELSE coalesce(to_jsonb(o)->>'colllocale', to_jsonb(o)->>'colliculocale',"
    "                                      to_jsonb(o)->>'collcollate') END AS locale,"
    "                   CASE WHEN o.collprovider = 'd' THEN db.version"
    "                        ELSE pg_collation_actual_version(o.oid) END AS version"
    "              FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace, db"
    "             WHERE o.oid IN (SELECT attcollation FROM pg_attribute WHERE attnum > 0)),"
    "     sorts AS (SELECT oid, named, deterministic, encoding || ' ' || CASE WHEN NOT deterministic THEN "
    "NULL"
    "                             WHEN provider <> 'i' AND locale IN ('C', 'POSIX') THEN 'C'"
    "                             WHEN provider = 'b' THEN 'C'"
    "                             WHEN version IS NULL AND provider = 'c' AND locale ~ '^C[.]' THEN locale"
    "                             ELSE provider || ' ' || locale || ' ' || version END AS how FROM co)"
    "SELECT a.attrelid, a.attname, b.oid, format_type(b.oid, -1),"
    "       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, t.typtype = 'd', b.typtype = "
    "'b',"
    "       a.attgenerated <> '', a.attnotnull, CASE WHEN a.attcollation = 0 THEN '' ELSE sorts.how END,"
    "       coalesce(NOT sorts.deterministic, false) OR b.typname = 'citext', b.typname = 'citext', "
    "sorts.named"
    "  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = "
    "c.relnamespace"
    "  JOIN pg_type t ON t.oid = a.atttypid"
    "  JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END"
    "  LEFT JOIN sorts ON sorts.oid = a.attcollation"
    " WHERE a.attnum > 0 AND NOT a.attisdropped AND" WHERE_TABLE "ORDER BY a.attrelid, a.attnum";

static const char version_sql_15[] = "pg_database_collation_actual_version(d.oid)";
static const char version_sql_14[] = "(SELECT pg_collation_actual_version(x.oid) FROM pg_collation x"
                                     "  WHERE x.collprovider = 'c' AND x.collcollate = d.datcollate LIMIT 1)";

static const char keys_sql[] =
    "SELECT i.indrelid, i.indexrelid, a.attname"
    "  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    "  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, ord)"
    "  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
    " WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.ord <= "
    "i.indnkeyatts"
    "   AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS m(attnum, ord)"
    "                     JOIN pg_attribute x ON x.attrelid = i.indrelid AND x.attnum = m.attnum"
    "                    WHERE m.ord <= i.indnkeyatts AND NOT x.attnotnull)"
    "   AND" WHERE_TABLE
    "ORDER BY i.indrelid, i.indisprimary DESC, i.indisreplident DESC, i.indexrelid, k.ord";

static const char published_sql[] =
    "SELECT DISTINCT coalesce(pg_partition_root(c.oid)::oid, c.oid)"
    "  FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname"
    "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname = $1";

static struct cat_table *find_oid(const struct catalog *cat, uint32_t oid)
{
    size_t low = 0, high = cat->table_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (cat->tables[mid].oid < oid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < cat->table_count && cat->tables[low].oid == oid ? &cat->tables[low] : NULL;
}

static uint32_t cell_oid(const struct rowset *res, int row, int column)
{
    return (uint32_t)strtoul(rowset_cell(res, row, column), NULL, 10);
}

static bool read_tables(struct session *conn, struct catalog *cat, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(conn, tables_sql, 0, NULL, &res, err))
        return false;
    int n = rowset_rows(res);
    cat->tables = xcalloc((size_t)n, sizeof *cat->tables);
    cat->table_count = (size_t)n;
    for (int i = 0; i < n; i++) {
        struct cat_table *t = &cat->tables[i];
        t->oid = cell_oid(res, i, 0);
        t->schema = xstrdup(rowset_cell(res, i, 1));
        t->name = xstrdup(rowset_cell(res, i, 2));
        t->partitioned = rowset_bool(res, i, 3);
        t->logged = rowset_bool(res, i, 4);
        t->rows_estimate = rowset_int64(res, i, 5);
    }
    return true;
}

static void add_column(struct cat_table *t, const struct rowset *res, int i)
{
    *cat_table_add_column(t) = (struct cat_column){
        .name = xstrdup(rowset_cell(res, i, 1)),
        .type_oid = cell_oid(res, i, 2),
        .type = xstrdup(rowset_cell(res, i, 3)),
        .typmod = (int32_t)rowset_int64(res, i, 4),
        .domain = rowset_bool(res, i, 5),
        .plain = rowset_bool(res, i, 6),
        .generated = rowset_bool(res, i, 7),
        .not_null = rowset_bool(res, i, 8),
        .collation = rowset_is_null(res, i, 9) ? NULL : xstrdup(rowset_cell(res, i, 9)),
        .lax = rowset_bool(res, i, 10),
        .lax_type = rowset_bool(res, i, 11),
        .collation_named = rowset_is_null(res, i, 12) ? NULL : xstrdup(rowset_cell(res, i, 12)),
    };
}

static bool read_columns(struct session *conn, struct catalog *cat, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql, columns_sql, session_version(conn) >= 150000 ? version_sql_15 : version_sql_14);
    bool ok = strbuf_ok(&sql, "statement", err) && session_ask(conn, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    for (int i = 0; ok && i < rowset_rows(res); i++) {
        struct cat_table *t = find_oid(cat, cell_oid(res, i, 0));
        if (t != NULL)
            add_column(t, res, i);
    }
    return ok;
}

static bool read_keys(struct session *conn, struct catalog *cat, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(conn, keys_sql, 0, NULL, &res, err))
        return false;
    uint32_t last_index = 0;
    for (int i = 0; i < rowset_rows(res); i++) {
        struct cat_table *t = find_oid(cat, cell_oid(res, i, 0));
        if (t == NULL)
            continue;
        cat_table_add_key_column(t, cell_oid(res, i, 1) != last_index, rowset_cell(res, i, 2));
        last_index = cell_oid(res, i, 1);
    }
    return true;
}

bool catalog_mark_published(struct session *conn, const char *publication, struct catalog *cat,
                            bool *ret_exists, struct err *err)
{
    ROWSET_AUTO res = NULL;
    int64_t count = 0;
    if (!session_int64(conn, "SELECT count(*) FROM pg_publication WHERE pubname = $1", 1, &publication,
                       &count, err) ||
        !session_ask(conn, published_sql, 1, &publication, &res, err))
        return err_wrap(err, "reading publication %s", publication);
    for (int i = 0; i < rowset_rows(res); i++) {
        struct cat_table *t = find_oid(cat, cell_oid(res, i, 0));
        if (t != NULL)
            t->published = true;
    }
    *ret_exists = count > 0;
    return true;
}

static bool postgres_read(struct session *s, struct catalog *cat, struct err *err)
{
    char *encoding CLEANUP(free_ptr) = NULL;
    if (!session_text(s, "SHOW server_encoding", 0, NULL, &encoding, err))
        return false;
    cat->utf8 = strcmp(encoding, "UTF8") == 0;
    return read_tables(s, cat, err) && read_columns(s, cat, err) && read_keys(s, cat, err);
}

static char *postgres_named(const struct cat_table *t)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sb, t->partitioned ? "" : "ONLY "); /* inheritance children are tables of their own */
    pg_quote_table(&sb, t->schema, t->name);
    return strbuf_detach(&sb);
}

/*
 * A snapshot does not protect against TRUNCATE, or ALTER TABLE that rewrites: the rows are gone for older
 * snapshots too. The catalog rows that the snapshot sees are compared with what is there now; our locks (held
 * since the first read) keep it so.
 */
static const char rewritten_sql[] =
    "WITH RECURSIVE tree(oid) AS (SELECT $1::oid UNION ALL SELECT i.inhrelid FROM pg_inherits i"
    "                              JOIN tree ON i.inhparent = tree.oid WHERE $2::bool)"
    "SELECT coalesce(bool_or(c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM "
    "pg_relation_filenode(c.oid)), true)"
    "       OR ($2::bool AND count(*) <> (SELECT count(*) FROM pg_partition_tree($1::oid::regclass)))"
    "  FROM tree JOIN pg_class c ON c.oid = tree.oid";

const struct catalog_ops catalog_postgres = {
    .read = postgres_read,
    .named = postgres_named,
    .read_partitions = postgres_read_partitions,
    .rewritten_sql = rewritten_sql,
};
