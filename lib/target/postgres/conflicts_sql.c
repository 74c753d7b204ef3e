/* Owns: the SQL texts by which conflicts are found (postgres.h says which temporary tables there are). Each is one statement for all
 * rows of a table and batch. Staged columns: o0, o1, … (key), c0, c1, … (column n of the table). */
#include "postgres.h"

/* jsonb takes less than 256 MB; larger rows are not shown. */
#define SHOWN_BYTES_MAX "67108864"
#define NEVER           "'00000000-0000-0000-0000-000000000000'::pg_catalog.uuid"
/* Rows that are new here and complete: they are made at once. */
#define IS_FRESH "d.p AND d.w AND NOT d.n AND d.decision IN ('write', 'source')"

static void add_name(struct strbuf *sb, const char *letter, const struct pg_table *tab)
{
    strbuf_addf(sb, "pg_temp.crossfade_x%s%u", letter, tab->id);
}

static void add_column(struct strbuf *sb, const struct pg_column *col)
{
    pg_quote_ident(sb, col->field->name);
}

static void add_staged_key(struct strbuf *sb, const struct pg_table *tab, size_t i)
{
    strbuf_addf(sb, "s.o%zu", i);
    sql_cast(sb, &tab->columns[tab->key[i]].writer);
}

/* ROW(v.c2, v.c0, …)::text, columns by name. */
static void add_row_text(struct strbuf *sb, const struct pg_table *tab, const char *alias)
{
    strbuf_adds(sb, "ROW(");
    for (size_t i = 0; i < tab->column_count; i++)
        strbuf_addf(sb, "%s%s.c%zu", i > 0 ? ", " : "", alias, tab->watch->columns[i]);
    strbuf_adds(sb, ")::pg_catalog.text");
}

static void add_hash(struct strbuf *sb, const struct strbuf *text)
{
    strbuf_adds(sb, "pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(pg_catalog.convert_to(");
    strbuf_add(sb, text->data, text->len);
    strbuf_adds(sb, ", pg_catalog.getdatabaseencoding())), 1, 16), 'hex')::pg_catalog.uuid");
}

static void add_row_hash(struct strbuf *sb, const struct pg_table *tab, const char *alias)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    add_row_text(&text, tab, alias);
    add_hash(sb, &text);
    strbuf_release(&text);
}

static void add_key_hash(struct strbuf *sb, const struct pg_table *tab)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&text, "ROW(");
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(&text, i > 0 ? ", " : "");
        add_staged_key(&text, tab, tab->watch->key[i]);
    }
    strbuf_adds(&text, ")::pg_catalog.text");
    add_hash(sb, &text);
    strbuf_release(&text);
}

static void add_key_match(struct strbuf *sb, const struct pg_table *tab)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? " AND t." : "t.");
        add_column(sb, &tab->columns[tab->key[i]]);
        strbuf_adds(sb, " = ");
        add_staged_key(sb, tab, i);
    }
}

/* keys and columns as lists of t's columns: $1 = crossfade.dual_write.id */
void sql_watch_hashes(struct strbuf *sb, const char *keys, const char *columns)
{
    const char *const lists[] = {keys, columns};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
        strbuf_addf(&text, "ROW(%s)::pg_catalog.text", lists[i]);
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_hash(sb, &text);
        strbuf_release(&text);
    }
}

static void add_temp(struct strbuf *sb, const struct pg_table *tab, const char *letter, const char *lead)
{
    strbuf_addf(sb,
                "; CREATE TEMPORARY TABLE IF NOT EXISTS crossfade_x%s%u ON COMMIT DELETE ROWS AS SELECT %s",
                letter, tab->id, lead);
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, ", t.");
        add_column(sb, &tab->columns[i]);
        strbuf_addf(sb, " AS c%zu", i);
    }
    strbuf_addf(sb, " FROM %s t WITH NO DATA", tab->name);
}

static void add_index(struct strbuf *sb, const struct pg_table *tab, const char *letter)
{
    strbuf_addf(sb, "; CREATE INDEX IF NOT EXISTS crossfade_x%s%u_g ON ", letter, tab->id);
    add_name(sb, letter, tab);
    strbuf_adds(sb, " (g)");
}

