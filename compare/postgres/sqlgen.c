/* Owns: the SQL that comparisons run inside PostgreSQL. See sqlgen.h. */
#include "sqlgen.h"

#include <stdio.h>

#include "pg/conn.h"

#define CONCAT_COLUMNS 30 /* a function of PostgreSQL takes 100 arguments; of ours each column is three */

/* concat(octet_length(a),':',a,…): a null adds ':' alone. `names`: c0, c1 … in place of the forms. */
static void add_row_text(const struct plan_table *pt, enum side side, bool names, struct strbuf *out)
{
    const char *length = pt->source_utf8 ? "octet_length(" : "octet_length(convert_to(";
    const char *end = pt->source_utf8 ? ")" : ",'UTF8'))";
    strbuf_adds(out, "convert_to(concat(");
    for (size_t i = 0; i < pt->column_count; i++) {
        if (i % CONCAT_COLUMNS == 0)
            strbuf_adds(out, i > 0 ? "),concat(" : "concat(");
        else
            strbuf_addc(out, ',');
        char name[24];
        (void)snprintf(name, sizeof name, "c%zu", i);
        const char *value = names ? name : pt->columns[i].form[side];
        strbuf_addf(out, "%s%s%s,':',", length, value, end);
        if (pt->columns[i].may_be_long)
            strbuf_addf(out,
                        "CASE WHEN %s%s%s > %d THEN encode(sha256(convert_to(%s,'UTF8')),'hex') ELSE %s END",
                        length, value, end, VALUE_INLINE_BYTES, value, value);
        else
            strbuf_adds(out, value);
    }
    strbuf_adds(out, ")),'UTF8')");
}

/* The row as bytes, from the table itself. */
static void add_row(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    if (pt->as_text) {
        add_row_text(pt, side, false, out);
        return;
    }
    strbuf_adds(out, "record_send(ROW(");
    for (size_t i = 0; i < pt->column_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", pt->columns[i].form[side]);
    strbuf_adds(out, "))");
}

static void add_key_list(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", pt->keys[i].column[side]);
}

/* "(t.a,t.b) >= ($1::int4,$2::text)" */
static void add_bound(const struct plan_table *pt, enum side side, const char *op, size_t first_param,
                      struct strbuf *out)
{
    bool many = pt->key_count > 1; /* ROW() of one column is valid, but no index condition */
    strbuf_adds(out, many ? "ROW(" : "");
    add_key_list(pt, side, out);
    strbuf_addf(out, "%s %s %s", many ? ")" : "", op, many ? "ROW(" : "");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s%s$%zu%s", i > 0 ? "," : "", pt->keys[i].head[side], first_param + i,
                    pt->keys[i].tail[side]);
    strbuf_adds(out, many ? ")" : "");
}

static void add_range(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                      struct strbuf *out)
{
    strbuf_addf(out, " FROM %s", pt->from[side]);
    if (bounds.lower || bounds.upper)
        strbuf_adds(out, " WHERE ");
    if (bounds.lower)
        add_bound(pt, side, ">=", 1, out);
    if (bounds.lower && bounds.upper)
        strbuf_adds(out, " AND ");
    if (bounds.upper)
        add_bound(pt, side, "<", bounds.lower ? pt->key_count + 1 : 1, out);
}

static void add_order(const struct plan_table *pt, enum side side, int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, " ORDER BY ");
    add_key_list(pt, side, out);
    strbuf_addf(out, " LIMIT %lld", (long long)limit_rows);
}

static void add_key_texts(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s AS k%zu,", pt->keys[i].text[side], i);
}

/* Opens "(SELECT k0,…, <row> AS r FROM …": add_rows_end closes it behind what chooses and orders the rows. A form is computed
 * once: a sub-select with LIMIT or OFFSET is not flattened. */
