/* Owns: the SQL texts by which conflicts are found (watch.h says which temporary tables there are). Each is one statement for all rows
 * of a table and batch. join_cache_level 0: rows are found by the index, one by one: a scan would lock the whole table. */
#include <inttypes.h>
#include <stdio.h>

#include "core/alloc.h"
#include "watch.h"

#define NEVER    "REPEAT(CHAR(0), 16)" /* the hash of no row */
#define TEXT(sb) strbuf_adds(sb, " USING utf8mb4) COLLATE utf8mb4_bin")
#define BY_INDEX "SET STATEMENT join_cache_level = 0 FOR "
/* Rows that are new here and complete: they are made at once. */
#define IS_FRESH "d.p AND d.w AND NOT d.n AND d.decision IN ('write', 'source')"

void md_watch_name(struct strbuf *sb, const struct md_table *tab, char letter)
{
    maria_quote_ident(sb, tab->database);
    strbuf_addf(sb, ".crossfade_x%c%u", letter, tab->id);
}

void md_watch_where(struct strbuf *sb, const char *pipeline, const char *schema_name, const char *table_name)
{
    strbuf_adds(sb, " WHERE pipeline = ");
    maria_quote_literal(sb, pipeline);
    strbuf_adds(sb, " AND schema_name = ");
    maria_quote_literal(sb, schema_name);
    strbuf_adds(sb, " AND table_name = ");
    maria_quote_literal(sb, table_name);
}

static void add_where_table(struct strbuf *sb, const struct md_table *tab, const char *pipeline)
{
    md_watch_where(sb, pipeline, tab->base.schema->schema, tab->base.schema->table);
}

static void add_value(struct strbuf *sb, const struct md_watched *col, const char *alias, bool staged)
{
    if (staged)
        strbuf_addf(sb, "%s.c%zu", alias, col->index);
    else {
        strbuf_addf(sb, "%s.", alias);
        maria_quote_ident(sb, col->name);
    }
}

/* A text that tells two values of the column apart and holds no ';' but in a known length. */
static void add_form(struct strbuf *sb, const struct md_watched *col, const char *value, bool exact)
{
    switch (col->type) {
    case MD_FLOAT:
        strbuf_addf(sb, "CAST(CAST(%s AS DOUBLE) AS CHAR)", value);
        break;
    case MD_BIT:
        strbuf_addf(sb, "CAST(CAST(%s AS UNSIGNED) AS CHAR)", value);
        break;
    case MD_TEXT:
    case MD_BLOB:
        if (col->json && !exact)
            strbuf_addf(sb, "SHA2(COALESCE(JSON_NORMALIZE(%s), %s), 256)", value, value);
        else
            strbuf_addf(sb, "SHA2(%s, 256)", value);
        break;
    case MD_CHAR:
    case MD_VARCHAR:
    case MD_ENUM:
    case MD_BINARY:
    case MD_VARBINARY:
    case MD_TYPE_UNKNOWN:
        strbuf_addf(sb, "CONCAT(OCTET_LENGTH(%s), ':', CAST(%s AS BINARY))", value, value);
        break;
    default:
        strbuf_addf(sb, "CAST(%s AS CHAR)", value);
    }
}

void md_watch_hash(struct strbuf *sb, const struct md_watched *columns, size_t count, const char *alias,
                   bool staged, bool exact)
{
    strbuf_adds(sb, "UNHEX(LEFT(SHA2(CONCAT(");
    for (size_t i = 0; i < count; i++) {
        struct strbuf value = STRBUF_INIT(4096);
        add_value(&value, &columns[i], alias, staged);
        strbuf_adds(sb, i > 0 ? ", COALESCE(" : "COALESCE(");
        add_form(sb, &columns[i], value.data, exact);
        strbuf_adds(sb, ", '-'), ';'");
        strbuf_release(&value);
    }
    strbuf_adds(sb, "), 256), 32))");
}

static void add_row_hash(struct strbuf *sb, const struct md_table *tab, const char *alias, bool staged,
                         bool exact)
{
    md_watch_hash(sb, tab->watch->columns, tab->watch->column_count, alias, staged, exact);
}

/* t.`a` = s.c0 AND … */
static void add_key_match(struct strbuf *sb, const struct md_table *tab)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? " AND t." : "t.");
        maria_quote_ident(sb, tab->columns[tab->key[i]].field->name);
        strbuf_addf(sb, " = s.c%zu", tab->key[i]);
    }
}

