/*
 * Owns: the SQL that comparisons run inside MariaDB. See sqlgen.h. Row constructors are no index condition there, so bounds are
 * spelled out; what is sorted in a derived table stays so because of its LIMIT, and only 32 bytes of each row go into it. An order
 * that would get lost is no danger to a verdict: parts that differ without a row that does send the table to the buckets (engine.c).
 */
#include "sqlgen.h"

#include "maria/quote.h"

#define ALL_ROWS "18446744073709551615" /* MariaDB documentation, SELECT: the LIMIT that is none */

/* SHA-256 of the row's text: CONCAT_WS leaves nulls out, and so their lengths. Bytes: columns may differ in collation. */
static void add_hash(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    strbuf_adds(out, "SHA2(CONCAT_WS(''");
    for (size_t i = 0; i < pt->column_count; i++) {
        const char *form = pt->columns[i].form[side];
        if (pt->columns[i].may_be_long) /* CONCAT_WS gives null for what is longer than max_allowed_packet */
            strbuf_addf(out,
                        ",OCTET_LENGTH(%s),':',IF(OCTET_LENGTH(%s) > %d,SHA2(%s,256),CAST(%s AS BINARY))",
                        form, form, VALUE_INLINE_BYTES, form, form);
        else
            strbuf_addf(out, ",OCTET_LENGTH(%s),':',CAST(%s AS BINARY)", form, form);
    }
    strbuf_adds(out, "),256)");
}

static void add_key_list(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", pt->keys[i].column[side]);
}

static void add_test(const struct plan_table *pt, enum side side, size_t key, const char *op, size_t param,
                     struct strbuf *out)
{
    const struct plan_key *k = &pt->keys[key];
    strbuf_addf(out, "%s %s %s$%zu%s", k->column[side], op, k->head[side], param, k->tail[side]);
}

/* "a >= $1 AND (a > $1 OR (a = $1 AND (b >= $2)))": the first test serves the index. */
static void add_bound(const struct plan_table *pt, enum side side, bool lower, size_t first_param,
                      struct strbuf *out)
{
    size_t last = pt->key_count - 1;
    add_test(pt, side, 0, lower ? ">=" : last == 0 ? "<" : "<=", first_param, out);
    if (last == 0)
        return;
    strbuf_adds(out, " AND ");
    for (size_t i = 0; i < last; i++) {
        strbuf_addc(out, '(');
        add_test(pt, side, i, lower ? ">" : "<", first_param + i, out);
        strbuf_adds(out, " OR (");
        add_test(pt, side, i, "=", first_param + i, out);
        strbuf_adds(out, " AND ");
    }
    add_test(pt, side, last, lower ? ">=" : "<", first_param + last, out);
    for (size_t i = 0; i < last; i++)
        strbuf_adds(out, "))");
}

static void add_range(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                      struct strbuf *out)
{
    strbuf_addf(out, " FROM %s", pt->from[side]);
    if (bounds.lower || bounds.upper)
        strbuf_adds(out, " WHERE ");
    if (bounds.lower)
        add_bound(pt, side, true, 1, out);
    if (bounds.lower && bounds.upper)
        strbuf_adds(out, " AND ");
    if (bounds.upper)
        add_bound(pt, side, false, bounds.lower ? pt->key_count + 1 : 1, out);
}

static void add_order(const struct plan_table *pt, enum side side, int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, " ORDER BY ");
    add_key_list(pt, side, out);
    strbuf_addf(out, " LIMIT %lld", (long long)limit_rows);
}

/* The row's hash as d, in its 32 bytes: a derived table of MariaDB takes the room of the longest that there might be. */
static void add_d(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    strbuf_adds(out, "CAST(UNHEX(");
    add_hash(pt, side, out);
    strbuf_adds(out, ") AS BINARY(32)) AS d");
}

/* The hash over all d: null where one of them is null, or where they are more than one value of the server holds. */
static void add_digest(const char *order, struct strbuf *out)
{
    strbuf_addf(out,
                "COUNT(*), IF(COUNT(d) = COUNT(*) AND COUNT(*) <= LEAST(@@max_allowed_packet, "
                "@@group_concat_max_len) "
                "DIV 32, SHA2(COALESCE(GROUP_CONCAT(d%s SEPARATOR ''), ''), 256), NULL)",
                order);
}

static void range_digest(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                         int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    add_digest("", out);
    strbuf_adds(out, " FROM (SELECT ");
    add_d(pt, side, out);
    add_range(pt, side, bounds, out);
    add_order(pt, side, limit_rows, out);
    strbuf_adds(out, ") x");
}