static void add_rows_begin(const struct plan_table *pt, enum side side, bool keys, struct strbuf *out)
{
    strbuf_adds(out, "(SELECT ");
    if (!pt->as_text) {
        if (keys)
            add_key_texts(pt, side, out);
        add_row(pt, side, out);
        strbuf_adds(out, " AS r");
        return;
    }
    for (size_t i = 0; keys && i < pt->key_count; i++)
        strbuf_addf(out, "k%zu,", i);
    add_row_text(pt, side, true, out);
    strbuf_adds(out, " AS r FROM (SELECT ");
    if (keys)
        add_key_texts(pt, side, out);
    for (size_t i = 0; i < pt->column_count; i++)
        strbuf_addf(out, "%s%s AS c%zu", i > 0 ? "," : "", pt->columns[i].form[side], i);
}

static void add_rows_end(const struct plan_table *pt, struct strbuf *out)
{
    strbuf_adds(out, pt->as_text ? ") w) x" : ") x");
}

static void range_digest(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                         int64_t limit_rows, struct strbuf *out)
{
    /* record_send begins with a column count of 32 bits, at most 1664: its first byte is 0, a hash's mark is
     * 0xff. Rows arrive in the sub-select's order. */
    if (pt->as_text)
        strbuf_adds(out, "SELECT count(*), encode(sha256(coalesce(string_agg(sha256(r), ''::bytea), "
                         "''::bytea)), 'hex') FROM ");
    else
        strbuf_addf(out,
                    "SELECT count(*), encode(sha256(coalesce(string_agg(CASE WHEN length(r) > %d THEN "
                    "'\\xff'::bytea || sha256(r) ELSE r END, ''::bytea), ''::bytea)), 'hex') FROM ",
                    ROW_INLINE_BYTES);
    add_rows_begin(pt, side, false, out);
    add_range(pt, side, bounds, out);
    add_order(pt, side, limit_rows, out);
    add_rows_end(pt, out);
}

static void range_count(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                        struct strbuf *out)
{
    strbuf_adds(out, "SELECT count(*)");
    add_range(pt, side, bounds, out);
}

static void range_rows(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                       int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "k%zu,", i);
    strbuf_adds(out, "encode(sha256(r), 'hex') FROM ");
    add_rows_begin(pt, side, true, out);
    add_range(pt, side, bounds, out);
    add_order(pt, side, limit_rows, out);
    add_rows_end(pt, out);
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
    strbuf_addf(out, " OFFSET %lld LIMIT 1", (long long)offset_rows);
}

/* "(SELECT <keys>, d, bucket FROM …) z": OFFSET 0 keeps the planner from computing the hash twice. */
static void add_hashed(const struct plan_table *pt, enum side side, unsigned bucket_count, struct strbuf *out)
{
    strbuf_addf(out,
                "(SELECT y.*, ((get_byte(d, 0) << 8) | get_byte(d, 1)) & %u AS bucket FROM (SELECT x.*, "
                "sha256(r) AS d FROM ",
                bucket_count - 1);
    add_rows_begin(pt, side, true, out);
    strbuf_addf(out, " FROM %s OFFSET 0", pt->from[side]);
    add_rows_end(pt, out);
    strbuf_adds(out, " OFFSET 0) y) z");
}

static void bucket_digests(const struct plan_table *pt, enum side side, unsigned bucket_count,
                           struct strbuf *out)
{
    strbuf_adds(out,
                "SELECT bucket, count(*), encode(sha256(string_agg(d, ''::bytea ORDER BY d)), 'hex') FROM ");
    add_hashed(pt, side, bucket_count, out);
    strbuf_adds(out, " GROUP BY bucket ORDER BY bucket");
}

static void bucket_rows(const struct plan_table *pt, enum side side, unsigned bucket_count,
                        const char *buckets, int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "k%zu, ", i);
    strbuf_addf(out, "encode(d, 'hex')%s FROM ", pt->key_count == 0 ? ", count(*)" : "");
    add_hashed(pt, side, bucket_count, out);
    strbuf_addf(out, " WHERE bucket = ANY ('{%s}'::int[])%s LIMIT %lld", buckets,
                pt->key_count == 0 ? " GROUP BY d" : "", (long long)limit_rows);
}

static void add_shown(const char *form, struct strbuf *out)
{
    strbuf_addf(out,
                ", CASE WHEN length((%s)::text) <= %d THEN (%s)::text ELSE '(' || length((%s)::text) || "
                "' characters, sha256 ' || encode(sha256(convert_to((%s)::text, 'UTF8')), 'hex') || ') ' || "
                "left((%s)::text, 100) END",
                form, VALUE_FETCH_CHARS, form, form, form, form);
}