/* In front of the columns of s. */
#define STATES                                                                                               \
    "0 AS g, 0 AS l, 0 AS p, 0 AS b, 0 AS f, NULLIF(CAST('' AS CHAR(4096)), '') AS m, CAST('' AS CHAR(20)) " \
    "AS a"

/* Columns as the table has them, but that all may be null (an outer join) and none fills or changes itself (times). */
void md_watch_create(struct strbuf *sb, const struct md_table *tab, char letter)
{
    static const char hash[] = "CAST('' AS BINARY(16))";
    strbuf_adds(sb, "CREATE OR REPLACE TEMPORARY TABLE ");
    md_watch_name(sb, tab, letter);
    strbuf_adds(sb,
                letter == 'd' ? " (PRIMARY KEY (g)) ENGINE=Aria SELECT " : " (KEY (g)) ENGINE=Aria SELECT ");
    if (letter == 'd') {
        strbuf_addf(sb,
                    "0 AS g, NULLIF(%s, '') AS k, NULLIF(%s, '') AS h, NULLIF(%s, '') AS t, 0 AS p, 0 AS w, "
                    "0 AS n, 0 AS o, "
                    "CAST('' AS CHAR(20)) AS kind, CAST('' AS CHAR(10)) AS decision LIMIT 0",
                    hash, hash, hash);
        return;
    }
    strbuf_adds(sb, letter == 's' ? STATES : "0 AS g");
    for (size_t i = 0; i < tab->column_count; i++) {
        const struct md_column *col = &tab->columns[i];
        bool is_time = col->type == MD_DATETIME || col->type == MD_TIMESTAMP;
        strbuf_adds(sb, is_time ? ", CAST(o." : ", o.");
        maria_quote_ident(sb, col->field->name);
        if (is_time)
            strbuf_addf(sb, " AS DATETIME(%d))", col->digits);
        strbuf_addf(sb, " AS c%zu", i);
    }
    strbuf_addf(sb, "%s, NULLIF(%s, '') AS k, NULLIF(%s, '') AS h, NULLIF(%s, '') AS x",
                letter == 's' ? ", 0 AS w" : "", hash, hash, hash);
    strbuf_addf(sb, " FROM (SELECT 1 AS one) one LEFT JOIN %s o ON FALSE LIMIT 0", tab->name);
}

static void add_columns(struct strbuf *sb, const struct md_table *tab)
{
    for (size_t i = 0; i < tab->column_count; i++)
        strbuf_addf(sb, ", c%zu", i);
}

void md_watch_stage(struct strbuf *sb, struct md_table *tab, struct md_stmt *st)
{
    st->ref_count = MD_WATCH_FIXED + tab->column_count;
    st->refs = xcalloc(st->ref_count, sizeof *st->refs);
    strbuf_adds(sb, "INSERT INTO ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb, " (g, l, p, b, f, m, a");
    add_columns(sb, tab);
    strbuf_adds(sb, ", w, k, h, x) VALUES (");
    for (size_t i = 0; i < st->ref_count; i++) {
        st->refs[i].col = i < MD_WATCH_FIXED ? &tab->watch->fixed[i] : &tab->columns[i - MD_WATCH_FIXED];
        strbuf_adds(sb, i > 0 ? ", ?" : "?");
    }
    strbuf_adds(sb, ", 0, NULL, NULL, NULL)");
}

/* The target's rows of all keys, locked in order of the key. */
void md_watch_lock(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, BY_INDEX "INSERT INTO ");
    md_watch_name(sb, tab, 'n');
    strbuf_adds(sb, " (g");
    add_columns(sb, tab);
    strbuf_adds(sb, ", k, h, x) SELECT s.g");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, ", t.");
        maria_quote_ident(sb, tab->columns[i].field->name);
    }
    strbuf_adds(sb, ", NULL, ");
    add_row_hash(sb, tab, "t", false, false);
    strbuf_adds(sb, ", ");
    add_row_hash(sb, tab, "t", false, true);
    strbuf_adds(sb, " FROM ");
    md_watch_name(sb, tab, 's');
    strbuf_addf(sb, " s STRAIGHT_JOIN %s t ON ", tab->name);
    add_key_match(sb, tab);
    strbuf_adds(sb, " WHERE s.l ORDER BY ");
    for (size_t i = 0; i < tab->key_count; i++)
        strbuf_addf(sb, "%ss.c%zu", i > 0 ? ", " : "", tab->key[i]);
    strbuf_adds(sb, " FOR UPDATE");
}