static void range_count(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                        struct strbuf *out)
{
    strbuf_adds(out, "SELECT COUNT(*)");
    add_range(pt, side, bounds, out);
}

static void add_key_texts(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s AS k%zu,", pt->keys[i].text[side], i);
}

static void range_rows(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                       int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    add_key_texts(pt, side, out);
    add_hash(pt, side, out);
    add_range(pt, side, bounds, out);
    add_order(pt, side, limit_rows, out);
}

static void range_walk(const struct plan_table *pt, enum side side, bool lower, int64_t offset_rows,
                       struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", pt->keys[i].text[side]);
    add_range(pt, side, (struct range_bounds){.lower = lower}, out);
    strbuf_adds(out, " ORDER BY ");
    add_key_list(pt, side, out);
    strbuf_addf(out, " LIMIT 1 OFFSET %lld", (long long)offset_rows);
}

/* "(SELECT <keys>, d, bucket FROM …) y": the LIMIT keeps the derived table from being merged, and the hash from being computed
 * again for each mention. */
static void add_hashed(const struct plan_table *pt, enum side side, unsigned bucket_count, bool keys,
                       struct strbuf *out)
{
    strbuf_adds(out, "(SELECT ");
    for (size_t i = 0; keys && i < pt->key_count; i++)
        strbuf_addf(out, "k%zu,", i);
    strbuf_addf(out, "d, ((ASCII(d) << 8) | ASCII(SUBSTR(d, 2, 1))) & %u AS bucket FROM (SELECT ",
                bucket_count - 1);
    if (keys)
        add_key_texts(pt, side, out);
    add_d(pt, side, out);
    strbuf_addf(out, " FROM %s LIMIT " ALL_ROWS ") x) y", pt->from[side]);
}

static void bucket_digests(const struct plan_table *pt, enum side side, unsigned bucket_count,
                           struct strbuf *out)
{
    strbuf_adds(out, "SELECT bucket, ");
    add_digest(" ORDER BY d", out);
    strbuf_adds(out, " FROM ");
    add_hashed(pt, side, bucket_count, false, out);
    strbuf_adds(out, " GROUP BY bucket ORDER BY bucket");
}

static void bucket_rows(const struct plan_table *pt, enum side side, unsigned bucket_count,
                        const char *buckets, int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "k%zu, ", i);
    strbuf_addf(out, "LOWER(HEX(d))%s FROM ", pt->key_count == 0 ? ", COUNT(*)" : "");
    add_hashed(pt, side, bucket_count, true, out);
    strbuf_addf(out, " WHERE bucket IN (%s)%s LIMIT %lld", buckets, pt->key_count == 0 ? " GROUP BY d" : "",
                (long long)limit_rows);
}

static void add_shown(const char *form, struct strbuf *out)
{
    strbuf_addf(out,
                ", IF(CHAR_LENGTH(%s) <= %d, %s, CONCAT('(', CHAR_LENGTH(%s), ' characters, sha256 ', "
                "SHA2(%s, 256), ') ', LEFT(%s, 100)))",
                form, VALUE_FETCH_CHARS, form, form, form, form);
}

static void add_columns(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    sql_add_columns(pt, side, add_shown, out);
}

/* One lookup by the index after the other. */
static void look_up_each(const struct plan_table *pt, enum side side, const struct key_list *keys,
                         struct strbuf *out)
{
    for (size_t n = 0; n < keys->count; n++) {
        strbuf_addf(out, "%sSELECT %zu AS n", n > 0 ? " UNION ALL " : "", n + 1);
        add_columns(pt, side, out);
        sql_add_inside(pt, side, out);
        strbuf_addf(out, " FROM %s WHERE ", sql_lookup_from(pt, side));
        for (size_t i = 0; i < pt->key_count; i++) {
            const struct plan_key *k = &pt->keys[i];
            strbuf_addf(out, "%s%s = %s", i > 0 ? " AND " : "", k->column[side], k->head[side]);
            maria_quote_literal(out, keys->cells[n * pt->key_count + i]);
            strbuf_adds(out, k->tail[side]);
        }
    }
}

/* The table is read once, and its keys' texts are held against the list. */
static void look_up_all(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out)
{
    strbuf_adds(out, "SELECT u.n");
    add_columns(pt, side, out);
    sql_add_inside(pt, side, out);
    strbuf_adds(out, " FROM (");
    for (size_t n = 0; n < keys->count; n++) {
        strbuf_addf(out, "%sSELECT %zu AS n", n > 0 ? " UNION ALL " : "", n + 1);
        for (size_t i = 0; i < pt->key_count; i++) {
            strbuf_adds(out, ", CAST(");
            maria_quote_literal(out, keys->cells[n * pt->key_count + i]);
            strbuf_addf(out, " AS BINARY) AS k%zu", i);
        }
    }
    strbuf_addf(out, ") u JOIN %s ON ", sql_lookup_from(pt, side));
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%sCAST(%s AS BINARY) = u.k%zu", i > 0 ? " AND " : "", pt->keys[i].text[side], i);
}

