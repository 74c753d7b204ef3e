/*
 * Owns: the text form of geometric types, network addresses, money, and the names behind reg* values.
 *
 *   inet/cidr  byte family (2 or 3), byte bits, byte is_cidr, byte length, address
 *   path       byte closed, int32 points, points;  polygon: int32 points, points;  a point is two float8
 */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "pg/conn.h"

/* ---- geometry ---- */

static void add_double(struct text_out *t, struct wire_in *in)
{
    char text[FLOAT_TEXT_MAX];
    strbuf_add(t->out, text, float8_text(wire_double(in), text));
}

static void add_point(struct text_out *t, struct wire_in *in)
{
    strbuf_addc(t->out, '(');
    add_double(t, in);
    strbuf_addc(t->out, ',');
    add_double(t, in);
    strbuf_addc(t->out, ')');
}

static void add_points(struct text_out *t, struct wire_in *in, uint32_t count, char open, char close)
{
    strbuf_addc(t->out, open);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (i > 0)
            strbuf_addc(t->out, ',');
        add_point(t, in);
    }
    strbuf_addc(t->out, close);
}

bool text_geometry(struct text_out *t, enum pg_wire wire, struct wire_in *in)
{
    bool closed;
    if (wire == PG_WIRE_POINT) {
        add_point(t, in);
    } else if (wire == PG_WIRE_LSEG) {
        add_points(t, in, 2, '[', ']');
    } else if (wire == PG_WIRE_BOX) {
        add_point(t, in);
        strbuf_addc(t->out, ',');
        add_point(t, in);
    } else if (wire == PG_WIRE_LINE) {
        for (int i = 0; i < 3; i++) {
            strbuf_addc(t->out, i == 0 ? '{' : ',');
            add_double(t, in);
        }
        strbuf_addc(t->out, '}');
    } else if (wire == PG_WIRE_CIRCLE) {
        strbuf_addc(t->out, '<');
        add_point(t, in);
        strbuf_addc(t->out, ',');
        add_double(t, in);
        strbuf_addc(t->out, '>');
    } else {
        closed = wire == PG_WIRE_POLYGON || wire_u8(in) != 0;
        uint32_t count = wire_u32(in);
        add_points(t, in, count, closed ? '(' : '[', closed ? ')' : ']');
    }
    return true;
}

/* ---- network ---- */

static void add_byte_value(struct text_out *t, unsigned v)
{
    if (v >= 100)
        strbuf_addc(t->out, (char)('0' + v / 100));
    if (v >= 10)
        strbuf_addc(t->out, (char)('0' + v / 10 % 10));
    strbuf_addc(t->out, (char)('0' + v % 10));
}

static void add_ipv4(struct text_out *t, const unsigned char *a)
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            strbuf_addc(t->out, '.');
        add_byte_value(t, a[i]);
    }
}

/* Longest run of at least two zero words, the first of equals. */
static void longest_zeros(const unsigned *words, int *ret_start, int *ret_len)
{
    *ret_start = -1;
    *ret_len = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && words[i + n] == 0)
            n++;
        if (n > *ret_len) {
            *ret_start = i;
            *ret_len = n;
        }
        i += n;
    }
}

static void add_ipv6(struct text_out *t, const unsigned char *a)
{
    unsigned words[8];
    int zeros, zeros_len;
    for (int i = 0; i < 8; i++)
        words[i] = load_be16(a + 2 * i);
    longest_zeros(words, &zeros, &zeros_len);
    /* IPv4 inside: ::a.b.c.d and ::ffff:a.b.c.d, as the server's own inet_net_ntop decides */
    bool ipv4 = zeros == 0 && (zeros_len == 6 || (zeros_len == 7 && words[7] != 1) ||
                               (zeros_len == 5 && words[5] == 0xffff));
    for (int i = 0; i < 8; i++) {
        if (i == zeros) {
            strbuf_adds(t->out, "::");
            i += zeros_len - 1;
            if (ipv4 && zeros_len == 7) {
                add_ipv4(t, a + 12);
                return;
            }
            continue;
        }
        if (i > 0 && i != zeros + zeros_len)
            strbuf_addc(t->out, ':');
        if (i == 6 && ipv4) {
            add_ipv4(t, a + 12);
            return;
        }
        strbuf_addf(t->out, "%x", words[i]);
    }
}