/* Values that records lack, from the target's row (of the key that the row had, or, if the application has moved it already, of its
 * own); a state that has none there stays without them. */
void md_watch_fill(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, BY_INDEX "UPDATE ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb, " s LEFT JOIN ");
    md_watch_name(sb, tab, 'n');
    strbuf_adds(sb, " b ON b.g = s.f LEFT JOIN ");
    md_watch_name(sb, tab, 'n');
    strbuf_adds(sb, " o ON o.g = s.g SET s.w = 1");
    for (size_t i = 0; i < tab->column_count; i++)
        strbuf_addf(
            sb, ", s.c%zu = IF(SUBSTRING(s.m, %zu, 1) = '-', IF(b.g IS NOT NULL, b.c%zu, o.c%zu), s.c%zu)", i,
            i + 1, i, i, i);
    strbuf_adds(sb, " WHERE s.p AND s.m IS NOT NULL AND (b.g IS NOT NULL OR o.g IS NOT NULL)");
}

void md_watch_digest(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, "UPDATE ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb, " s SET s.w = s.p AND (s.m IS NULL OR s.w), s.k = ");
    md_watch_hash(sb, tab->watch->key, tab->watch->key_count, "s", true, false);
    strbuf_adds(sb, ", s.h = IF(s.w, ");
    add_row_hash(sb, tab, "s", true, false);
    strbuf_adds(sb, ", NULL), s.x = IF(s.w, ");
    add_row_hash(sb, tab, "s", true, true);
    strbuf_adds(sb, ", NULL)");
}

/* A person's answer is to the row that this person saw: for another one of the target it does not hold. */
void md_watch_decide(struct strbuf *sb, const struct md_table *tab, const char *pipeline)
{
    strbuf_adds(sb, BY_INDEX "INSERT INTO ");
    md_watch_name(sb, tab, 'd');
    strbuf_adds(sb,
                " (g, k, h, t, p, w, n, o, kind, decision) SELECT q.g, q.k, q.h, q.t, q.p, q.w, q.n, q.o, "
                "q.kind, CASE WHEN q.ok THEN IF(q.same, 'skip', 'write') WHEN q.request IS NOT NULL AND "
                "q.seen = q.t AND (q.w OR q.n OR q.request = 'target') THEN q.request WHEN NOT q.w THEN "
                "'halt' ELSE ");
    conflict_add_decision(sb, tab->watch->policy);
    strbuf_adds(
        sb, " END FROM (SELECT e.g, e.k, IF(e.p, COALESCE(e.h, " NEVER "), NULL) AS h, COALESCE(n.h, " NEVER
            ") AS t, e.p, e.m IS NULL AS w, n.g IS NOT NULL AS n, c.id IS NOT NULL AS o, c.request, "
            "c.target_hash AS seen, "
            "IF(n.g IS NULL, NOT e.p, COALESCE(e.x = n.x, FALSE)) AS same, IF(n.g IS NULL, a.state IS "
            "NULL OR e.b, COALESCE(a.state = n.h, FALSE) OR EXISTS (SELECT 1 FROM ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb,
                " v WHERE v.g = e.g AND v.w AND v.h = n.h)) AS ok, CASE WHEN NOT e.p THEN 'source_deleted' "
                "WHEN n.g IS NULL THEN 'target_deleted' WHEN a.state IS NULL THEN 'insert' ELSE 'update' "
                "END AS kind");
    if (tab->watch->policy == CONFLICT_NEWER_WINS)
        strbuf_addf(sb, ", IF(e.w, e.c%zu, NULL) AS sv, n.c%zu AS tv", tab->watch->newer, tab->watch->newer);
    strbuf_adds(sb, " FROM ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb, " e LEFT JOIN ");
    md_watch_name(sb, tab, 'n');
    strbuf_addf(
        sb,
        " n ON n.g = e.g LEFT JOIN crossfade_applied a ON a.dual_write = %" PRId64
        " AND a.`key` = e.k LEFT JOIN (SELECT id, request, target_hash, open_hash FROM crossfade_conflict",
        tab->watch->id);
    add_where_table(sb, tab, pipeline);
    strbuf_adds(sb, " AND open_hash IS NOT NULL) c ON c.open_hash = e.k WHERE e.l) q");
}

void md_watch_decided(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, "SELECT d.g, d.decision, d.o, d.p AND d.w AND NOT d.n FROM ");
    md_watch_name(sb, tab, 'd');
    strbuf_adds(sb, " d WHERE d.o OR d.decision <> 'write' OR (d.p AND d.w AND NOT d.n)");
}