void sql_watch_create(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_addf(sb,
                "CREATE TEMPORARY TABLE IF NOT EXISTS crossfade_xs%u (g integer, l boolean, p boolean, b "
                "boolean, f integer, m text, a pg_lsn",
                tab->id);
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_addf(sb, ", o%zu ", i);
        pg_writer_staging_type(&tab->columns[tab->key[i]].writer, sb);
    }
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_addf(sb, ", c%zu ", i);
        pg_writer_staging_type(&tab->columns[i].writer, sb);
    }
    strbuf_adds(sb, ") ON COMMIT DELETE ROWS");
    add_temp(sb, tab, "n", "0::integer AS g");
    add_temp(sb, tab, "v", "0::integer AS g, false AS l");
    strbuf_addf(sb,
                "; CREATE TEMPORARY TABLE IF NOT EXISTS crossfade_xd%u (g integer, k uuid, h uuid, t uuid, p "
                "boolean, w boolean, n boolean, o boolean, kind text, decision text) ON COMMIT DELETE ROWS"
                "; CREATE TEMPORARY TABLE IF NOT EXISTS crossfade_xi%u ON COMMIT DELETE ROWS AS SELECT ",
                tab->id, tab->id);
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? ", t." : "t.");
        add_column(sb, &tab->columns[tab->key[i]]);
        strbuf_addf(sb, " AS k%zu", i);
    }
    strbuf_addf(sb, " FROM %s t WITH NO DATA", tab->name);
    add_index(sb, tab, "s");
    add_index(sb, tab, "n");
    add_index(sb, tab, "v");
    add_index(sb, tab, "d");
}

void sql_watch_clear(struct strbuf *sb, const struct pg_table *tab)
{
    static const char *const letters[] = {"s", "n", "v", "d", "i"};
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        strbuf_adds(sb, i > 0 ? ", " : "TRUNCATE ");
        add_name(sb, letters[i], tab);
    }
}

void sql_watch_copy(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "COPY ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " FROM STDIN (FORMAT binary)");
}

/* The target's rows of all keys, locked in order of the key. */
void sql_watch_lock(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "INSERT INTO ");
    add_name(sb, "n", tab);
    strbuf_adds(sb, " SELECT s.g");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, ", t.");
        add_column(sb, &tab->columns[i]);
    }
    strbuf_adds(sb, " FROM (SELECT * FROM ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " s WHERE s.l ORDER BY ");
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_staged_key(sb, tab, i);
    }
    strbuf_addf(sb, " OFFSET 0) s JOIN %s t ON ", tab->rows_of);
    add_key_match(sb, tab);
    strbuf_adds(sb, " FOR UPDATE OF t");
}

/* States with all their values; one that lacks some has them from the target's row (of the key that the row had, or, if the
 * application has moved it already, of its own), and is left out where there is none. */
void sql_watch_values(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "INSERT INTO ");
    add_name(sb, "v", tab);
    strbuf_adds(sb, " SELECT s.g, s.l");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_addf(sb, ", CASE WHEN coalesce(pg_catalog.substr(s.m, %zu, 1), '+') <> '-' THEN s.c%zu", i + 1,
                    i);
        sql_cast(sb, &tab->columns[i].writer);
        strbuf_addf(sb, " WHEN b.g IS NOT NULL THEN b.c%zu ELSE o.c%zu END", i, i);
    }
    strbuf_adds(sb, " FROM ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " s LEFT JOIN ");
    add_name(sb, "n", tab);
    strbuf_adds(sb, " b ON b.g = s.f LEFT JOIN ");
    add_name(sb, "n", tab);
    strbuf_adds(sb, " o ON o.g = s.g WHERE s.p AND (s.m IS NULL OR b.g IS NOT NULL OR o.g IS NOT NULL)");
}

/* A person's answer is to the row that this person saw: for another one of the target it does not hold.
 * $1 = crossfade.dual_write.id, $2 pipeline, $3 schema, $4 table. LATERAL … OFFSET 0: by the index, one by one: without statistics
 * the planner would read the whole table for each row. */