bool text_inet(struct text_out *t, struct wire_in *in)
{
    unsigned family = wire_u8(in), bits = wire_u8(in), is_cidr = wire_u8(in), len = wire_u8(in);
    unsigned expected = family == 2 ? 4 : 16;
    const unsigned char *a = wire_bytes(in, len);
    if (a == NULL || len != expected || bits > 8 * len || (family != 2 && family != 3))
        return text_bad(t, "network address");
    if (family == 2)
        add_ipv4(t, a);
    else
        add_ipv6(t, a);
    if (is_cidr != 0 || bits != 8 * len) {
        strbuf_addc(t->out, '/');
        add_byte_value(t, bits);
    }
    return true;
}

bool text_macaddr(struct text_out *t, struct wire_in *in)
{
    size_t n = in->left;
    const unsigned char *a = wire_bytes(in, n);
    if (n != 6 && n != 8)
        return text_bad(t, "MAC address");
    for (size_t i = 0; i < n; i++)
        strbuf_addf(t->out, i == 0 ? "%02x" : ":%02x", a[i]);
    return true;
}

/* ---- money: lc_monetary C ("-$1,234.56") ---- */

bool text_money(struct text_out *t, struct wire_in *in)
{
    char plain[32];
    size_t n = money_text((int64_t)wire_u64(in), plain);
    const char *p = plain, *point = plain + n - 3;
    if (*p == '-')
        strbuf_addc(t->out, *p++);
    strbuf_addc(t->out, '$');
    for (; p < point; p++) {
        strbuf_addc(t->out, *p);
        if ((point - p) % 3 == 1 && point - p > 1)
            strbuf_addc(t->out, ',');
    }
    strbuf_add(t->out, point, 3);
    return true;
}

bool interval_marks(const struct pg_conn *conn)
{
    return conn == NULL || pg_server_version(conn) >= 170000;
}

/* ---- reg* ---- */

/* Always qualified: the lookup runs with an empty search_path, which ends with the statement. The cast's
 * input comes from the call that sets it, so that it happens before. Inside a transaction the caller's own
 * path is put back. */
static bool ask_name(struct text_out *t, const struct pg_type *type, uint32_t value, char **ret)
{
    struct strbuf sql = STRBUF_INIT(2000);
    char oid[16];
    char *old_path = NULL;
    const char *params[] = {oid}, *path_params[1];
    (void)snprintf(oid, sizeof oid, "%u", value);
    bool in_transaction = pg_in_transaction(t->conn);
    if (in_transaction && !pg_query_text(t->conn, "SELECT pg_catalog.current_setting('search_path')", 0, NULL,
                                         &old_path, t->err))
        return false;
    strbuf_addf(
        &sql,
        "WITH s AS MATERIALIZED (SELECT pg_catalog.set_config('search_path', 'pg_catalog', true) AS v) "
        "SELECT (CASE WHEN s.v IS NOT NULL THEN $1::pg_catalog.oid END)::pg_catalog.%s::pg_catalog.text FROM "
        "s",
        type->name); /* a built-in name: regclass … */
    bool ok = pg_query_text(t->conn, sql.data, 1, params, ret, t->err);
    path_params[0] = old_path;
    char *ignored = NULL;
    if (ok && in_transaction)
        ok = pg_query_text(t->conn, "SELECT pg_catalog.set_config('search_path', $1, true)", 1, path_params,
                           &ignored, t->err);
    free(ignored);
    free(old_path);
    strbuf_release(&sql);
    return ok;
}

bool text_reg(struct text_out *t, const struct pg_type *type, uint32_t value)
{
    const char *name = catalog_reg_name(t->cat, type->oid, value);
    if (name == NULL) {
        char *text = NULL;
        if (t->conn == NULL)
            return err_set(t->err, ERR_SCHEMA, "the name behind a %s needs a connection to the source",
                           type->name);
        if (!ask_name(t, type, value, &text))
            return false;
        name = catalog_reg_remember(t->cat, type->oid, value, text != NULL ? text : "-");
        free(text);
    }
    strbuf_adds(t->out, name);
    return true;
}
