/* Owns: SQL of rows by their keys. See copy_keys.h. */
#include "capture/copy/copy_keys.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

const struct source_table *cap_keys_table(const struct cap_session *s, const struct copy_request *req)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        if (s->tables.items[i].oid == req->oid)
            return &s->tables.items[i];
    }
    return NULL;
}

/* Where in the request's keys this part of the table's key stands; column_count = nowhere. */
static size_t find_part(const struct cap_session *s, const struct source_table *t, size_t part,
                        const struct copy_keys *keys)
{
    const char *name =
        table_rules_rename(s->settings->rules, t->schema, t->name, t->columns[t->key[part]].name);
    size_t i = 0;
    while (i < keys->column_count && strcmp(keys->columns[i], name) != 0)
        i++;
    return i;
}

bool cap_keys_fit(const struct cap_session *s, const struct source_table *t, const struct copy_keys *keys)
{
    bool fit = t->key_count > 0 && t->key_count == keys->column_count;
    for (size_t k = 0; fit && k < t->key_count; k++) {
        const char *name = t->columns[t->key[k]].name;
        fit = find_part(s, t, k, keys) < keys->column_count &&
              table_rules_mask(s->settings->rules, t->schema, t->name, name) == NULL;
    }
    return fit;
}

/* types NULL: literals that take the type of what they are compared with. */
static void put_keys(const struct cap_session *s, const struct source_table *t, const struct copy_keys *keys,
                     char *const *types, struct strbuf *sql)
{
    for (size_t i = 0; i < keys->count; i++) {
        strbuf_adds(sql, i > 0 ? ", (" : "(");
        for (size_t k = 0; k < t->key_count; k++) {
            strbuf_adds(sql, k > 0 ? ", " : "");
            pg_quote_literal(sql, keys->cells[i * keys->column_count + find_part(s, t, k, keys)]);
            if (types != NULL)
                strbuf_addf(sql, "::%s", types[k]);
        }
        strbuf_adds(sql, ")");
    }
}

/* "(p.k1, …) IN (('…', …), …)" */
static char *keys_where(const struct cap_session *s, const struct source_table *t,
                        const struct copy_keys *keys)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "(");
    for (size_t k = 0; k < t->key_count; k++) {
        strbuf_adds(&sql, k > 0 ? ", p." : "p.");
        pg_quote_ident(&sql, t->columns[t->key[k]].name);
    }
    strbuf_adds(&sql, ") IN (");
    put_keys(s, t, keys, NULL, &sql);
    strbuf_adds(&sql, ")");
    return strbuf_detach(&sql);
}

char *cap_copy_where(const struct cap_session *s, const struct copy_request *req)
{
    const struct source_table *t = cap_keys_table(s, req);
    if (req->keys != NULL && t != NULL)
        return keys_where(s, t, req->keys);
    return req->where != NULL ? xstrdup(req->where) : NULL;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static bool type_names(const struct source_table *t, struct pg_conn *conn, char **ret, struct err *err)
{
    for (size_t k = 0; k < t->key_count; k++) {
        const struct source_column *c = &t->columns[t->key[k]];
        char oid[16], typmod[16];
        (void)snprintf(oid, sizeof oid, "%u", c->type_oid);
        (void)snprintf(typmod, sizeof typmod, "%d", c->typmod);
        const char *params[] = {oid, typmod};
        if (!pg_query_text(conn, "SELECT pg_catalog.format_type($1::oid, $2::int)", 2, params, &ret[k], err))
            return false;
        if (ret[k] == NULL)
            return err_set(err, ERR_PROTOCOL, "type %u has no name", c->type_oid);
    }
    return true;
}

static void put_columns(const struct source_table *t, const bool *as_text, struct strbuf *sql)
{
    for (size_t i = 0; i < t->column_count; i++) {
        size_t k = 0;
        while (k < t->key_count && t->key[k] != i)
            k++;
        strbuf_adds(sql, i > 0 ? ", " : "");
        if (k < t->key_count)
            strbuf_addf(sql, "p.c%zu%s", k, as_text[i] ? "::text" : "");
        else
            strbuf_adds(sql, "NULL");
    }
}

static void put_gone(const struct cap_session *s, const struct source_table *t, const struct copy_keys *keys,
                     char *const *types, const char *storage, const bool *as_text, struct strbuf *sql)
{
    const char *where = table_rules_where(s->settings->rules, t->schema, t->name);
    strbuf_adds(sql, "SELECT ");
    put_columns(t, as_text, sql);
    strbuf_adds(sql, " FROM (VALUES ");
    put_keys(s, t, keys, types, sql);
    strbuf_adds(sql, ") AS p(");
    for (size_t k = 0; k < t->key_count; k++)
        strbuf_addf(sql, "%sc%zu", k > 0 ? ", " : "", k);
    strbuf_addf(sql, ") WHERE NOT EXISTS (SELECT FROM %s AS q WHERE ", storage);
    for (size_t k = 0; k < t->key_count; k++) {
        strbuf_adds(sql, k > 0 ? " AND q." : "q.");
        pg_quote_ident(sql, t->columns[t->key[k]].name);
        strbuf_addf(sql, " = p.c%zu", k);
    }
    if (where != NULL)
        strbuf_addf(sql, " AND (%s\n)", where);
    strbuf_adds(sql, ")");
}

bool cap_keys_gone(const struct cap_session *s, const struct source_table *t, const struct copy_keys *keys,
                   struct pg_conn *conn, const char *storage, const bool *as_text, struct strbuf *sql,
                   struct err *err)
{
    char **types = xcalloc(t->key_count + 1, sizeof *types);
    bool ok = type_names(t, conn, types, err);
    if (ok)
        put_gone(s, t, keys, types, storage, as_text, sql);
    free_names(types, t->key_count);
    return ok;
}