/* A value in JSON_OBJECT: numbers as such, all else as text. */
static void add_shown(struct strbuf *sb, const struct md_column *col, const char *value)
{
    switch (col->type) {
    case MD_TINYINT:
    case MD_SMALLINT:
    case MD_MEDIUMINT:
    case MD_INT:
    case MD_BIGINT:
    case MD_DECIMAL:
    case MD_DOUBLE:
        strbuf_adds(sb, value);
        break;
    case MD_FLOAT:
        strbuf_addf(sb, "CAST(%s AS DOUBLE)", value);
        break;
    case MD_BIT:
        strbuf_addf(sb, "CAST(%s AS UNSIGNED)", value);
        break;
    case MD_BINARY:
    case MD_VARBINARY:
    case MD_BLOB:
        strbuf_addf(sb, "CONVERT(CONCAT('0x', HEX(%s))", value), TEXT(sb);
        break;
    default:
        strbuf_addf(sb, col->json ? "JSON_COMPACT(CONVERT(%s" : "CONVERT(%s", value), TEXT(sb);
        strbuf_adds(sb, col->json ? ")" : "");
    }
}

/* The row of s or n as JSON, null where it is not there, or larger than may be shown. */
static void add_json(struct strbuf *sb, const struct md_table *tab, const char *alias, const char *there,
                     size_t most)
{
    strbuf_addf(sb, "IF(%s AND 0", there);
    for (size_t i = 0; i < tab->column_count; i++) {
        if (tab->columns[i].type == MD_TEXT || tab->columns[i].type == MD_BLOB)
            strbuf_addf(sb, " + COALESCE(OCTET_LENGTH(%s.c%zu), 0)", alias, i);
    }
    strbuf_addf(sb, " < %zu, JSON_OBJECT(", most);
    for (size_t i = 0; i < tab->column_count; i++) {
        char value[64];
        (void)snprintf(value, sizeof value, "%s.c%zu", alias, i);
        strbuf_adds(sb, i > 0 ? ", " : "");
        maria_quote_literal(sb, tab->columns[i].field->name);
        strbuf_adds(sb, ", ");
        add_shown(sb, &tab->columns[i], value);
    }
    strbuf_adds(sb, "), NULL)");
}

static void add_key_json(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, "JSON_OBJECT(");
    for (size_t i = 0; i < tab->key_count; i++) {
        char value[64];
        (void)snprintf(value, sizeof value, "s.c%zu", tab->key[i]);
        strbuf_adds(sb, i > 0 ? ", " : "");
        maria_quote_literal(sb, tab->columns[tab->key[i]].field->name);
        strbuf_adds(sb, ", ");
        add_shown(sb, &tab->columns[tab->key[i]], value);
    }
    strbuf_adds(sb, ")");
}

static void add_decisions(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, " FROM ");
    md_watch_name(sb, tab, 'd');
    strbuf_adds(sb, " d JOIN ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb, " s ON s.g = d.g AND s.l LEFT JOIN ");
    md_watch_name(sb, tab, 'n');
    strbuf_adds(sb, " n ON n.g = d.g WHERE ");
}

/* key, key_hash, kind, source_row, target_row, target_hash, commit_lsn */
static void add_found(struct strbuf *sb, const struct md_table *tab, bool hex, size_t most)
{
    add_key_json(sb, tab);
    strbuf_adds(sb, hex ? ", HEX(d.k), d.kind, " : ", d.k, d.kind, ");
    add_json(sb, tab, "s", "s.w", most);
    strbuf_adds(sb, ", ");
    add_json(sb, tab, "n", "n.g IS NOT NULL", most);
    strbuf_adds(sb, hex ? ", HEX(d.t), s.a" : ", d.t, s.a");
    add_decisions(sb, tab);
}