static void add_columns(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    sql_add_columns(pt, side, add_shown, out);
}

/* Every `step`-th cell from `first`, as a literal of text[]. */
static void add_array(const struct key_list *list, size_t first, size_t step, struct strbuf *out)
{
    struct strbuf array = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < list->count; i++)
        pg_array_text(&array, i, list->cells[i * step + first]);
    pg_array_end(&array, list->count);
    pg_quote_literal(out, array.data);
    strbuf_adds(out, "::text[]");
    out->failed = out->failed || array.failed;
    strbuf_release(&array);
}

/* "unnest(…) WITH ORDINALITY AS u(k0,…,n)": the list, u.n being places in it. */
static void add_key_table(const struct plan_table *pt, const struct key_list *keys, struct strbuf *out)
{
    strbuf_adds(out, "unnest(");
    for (size_t i = 0; i < pt->key_count; i++) {
        strbuf_adds(out, i > 0 ? "," : "");
        add_array(keys, i, pt->key_count, out);
    }
    strbuf_adds(out, ") WITH ORDINALITY AS u(");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "k%zu,", i);
    strbuf_adds(out, "n)");
}

/* `=` of one side alone takes this key for another one. Where both do a row has the same partner under either text; but that is not
 * enough to call it equal. */
static bool by_very_text(const struct plan_table *pt, const struct plan_key *key, enum side side)
{
    enum side other = side == SIDE_SOURCE ? SIDE_TARGET : SIDE_SOURCE;
    return key->lax[side] && (!key->lax[other] || pt->strays != NULL);
}

/* " FROM <the list> u JOIN <from> ON …", of which the conditions are to follow. */
static void add_join(const struct plan_table *pt, const struct key_list *keys, const char *from,
                     struct strbuf *out)
{
    strbuf_adds(out, " FROM ");
    add_key_table(pt, keys, out);
    strbuf_addf(out, " JOIN %s ON ", from);
}

void sql_postgres_keys_join(const struct plan_table *pt, enum side side, const struct key_list *keys,
                            struct strbuf *out)
{
    add_join(pt, keys, sql_lookup_from(pt, side), out);
    for (size_t i = 0; i < pt->key_count; i++) {
        const struct plan_key *key = &pt->keys[i];
        strbuf_adds(out, i > 0 ? " AND " : "");
        if (key->native)
            strbuf_addf(out, "%s = %su.k%zu%s", key->column[side], key->head[side], i, key->tail[side]);
        else
            strbuf_addf(out, "%s = u.k%zu", key->text[side], i);
        if (by_very_text(pt, key, side))
            strbuf_addf(out, " AND (%s) COLLATE \"C\" = u.k%zu", key->text[side], i);
    }
}

/* …, of keys in PostgreSQL's own texts. */
static void add_seek_join(const struct plan_table *pt, enum side side, const struct key_list *keys,
                          struct strbuf *out)
{
    add_join(pt, keys, pt->from[side], out);
    for (size_t i = 0; i < pt->key_count; i++) {
        const struct plan_key *key = &pt->keys[i];
        strbuf_addf(out, "%s%s = %su.k%zu%s", i > 0 ? " AND " : "", key->column[side], key->seek_head[side],
                    i, key->seek_tail[side]);
    }
}

static void rows_by_key(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out)
{
    strbuf_adds(out, "SELECT u.n");
    add_columns(pt, side, out);
    sql_add_inside(pt, side, out);
    sql_postgres_keys_join(pt, side, keys, out);
    strbuf_adds(out, " ORDER BY u.n");
}