void sql_watch_decide(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "INSERT INTO ");
    add_name(sb, "d", tab);
    strbuf_adds(
        sb, " SELECT q.g, q.k, q.h, q.t, q.p, q.w, q.n, q.o, q.kind, CASE WHEN q.ok THEN CASE WHEN q.same "
            "THEN 'skip' ELSE 'write' END WHEN q.request IS NOT NULL AND q.seen = q.t AND (q.w OR q.n OR "
            "q.request = 'target') THEN q.request WHEN NOT q.w THEN 'halt' ELSE ");
    conflict_add_decision(sb, tab->watch->policy);
    strbuf_adds(sb,
                " END FROM (SELECT e.g, e.k, e.p, e.w, n.g IS NOT NULL AS n, c.id IS NOT NULL AS o, "
                "c.request, c.target_hash AS seen, CASE WHEN NOT e.p THEN NULL WHEN f.g IS NULL THEN " NEVER
                " ELSE ");
    add_row_hash(sb, tab, "f");
    strbuf_adds(sb, " END AS h, CASE WHEN n.g IS NULL THEN " NEVER " ELSE ");
    add_row_hash(sb, tab, "n");
    strbuf_adds(sb, " END AS t, CASE WHEN n.g IS NULL THEN NOT e.p ELSE f.g IS NOT NULL AND ");
    add_row_text(sb, tab, "f");
    strbuf_adds(sb, " = ");
    add_row_text(sb, tab, "n");
    strbuf_adds(sb, " END AS same, CASE WHEN n.g IS NULL THEN a.key IS NULL OR e.b ELSE "
                    "coalesce(a.state = ");
    add_row_hash(sb, tab, "n");
    strbuf_adds(sb, ", false) OR EXISTS (SELECT 1 FROM ");
    add_name(sb, "v", tab);
    strbuf_adds(sb, " v WHERE v.g = e.g AND ");
    add_row_text(sb, tab, "v");
    strbuf_adds(sb, " = ");
    add_row_text(sb, tab, "n");
    strbuf_adds(sb, ") END AS ok, CASE WHEN NOT e.p THEN 'source_deleted' WHEN n.g IS NULL THEN "
                    "'target_deleted' WHEN a.key IS NULL THEN 'insert' ELSE 'update' END AS kind");
    if (tab->watch->policy == CONFLICT_NEWER_WINS)
        strbuf_addf(sb, ", f.c%zu AS sv, n.c%zu AS tv", tab->watch->newer, tab->watch->newer);
    strbuf_adds(sb, " FROM (SELECT s.g, s.p, s.b, s.m IS NULL AS w, ");
    add_key_hash(sb, tab);
    strbuf_adds(sb, " AS k FROM ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " s WHERE s.l OFFSET 0) e LEFT JOIN ");
    add_name(sb, "n", tab);
    strbuf_adds(sb, " n ON n.g = e.g LEFT JOIN ");
    add_name(sb, "v", tab);
    strbuf_adds(sb,
                " f ON f.g = e.g AND f.l LEFT JOIN LATERAL (SELECT x.key, x.state FROM crossfade.applied x "
                "WHERE x.dual_write = $1::integer AND x.key = e.k OFFSET 0) a ON true LEFT JOIN LATERAL "
                "(SELECT x.id, x.request, x.target_hash FROM crossfade.conflict x WHERE x.pipeline = $2 AND "
                "x.schema_name = $3 AND x.table_name = $4 AND x.key_hash = e.k AND x.state = 'open' "
                "OFFSET 0) c ON true) q");
}

static void add_json(struct strbuf *sb, const struct pg_table *tab, const char *alias)
{
    strbuf_addf(sb, "CASE WHEN %s.g IS NOT NULL AND pg_catalog.octet_length(", alias);
    add_row_text(sb, tab, alias);
    strbuf_adds(sb, ") < " SHOWN_BYTES_MAX " THEN (SELECT pg_catalog.to_jsonb(r) FROM (SELECT ");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_addf(sb, "%s%s.c%zu AS ", i > 0 ? ", " : "", alias, i);
        add_column(sb, &tab->columns[i]);
    }
    strbuf_adds(sb, ") r) END");
}

static void add_key_json(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "(SELECT pg_catalog.to_jsonb(r) FROM (SELECT ");
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_staged_key(sb, tab, i);
        strbuf_adds(sb, " AS ");
        add_column(sb, &tab->columns[tab->key[i]]);
    }
    strbuf_adds(sb, ") r)");
}

/* key, key_hash, kind, source_row, target_row, commit_lsn, target_hash of decisions */
static void add_found(struct strbuf *sb, const struct pg_table *tab)
{
    add_key_json(sb, tab);
    strbuf_adds(sb, ", d.k, d.kind, ");
    add_json(sb, tab, "f");
    strbuf_adds(sb, ", ");
    add_json(sb, tab, "n");
    strbuf_adds(sb, ", s.a, d.t FROM ");
    add_name(sb, "d", tab);
    strbuf_adds(sb, " d JOIN ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " s ON s.g = d.g AND s.l LEFT JOIN ");
    add_name(sb, "v", tab);
    strbuf_adds(sb, " f ON f.g = d.g AND f.l LEFT JOIN ");
    add_name(sb, "n", tab);
    strbuf_adds(sb, " n ON n.g = d.g WHERE ");
}

/* $1 pipeline, $2 schema, $3 table, $4 policy */
void sql_watch_log(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(
        sb,
        "INSERT INTO crossfade.conflict (pipeline, schema_name, table_name, policy, state, "
        "decision, settled_at, key, key_hash, kind, source_row, target_row, commit_lsn, target_hash) SELECT "
        "$1, $2, $3, $4, 'decided', d.decision, pg_catalog.clock_timestamp(), ");
    add_found(sb, tab);
    strbuf_adds(sb, "d.decision IN ('source', 'target') AND NOT d.o ORDER BY d.g");
}

void sql_watch_halted(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "SELECT ");
    add_found(sb, tab);
    strbuf_adds(sb, "d.decision = 'halt' ORDER BY d.g LIMIT 10");
}

