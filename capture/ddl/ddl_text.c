/* Owns: telling a change of a table's shape. See ddl_text.h. */
#include "capture/ddl/ddl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

struct tell {
    struct pg_conn *conn;
    const struct cap_shape *old;
    const struct source_table *now;
    struct strbuf *change, *advice;
};

static void part(struct strbuf *out, const char *between)
{
    strbuf_adds(out, out->len > 0 ? between : "");
}

/* A type that is gone by now has no name any more, unless it is remembered. */
static bool type_name(struct pg_conn *conn, uint32_t oid, int32_t typmod, const struct pg_type *remembered,
                      char **ret, struct err *err)
{
    char oid_text[16], typmod_text[16];
    const char *params[] = {oid_text, typmod_text};
    (void)snprintf(oid_text, sizeof oid_text, "%u", oid);
    (void)snprintf(typmod_text, sizeof typmod_text, "%d", (int)typmod);
    if (!pg_query_text(conn, "SELECT pg_catalog.format_type($1::oid, $2::int)", 2, params, ret, err))
        return false;
    if (strcmp(*ret, "???") == 0) {
        free(*ret);
        *ret = remembered != NULL ? xasprintf("%s.%s", remembered->schema, remembered->name)
                                  : xasprintf("type %u", oid);
    }
    return true;
}

