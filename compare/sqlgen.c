/* Owns: the SQL that comparisons run inside the databases. See sqlgen.h. */
#include "sqlgen.h"

static void add_row(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    strbuf_adds(out, "record_send(ROW(");
    for (size_t i = 0; i < pt->column_count; i++)
        strbuf_addf(out, "%s%s", i > 0 ? "," : "", pt->columns[i].form[side]);
    strbuf_adds(out, "))");
}

static void add_key_list(const struct plan_table *pt, const char *suffix, struct strbuf *out)
{
    for (size_t i = 0; i < pt->key_count; i++) {
        strbuf_adds(out, i > 0 ? ",t." : "t.");
        pg_quote_ident(out, pt->keys[i].name);
        strbuf_adds(out, suffix);
    }
}

/* "(t.a,t.b) >= ($1::int4,$2::text)" */
static void add_bound(const struct plan_table *pt, enum side side, const char *op, size_t first_param,
                      struct strbuf *out)
{
    bool many = pt->key_count > 1; /* ROW() of one column is valid, but no index condition */
    strbuf_adds(out, many ? "ROW(" : "");
    add_key_list(pt, "", out);
    strbuf_addf(out, "%s %s %s", many ? ")" : "", op, many ? "ROW(" : "");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s$%zu::%s", i > 0 ? "," : "", first_param + i, pt->keys[i].type[side]);
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

static void add_order(const struct plan_table *pt, int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, " ORDER BY ");
    add_key_list(pt, "", out);
    strbuf_addf(out, " LIMIT %lld", (long long)limit_rows);
}

void sql_range_digest(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                      int64_t limit_rows, struct strbuf *out)
{
    /* record_send begins with a column count of 32 bits, at most 1664: its first byte is 0, a hash's mark is
     * 0xff. The sub-select with ORDER BY and LIMIT is not flattened: r is computed once, rows arrive in
     * order. */
    strbuf_addf(out,
                "SELECT count(*), encode(sha256(coalesce(string_agg(CASE WHEN length(r) > %d THEN "
                "'\\xff'::bytea || sha256(r) ELSE r END, ''::bytea), ''::bytea)), 'hex') FROM (SELECT ",
                ROW_INLINE_BYTES);
    add_row(pt, side, out);
    strbuf_adds(out, " AS r");
    add_range(pt, side, bounds, out);
    add_order(pt, limit_rows, out);
    strbuf_adds(out, ") x");
}

void sql_range_count(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                     struct strbuf *out)
{
    strbuf_adds(out, "SELECT count(*)");
    add_range(pt, side, bounds, out);
}

void sql_range_rows(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                    int64_t limit_rows, struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    add_key_list(pt, "::text", out);
    strbuf_adds(out, ", encode(sha256(");
    add_row(pt, side, out);
    strbuf_adds(out, "), 'hex')");
    add_range(pt, side, bounds, out);
    add_order(pt, limit_rows, out);
}

void sql_range_walk(const struct plan_table *pt, enum side side, bool lower, int64_t offset_rows,
                    struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    add_key_list(pt, "::text", out);
    add_range(pt, side, (struct range_bounds){.lower = lower}, out);
    strbuf_adds(out, " ORDER BY ");
    add_key_list(pt, "", out);
    strbuf_addf(out, " OFFSET %lld LIMIT 1", (long long)offset_rows);
}

/* "(SELECT <keys>, d, bucket FROM …) y": OFFSET 0 keeps the planner from computing the hash twice. */
static void add_hashed(const struct plan_table *pt, enum side side, unsigned bucket_count, struct strbuf *out)
{
    strbuf_addf(out, "(SELECT x.*, ((get_byte(d, 0) << 8) | get_byte(d, 1)) & %u AS bucket FROM (SELECT ",
                bucket_count - 1);
    for (size_t i = 0; i < pt->key_count; i++) {
        strbuf_adds(out, "t.");
        pg_quote_ident(out, pt->keys[i].name);
        strbuf_addf(out, "::text AS k%zu, ", i);
    }
    strbuf_adds(out, "sha256(");
    add_row(pt, side, out);
    strbuf_addf(out, ") AS d FROM %s OFFSET 0) x) y", pt->from[side]);
}

void sql_bucket_digests(const struct plan_table *pt, enum side side, unsigned bucket_count,
                        struct strbuf *out)
{
    strbuf_adds(out,
                "SELECT bucket, count(*), encode(sha256(string_agg(d, ''::bytea ORDER BY d)), 'hex') FROM ");
    add_hashed(pt, side, bucket_count, out);
    strbuf_adds(out, " GROUP BY bucket ORDER BY bucket");
}

void sql_bucket_rows(const struct plan_table *pt, enum side side, unsigned bucket_count, int64_t limit_rows,
                     struct strbuf *out)
{
    strbuf_adds(out, "SELECT ");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "k%zu, ", i);
    strbuf_addf(out, "encode(d, 'hex')%s FROM ", pt->key_count == 0 ? ", count(*)" : "");
    add_hashed(pt, side, bucket_count, out);
    strbuf_addf(out, " WHERE bucket = ANY ($1::int[])%s LIMIT %lld", pt->key_count == 0 ? " GROUP BY d" : "",
                (long long)limit_rows);
}

static void add_shown_columns(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    for (size_t i = 0; i < pt->column_count; i++) {
        const char *form = pt->columns[i].form[side];
        strbuf_addf(
            out,
            ", CASE WHEN length((%s)::text) <= %d THEN (%s)::text ELSE '(' || length((%s)::text) || "
            "' characters, sha256 ' || encode(sha256(convert_to((%s)::text, 'UTF8')), 'hex') || ') ' || "
            "left((%s)::text, 100) END",
            form, VALUE_FETCH_CHARS, form, form, form, form);
    }
}

void sql_rows_by_key(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    strbuf_adds(out, "SELECT u.n");
    add_shown_columns(pt, side, out);
    strbuf_adds(out, " FROM unnest(");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "%s$%zu::text[]", i > 0 ? "," : "", i + 1);
    strbuf_adds(out, ") WITH ORDINALITY AS u(");
    for (size_t i = 0; i < pt->key_count; i++)
        strbuf_addf(out, "k%zu,", i);
    strbuf_addf(out, "n) JOIN %s ON ", pt->from[side]);
    for (size_t i = 0; i < pt->key_count; i++) {
        strbuf_adds(out, i > 0 ? " AND t." : "t.");
        pg_quote_ident(out, pt->keys[i].name);
        strbuf_addf(out, " = u.k%zu::%s", i, pt->keys[i].type[side]);
    }
    strbuf_adds(out, " ORDER BY u.n");
}

void sql_rows_by_hash(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    /* DISTINCT ON sorts by the hash; the hash is computed by both mentions, which only costs time. */
    strbuf_adds(out, "SELECT DISTINCT ON (1) encode(sha256(");
    add_row(pt, side, out);
    strbuf_adds(out, "), 'hex')");
    add_shown_columns(pt, side, out);
    strbuf_addf(out, " FROM %s WHERE encode(sha256(", pt->from[side]);
    add_row(pt, side, out);
    strbuf_adds(out, "), 'hex') = ANY ($1::text[]) ORDER BY 1");
}

void sql_array_add(struct strbuf *array, const char *text)
{
    strbuf_adds(array, array->len > 1 ? ",\"" : "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            strbuf_addc(array, '\\');
        strbuf_addc(array, *text);
    }
    strbuf_addc(array, '"');
}