static void keys_digest(const struct plan_table *pt, enum side side, const struct key_list *keys,
                        struct strbuf *out)
{
    /* The place stands before each row: a row under another key is another text. */
    if (pt->as_text)
        strbuf_adds(out, "SELECT count(*), encode(sha256(convert_to(coalesce(string_agg(n || ':' || "
                         "encode(sha256(r), 'hex'), ',' ORDER BY n), ''), 'UTF8')), 'hex') FROM (SELECT "
                         "u.n, ");
    else
        strbuf_addf(
            out,
            "SELECT count(*), encode(sha256(coalesce(string_agg(int8send(n) || CASE WHEN length(r) > %d "
            "THEN '\\xff'::bytea || sha256(r) ELSE r END, ''::bytea ORDER BY n), ''::bytea)), 'hex') FROM "
            "(SELECT u.n, ",
            ROW_INLINE_BYTES);
    add_row(pt, side, out);
    strbuf_adds(out, " AS r");
    add_seek_join(pt, side, keys, out);
    strbuf_adds(out, " OFFSET 0) x");
}

static void keys_rows(const struct plan_table *pt, enum side side, const struct key_list *keys,
                      struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    add_key_texts(pt, side, out);
    strbuf_adds(out, "encode(sha256(");
    add_row(pt, side, out);
    strbuf_adds(out, "), 'hex')");
    add_seek_join(pt, side, keys, out);
}

/* A literal without a type takes the column's in a UNION. */
void sql_values_forms(const struct plan_table *pt, const char *const *texts, size_t count, struct strbuf *out)
{
    strbuf_adds(out, "SELECT t.\"crossfade n\"");
    add_columns(pt, SIDE_SOURCE, out);
    strbuf_adds(out, " FROM (SELECT 0 AS \"crossfade n\"");
    for (size_t i = 0; i < pt->column_count; i++) {
        strbuf_adds(out, ", t.");
        pg_quote_ident(out, pt->columns[i].name);
    }
    strbuf_addf(out, " FROM %s WHERE false", pt->from[SIDE_SOURCE]);
    for (size_t n = 0; n < count; n++) {
        strbuf_addf(out, " UNION ALL SELECT %zu", n + 1);
        for (size_t i = 0; i < pt->column_count; i++) {
            const char *text = texts[n * pt->column_count + i];
            strbuf_adds(out, ", ");
            if (text != NULL)
                pg_quote_literal(out, text);
            else
                strbuf_adds(out, "NULL");
        }
    }
    strbuf_adds(out, ") t ORDER BY 1");
}

/* The forms are over alias t: here that is the list, under the columns' names. */
void sql_key_texts(const struct plan_table *pt, const struct key_list *keys, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", pt->keys[i].text[SIDE_SOURCE]);
    strbuf_adds(out, " FROM (SELECT u.n AS \"crossfade's place\"");
    for (size_t i = 0; i < pt->key_count; i++) {
        const struct plan_key *key = &pt->keys[i];
        strbuf_addf(out, ",%su.k%zu%s AS ", key->seek_head[SIDE_SOURCE], i, key->seek_tail[SIDE_SOURCE]);
        pg_quote_ident(out, key->name);
    }
    strbuf_adds(out, " FROM ");
    add_key_table(pt, keys, out);
    strbuf_adds(out, " OFFSET 0) t ORDER BY t.\"crossfade's place\"");
}

const struct sql_seek_ops sql_seek_postgres = {.keys_digest = keys_digest, .keys_rows = keys_rows};

static void rows_by_hash(const struct plan_table *pt, enum side side, const struct key_list *hashes,
                         struct strbuf *out)
{
    /* DISTINCT ON sorts by the hash; the hash is computed by both mentions, which only costs time. */
    strbuf_adds(out, "SELECT DISTINCT ON (1) encode(sha256(");
    add_row(pt, side, out);
    strbuf_adds(out, "), 'hex')");
    add_columns(pt, side, out);
    strbuf_addf(out, " FROM %s WHERE encode(sha256(", pt->from[side]);
    add_row(pt, side, out);
    strbuf_adds(out, "), 'hex') = ANY (");
    add_array(hashes, 0, 1, out);
    strbuf_adds(out, ") ORDER BY 1");
}

const struct sql_ops sql_postgres = {
    .range_digest = range_digest,
    .range_count = range_count,
    .range_rows = range_rows,
    .range_walk = range_walk,
    .bucket_digests = bucket_digests,
    .bucket_rows = bucket_rows,
    .rows_by_key = rows_by_key,
    .rows_by_hash = rows_by_hash,
};