static int find_old(const struct tell *t, const char *name)
{
    for (size_t i = 0; i < t->old->column_count; i++) {
        if (strcmp(t->old->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static int find_now(const struct tell *t, const char *name)
{
    for (size_t i = 0; i < t->now->column_count; i++) {
        if (strcmp(t->now->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static void alter(const struct tell *t, const char *what)
{
    part(t->advice, "; ");
    strbuf_adds(t->advice, "ALTER TABLE ");
    pg_quote_table(t->advice, t->now->schema, t->now->name);
    strbuf_addf(t->advice, " %s", what);
}

static void tell_name(const struct tell *t)
{
    const struct cap_shape *old = t->old;
    if (old->table[0] == '\0' || /* another table has the name by now */
        (strcmp(old->schema, t->now->schema) == 0 && strcmp(old->table, t->now->name) == 0))
        return;
    strbuf_adds(t->change, "table renamed from ");
    pg_quote_table(t->change, old->schema, old->table);
    const char *schema = old->schema;
    if (strcmp(schema, t->now->schema) != 0) {
        strbuf_adds(t->advice, "ALTER TABLE ");
        pg_quote_table(t->advice, schema, old->table);
        strbuf_adds(t->advice, " SET SCHEMA ");
        pg_quote_ident(t->advice, t->now->schema);
        schema = t->now->schema;
    }
    if (strcmp(old->table, t->now->name) != 0) {
        part(t->advice, "; ");
        strbuf_adds(t->advice, "ALTER TABLE ");
        pg_quote_table(t->advice, schema, old->table);
        strbuf_adds(t->advice, " RENAME TO ");
        pg_quote_ident(t->advice, t->now->name);
    }
}

/* The name alone is another: a rename (or a drop and an add that look the same from here). */
static bool is_renamed(const struct tell *t, size_t i)
{
    const struct cap_shape_column *a = &t->old->columns[i];
    const struct source_column *b = &t->now->columns[i];
    return t->old->column_count == t->now->column_count && a->type_oid == b->type_oid &&
           a->typmod == b->typmod && find_now(t, a->name) < 0 && find_old(t, b->name) < 0;
}

static void tell_renamed(const struct tell *t, size_t i)
{
    part(t->change, ", ");
    pg_quote_ident(t->change, t->old->columns[i].name);
    strbuf_adds(t->change, " renamed to ");
    pg_quote_ident(t->change, t->now->columns[i].name);
    alter(t, "RENAME COLUMN ");
    pg_quote_ident(t->advice, t->old->columns[i].name);
    strbuf_adds(t->advice, " TO ");
    pg_quote_ident(t->advice, t->now->columns[i].name);
}

static bool tell_dropped(const struct tell *t, size_t i, struct err *err)
{
    char *type CLEANUP(free_ptr) = NULL;
    const struct cap_shape_column *c = &t->old->columns[i];
    if (!type_name(t->conn, c->type_oid, c->typmod, c->type, &type, err))
        return false;
    part(t->change, ", ");
    strbuf_addc(t->change, '-');
    pg_quote_ident(t->change, c->name);
    strbuf_addf(t->change, " %s", type);
    alter(t, "DROP COLUMN ");
    pg_quote_ident(t->advice, c->name);
    return true;
}

/* The default as it is now; NULL if there is none, or no such column any more. */
static bool default_of(const struct tell *t, const char *column, char **ret, struct err *err)
{
    char oid_text[16];
    const char *params[] = {oid_text, column};
    (void)snprintf(oid_text, sizeof oid_text, "%u", t->now->oid);
    return pg_query_text(
        t->conn,
        "SELECT (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attribute a"
        " JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE a.attrelid = $1::oid AND a.attname = $2 AND NOT a.attisdropped AND a.attgenerated = '')",
        2, params, ret, err);
}

static bool tell_added(const struct tell *t, size_t i, struct err *err)
{
    char *type CLEANUP(free_ptr) = NULL;
    char *value CLEANUP(free_ptr) = NULL;
    const struct source_column *c = &t->now->columns[i];
    if (!type_name(t->conn, c->type_oid, c->typmod, NULL, &type, err) || !default_of(t, c->name, &value, err))
        return false;
    part(t->change, ", ");
    strbuf_addc(t->change, '+');
    pg_quote_ident(t->change, c->name);
    strbuf_addf(t->change, " %s", type);
    alter(t, "ADD COLUMN ");
    pg_quote_ident(t->advice, c->name);
    strbuf_addf(t->advice, " %s", type);
    if (value != NULL)
        strbuf_addf(t->advice, " DEFAULT %s", value);
    return true;
}

static bool tell_type(const struct tell *t, const struct cap_shape_column *a, const struct source_column *b,
                      struct err *err)
{
    char *was CLEANUP(free_ptr) = NULL;
    char *is CLEANUP(free_ptr) = NULL;
    if (a->type_oid == b->type_oid && a->typmod == b->typmod)
        return true;
    if (!type_name(t->conn, a->type_oid, a->typmod, a->type, &was, err) ||
        !type_name(t->conn, b->type_oid, b->typmod, NULL, &is, err))
        return false;
    part(t->change, ", ");
    pg_quote_ident(t->change, b->name);
    strbuf_addf(t->change, " %s -> %s", was, is);
    alter(t, "ALTER COLUMN ");
    pg_quote_ident(t->advice, b->name);
    strbuf_addf(t->advice, " TYPE %s", is);
    return true;
}

static void tell_key(const struct tell *t)
{
    struct strbuf was = STRBUF_INIT(1 << 16), is = STRBUF_INIT(1 << 16);
    for (size_t i = 0; i < t->old->column_count; i++) {
        if (!t->old->columns[i].key)
            continue;
        /* under its name of now, if that alone has changed */
        bool renamed = i < t->now->column_count && is_renamed(t, i);
        part(&was, ", ");
        pg_quote_ident(&was, renamed ? t->now->columns[i].name : t->old->columns[i].name);
    }
    for (size_t i = 0; i < t->now->column_count; i++) {
        bool key = false;
        for (size_t k = 0; k < t->now->key_count; k++)
            key = key || t->now->key[k] == i;
        if (key) {
            part(&is, ", ");
            pg_quote_ident(&is, t->now->columns[i].name);
        }
    }
    if (strcmp(was.data, is.data) != 0) {
        part(t->change, ", ");
        strbuf_addf(t->change, "key (%s) -> (%s)", was.data, is.data);
    }
    strbuf_release(&was);
    strbuf_release(&is);
}

static bool tell_columns(const struct tell *t, struct err *err)
{
    for (size_t i = 0; i < t->old->column_count; i++) {
        int now = find_now(t, t->old->columns[i].name);
        if (now >= 0 && !tell_type(t, &t->old->columns[i], &t->now->columns[now], err))
            return false;
        if (now < 0 && i < t->now->column_count && is_renamed(t, i))
            tell_renamed(t, i);
        else if (now < 0 && !tell_dropped(t, i, err))
            return false;
    }
    for (size_t i = 0; i < t->now->column_count; i++) {
        bool is_new =
            find_old(t, t->now->columns[i].name) < 0 && !(i < t->old->column_count && is_renamed(t, i));
        if (is_new && !tell_added(t, i, err))
            return false;
    }
    return true;
}

bool cap_ddl_describe(struct pg_conn *conn, const struct cap_shape *old, const struct source_table *now,
                      struct strbuf *change, struct strbuf *advice, struct err *err)
{
    struct tell t = {conn, old, now, change, advice};
    tell_name(&t);
    if (!tell_columns(&t, err))
        return false;
    tell_key(&t);
    if (change->len == 0)
        strbuf_adds(change, "the order of its columns");
    return strbuf_ok(change, "description of a change", err) &&
           strbuf_ok(advice, "description of a change", err);
}