void md_watch_log(struct strbuf *sb, const struct md_table *tab, const char *pipeline, const char *policy,
                  size_t shown_bytes)
{
    const char *const texts[] = {pipeline, tab->base.schema->schema, tab->base.schema->table, policy};
    strbuf_adds(sb, "INSERT INTO crossfade_conflict (pipeline, schema_name, table_name, policy, state, "
                    "decision, settled_at, `key`, key_hash, kind, source_row, target_row, target_hash, "
                    "commit_lsn) SELECT ");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        maria_quote_literal(sb, texts[i]);
        strbuf_adds(sb, ", ");
    }
    strbuf_adds(sb, "'decided', d.decision, SYSDATE(6), ");
    add_found(sb, tab, false, shown_bytes);
    strbuf_adds(sb, "d.decision IN ('source', 'target') AND NOT d.o ORDER BY d.g");
}

void md_watch_halted(struct strbuf *sb, const struct md_table *tab, size_t shown_bytes)
{
    strbuf_adds(sb, "SELECT ");
    add_found(sb, tab, true, shown_bytes);
    strbuf_adds(sb, "d.decision = 'halt' ORDER BY d.g LIMIT 10");
}

/* Open conflicts of keys that have been decided now. */
void md_watch_settle(struct strbuf *sb, const struct md_table *tab, const char *pipeline)
{
    strbuf_adds(sb, BY_INDEX "UPDATE crossfade_conflict c JOIN ");
    md_watch_name(sb, tab, 'd');
    strbuf_adds(sb,
                " d ON c.open_hash = d.k SET c.state = 'resolved', c.settled_at = SYSDATE(6), c.decision = "
                "IF(d.decision IN ('source', 'target'), d.decision, 'none')");
    add_where_table(sb, tab, pipeline);
    strbuf_adds(sb, " AND d.o");
}

/* Decided ones whose target row is a state that the source has come to by now: the target was ahead. Before new ones are logged. */
void md_watch_withdraw(struct strbuf *sb, const struct md_table *tab, const char *pipeline)
{
    strbuf_adds(sb, BY_INDEX "UPDATE ");
    md_watch_name(sb, tab, 'd');
    strbuf_adds(
        sb,
        " d STRAIGHT_JOIN crossfade_conflict c ON c.key_hash = d.k SET c.state = 'resolved', c.settled_at = "
        "SYSDATE(6), c.decision = 'none'");
    add_where_table(sb, tab, pipeline);
    strbuf_adds(sb, " AND c.state = 'decided' AND EXISTS (SELECT 1 FROM ");
    md_watch_name(sb, tab, 's');
    strbuf_adds(sb, " v WHERE v.g = d.g AND IF(v.p, v.h, " NEVER ") = c.target_hash)");
}

/* What apply knows of the source's rows moves on. */
void md_watch_forget_gone(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, BY_INDEX "DELETE a FROM ");
    md_watch_name(sb, tab, 'd');
    strbuf_addf(sb,
                " d STRAIGHT_JOIN crossfade_applied a ON a.dual_write = %" PRId64
                " AND a.`key` = d.k WHERE NOT d.p",
                tab->watch->id);
}

void md_watch_move(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_addf(sb,
                "INSERT INTO crossfade_applied (dual_write, `key`, state) SELECT %" PRId64
                ", d.k, IF(d.decision = 'target' AND NOT d.w, " NEVER ", d.h) FROM ",
                tab->watch->id);
    md_watch_name(sb, tab, 'd');
    strbuf_adds(sb, " d WHERE d.p ORDER BY d.k ON DUPLICATE KEY UPDATE state = VALUES(state)");
}

/* New rows are made here, in a way that never lands on a row that has appeared meanwhile. */
void md_watch_make(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_addf(sb, "INSERT INTO %s (", tab->name);
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        maria_quote_ident(sb, tab->columns[i].field->name);
    }
    strbuf_adds(sb, ") SELECT ");
    for (size_t i = 0; i < tab->column_count; i++)
        strbuf_addf(sb, "%ss.c%zu", i > 0 ? ", " : "", i);
    add_decisions(sb, tab);
    strbuf_adds(sb, IS_FRESH " ORDER BY d.g");
}

/* How many of these are there by now. */
void md_watch_appeared(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, BY_INDEX "SELECT COUNT(*) FROM ");
    md_watch_name(sb, tab, 'd');
    strbuf_adds(sb, " d JOIN ");
    md_watch_name(sb, tab, 's');
    strbuf_addf(sb, " s ON s.g = d.g AND s.l STRAIGHT_JOIN %s t ON ", tab->name);
    add_key_match(sb, tab);
    strbuf_adds(sb, " WHERE " IS_FRESH);
}