/* Open conflicts of keys that have been decided now. $1 pipeline, $2 schema, $3 table */
void sql_watch_settle(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "UPDATE crossfade.conflict c SET state = 'resolved', settled_at = "
                    "pg_catalog.clock_timestamp(), decision = CASE WHEN d.decision IN ('source', 'target') "
                    "THEN d.decision ELSE 'none' END FROM ");
    add_name(sb, "d", tab);
    strbuf_adds(sb, " d WHERE d.o AND c.pipeline = $1 AND c.schema_name = $2 AND c.table_name = $3 AND "
                    "c.key_hash = d.k AND c.state = 'open'");
}

/* Decided ones whose target row is a state that the source has come to by now: the target was ahead. $1 pipeline, $2 schema, $3 table */
void sql_watch_withdraw(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(
        sb, "UPDATE crossfade.conflict SET state = 'resolved', settled_at = pg_catalog.clock_timestamp(), "
            "decision = 'none' WHERE id = ANY (ARRAY(SELECT c.id FROM (SELECT v.g, ");
    add_row_hash(sb, tab, "v");
    strbuf_adds(sb, " AS h FROM ");
    add_name(sb, "v", tab);
    strbuf_adds(sb, " v UNION SELECT s.g, " NEVER " FROM ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " s WHERE NOT s.p) y JOIN ");
    add_name(sb, "d", tab);
    strbuf_adds(sb,
                " d ON d.g = y.g, LATERAL (SELECT x.id FROM crossfade.conflict x WHERE x.pipeline = $1 AND "
                "x.schema_name = $2 AND x.table_name = $3 AND x.key_hash = d.k AND x.state = 'decided' AND "
                "x.target_hash = y.h OFFSET 0) c))");
}

/* What apply knows of the source's rows moves on. $1 = crossfade.dual_write.id */
void sql_watch_move(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "WITH gone AS (DELETE FROM crossfade.applied WHERE ctid = ANY (ARRAY(SELECT a.at FROM ");
    add_name(sb, "d", tab);
    strbuf_adds(sb, " d, LATERAL (SELECT x.ctid AS at FROM crossfade.applied x WHERE x.dual_write = "
                    "$1::integer AND x.key = d.k OFFSET 0) a WHERE NOT d.p))) INSERT INTO crossfade.applied "
                    "AS a (dual_write, key, state) SELECT $1::integer, d.k, CASE WHEN "
                    "d.decision = 'target' AND NOT d.w THEN " NEVER " ELSE d.h END FROM ");
    add_name(sb, "d", tab);
    strbuf_adds(sb, " d WHERE d.p ORDER BY d.k ON CONFLICT (dual_write, key) DO UPDATE SET state = "
                    "EXCLUDED.state WHERE a.state <> EXCLUDED.state");
}

/* New rows are made here, in a way that never lands on a row that has appeared meanwhile. */
void sql_watch_make(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "WITH made AS (");
    sql_insert_head(sb, tab);
    strbuf_adds(sb, "SELECT ");
    for (size_t i = 0; i < tab->column_count; i++)
        strbuf_addf(sb, "%sf.c%zu", i > 0 ? ", " : "", i);
    strbuf_adds(sb, " FROM ");
    add_name(sb, "d", tab);
    strbuf_adds(sb, " d JOIN ");
    add_name(sb, "v", tab);
    strbuf_adds(sb,
                " f ON f.g = d.g AND f.l WHERE " IS_FRESH " ORDER BY d.g ON CONFLICT DO NOTHING RETURNING ");
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_column(sb, &tab->columns[tab->key[i]]);
    }
    strbuf_adds(sb, ") INSERT INTO ");
    add_name(sb, "i", tab);
    strbuf_adds(sb, " SELECT * FROM made");
}

/* Of rows that were to be made: number, made, there. */
void sql_watch_made(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, "SELECT d.g, EXISTS (SELECT 1 FROM ");
    add_name(sb, "i", tab);
    strbuf_adds(sb, " i WHERE ");
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_addf(sb, "%si.k%zu = ", i > 0 ? " AND " : "", i);
        add_staged_key(sb, tab, i);
    }
    strbuf_addf(sb, "), EXISTS (SELECT 1 FROM %s t WHERE ", tab->rows_of);
    add_key_match(sb, tab);
    strbuf_adds(sb, ") FROM ");
    add_name(sb, "d", tab);
    strbuf_adds(sb, " d JOIN ");
    add_name(sb, "s", tab);
    strbuf_adds(sb, " s ON s.g = d.g AND s.l WHERE " IS_FRESH);
}