static void rows_by_key(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out)
{
    bool indexed = pt->target_indexed;
    for (size_t i = 0; i < pt->key_count; i++)
        indexed = indexed && pt->keys[i].native;
    if (indexed)
        look_up_each(pt, side, keys, out);
    else
        look_up_all(pt, side, keys, out);
    strbuf_adds(out, " ORDER BY n");
}

/* "WITH u(n,k0,…) AS (VALUES …) ": the list; a key with a null finds nothing. */
static void add_key_table(const struct plan_table *pt, const struct key_list *keys, struct strbuf *out)
{
    strbuf_adds(out, "WITH u(n");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, ",k%zu", i);
    strbuf_adds(out, ") AS (VALUES ");
    for (size_t n = 0; n < keys->count; n++) {
        strbuf_addf(out, "%s(%zu", n > 0 ? "," : "", n + 1);
        for (size_t i = 0; i < pt->key_count; i++) {
            const char *cell = keys->cells[n * pt->key_count + i];
            strbuf_addc(out, ',');
            if (cell != NULL)
                maria_quote_literal(out, cell);
            else
                strbuf_adds(out, "NULL");
        }
        strbuf_addc(out, ')');
    }
    strbuf_adds(out, ") ");
}

/* " FROM u STRAIGHT_JOIN t": by the index, and by the very text, of which a collation may take several for one. */
static void add_seek_join(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    strbuf_addf(out, " FROM u STRAIGHT_JOIN %s ON ", pt->from[side]);
    for (size_t i = 0; i < pt->key_count; i++) {
        const struct plan_key *key = &pt->keys[i];
        strbuf_addf(out, "%s%s = %su.k%zu%s AND CAST(%s AS BINARY) = CAST(u.k%zu AS BINARY)",
                    i > 0 ? " AND " : "", key->column[side], key->seek_head[side], i, key->seek_tail[side],
                    key->text[side], i);
    }
}

#define PLACE_AND_HASH_BYTES 90 /* place, ':', SHA-256 in hex, ',' */

static void keys_digest(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out)
{
    add_key_table(pt, keys, out);
    strbuf_addf(out,
                "SELECT COUNT(*), IF(COUNT(d) = COUNT(*) AND COUNT(*) * %d <= LEAST(@@max_allowed_packet, "
                "@@group_concat_max_len), SHA2(COALESCE(GROUP_CONCAT(CONCAT(n, ':', d) ORDER BY n SEPARATOR "
                "','), ''), 256), NULL) FROM (SELECT u.n, ",
                PLACE_AND_HASH_BYTES);
    add_hash(pt, side, out);
    strbuf_adds(out, " AS d");
    add_seek_join(pt, side, out);
    strbuf_adds(out, " LIMIT " ALL_ROWS ") x");
}

static void keys_rows(const struct plan_table *pt, enum side side, const struct key_list *keys,
                      struct strbuf *out)
{
    add_key_table(pt, keys, out);
    strbuf_adds(out, "SELECT ");
    add_key_texts(pt, side, out);
    add_hash(pt, side, out);
    add_seek_join(pt, side, out);
}

const struct sql_seek_ops sql_seek_mariadb = {.keys_digest = keys_digest, .keys_rows = keys_rows};

static void rows_by_hash(const struct plan_table *pt, enum side side, const struct key_list *hashes,
                         struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    add_hash(pt, side, out);
    strbuf_adds(out, " AS h");
    add_columns(pt, side, out);
    strbuf_addf(out, " FROM %s WHERE ", pt->from[side]);
    add_hash(pt, side, out);
    strbuf_adds(out, " IN (");
    for (size_t i = 0; i < hashes->count; i++) {
        strbuf_adds(out, i > 0 ? "," : "");
        maria_quote_literal(out, hashes->cells[i]);
    }
    strbuf_adds(out, ") GROUP BY h"); /* the rows of a hash are the same */
}

const struct sql_ops sql_mariadb = {
    .range_digest = range_digest,
    .range_count = range_count,
    .range_rows = range_rows,
    .range_walk = range_walk,
    .bucket_digests = bucket_digests,
    .bucket_rows = bucket_rows,
    .rows_by_key = rows_by_key,
    .rows_by_hash = rows_by_hash,
};
