/* Owns: rules as SQL. See moved.h. The server folds such a query into the one around it: the key's index still serves. */
#include "moved.h"

#include <stdlib.h>
#include <string.h>

#include "config/table_rules.h"
#include "core/alloc.h"
#include "model.h"
#include "pg/conn.h"
#include "scope.h"

#define OID_TEXT    25
#define OID_VARCHAR 1043
#define OID_BPCHAR  1042

static bool is_text(const struct cat_column *c)
{
    return c->type_oid == OID_TEXT || c->type_oid == OID_VARCHAR || strcmp(c->type, "citext") == 0;
}

/* CASE WHEN the column is null THEN null ELSE … END: masks keep null. */
static void add_masked(const struct cat_column *c, const struct mask_rule *mask, struct strbuf *sql)
{
    struct strbuf name = STRBUF_INIT(1024);
    pg_quote_ident(&name, c->name);
    strbuf_addf(sql, "CASE WHEN %s IS NULL THEN NULL ELSE ", name.data);
    if (mask->kind == MASK_FIXED)
        pg_quote_literal(sql, mask->fixed);
    else if (mask->kind == MASK_NULL)
        strbuf_adds(sql, "NULL");
    else
        strbuf_addf(
            sql,
            "(CASE WHEN length(%s::text) <= %u THEN repeat('*', length(%s::text)) ELSE left(%s::text, %u) || "
            "repeat('*', length(%s::text) - %u) || right(%s::text, %u) END)",
            name.data, mask->first + mask->last, name.data, name.data, mask->first, name.data,
            mask->first + mask->last, name.data, mask->last);
    strbuf_addf(sql, "::%s END", c->type);
    strbuf_release(&name);
}

/* Whether the source's server can say what stands in the journal. */
static bool can_mask(const struct cat_column *c, const struct mask_rule *mask)
{
    switch (mask->kind) {
    case MASK_NULL:
        return true;
    case MASK_FIXED: /* a modifier (digits, length) would have to be applied as well */
        return c->type_oid == OID_VARCHAR || c->typmod < 0;
    case MASK_PARTIAL:
        return is_text(c);
    case MASK_HASH: /* the salt does not go to the server: its log may show statements */
    case MASK_NONE:
        break;
    }
    return false;
}

struct moving {
    const struct cat_table *source;
    const struct table_rules *rules;
    struct cat_table *moved;
    struct compare_table *out;
};

static const struct mask_rule *mask_of(const struct moving *m, const char *column)
{
    return table_rules_mask(m->rules, m->source->schema, m->source->name, column);
}

static const char *name_of(const struct moving *m, const char *column)
{
    return table_rules_rename(m->rules, m->source->schema, m->source->name, column);
}

static void move_column(const struct moving *m, const struct cat_column *c, struct strbuf *sql)
{
    const struct mask_rule *mask = mask_of(m, c->name);
    const char *name = name_of(m, c->name);
    if (!table_rules_keeps(m->rules, m->source->schema, m->source->name, c->name)) {
        table_leave_out(m->out, c->name, "left out by source.filters");
        return;
    }
    if (mask != NULL && !can_mask(c, mask)) {
        table_leave_out(m->out, c->name, "masked by source.filters%s",
                        mask->kind == MASK_HASH ? " (hash)" : "");
        return;
    }
    strbuf_adds(sql, m->moved->column_count > 0 ? ", " : "");
    if (mask != NULL)
        add_masked(c, mask, sql);
    else
        pg_quote_ident(sql, c->name);
    strbuf_adds(sql, " AS ");
    pg_quote_ident(sql, name);
    struct cat_column *to = &m->moved->columns[m->moved->column_count++];
    *to = *c;
    to->name = (char *)name;
    to->domain = to->domain && mask == NULL; /* a cast to its base type was made */
    if (mask != NULL)
        table_add_note(m->out, "column %s was compared as source.filters masks it", c->name);
}

/* Its columns are there as they are, or under other names. */
static bool key_stays(const struct moving *m, const struct cat_key *key)
{
    for (size_t i = 0; i < key->column_count; i++) {
        if (table_rules_protects(m->rules, m->source->schema, m->source->name, key->columns[i]))
            return false;
    }
    return true;
}

static void move_keys(const struct moving *m)
{
    m->moved->keys = xcalloc(m->source->key_count + 1, sizeof *m->moved->keys);
    m->moved->key_count = 0;
    for (size_t k = 0; k < m->source->key_count; k++) {
        const struct cat_key *key = &m->source->keys[k];
        if (!key_stays(m, key))
            continue;
        struct cat_key *to = &m->moved->keys[m->moved->key_count++];
        to->columns = xcalloc(key->column_count + 1, sizeof *to->columns);
        to->column_count = key->column_count;
        for (size_t i = 0; i < key->column_count; i++)
            to->columns[i] = (char *)name_of(m, key->columns[i]);
    }
}

char *moved_table(const struct cat_table *source, const struct table_rules *rules,
                  const struct moved_rows *rows, struct cat_table *ret, struct compare_table *out)
{
    static const struct moved_rows all = {0};
    rows = rows != NULL ? rows : &all;
    const char *where = table_rules_where(rules, source->schema, source->name);
    if (!table_rules_any(rules, source->schema, source->name))
        return NULL;
    struct cat_table moved = *source;
    moved.columns = xcalloc(source->column_count + 1, sizeof *moved.columns);
    moved.column_count = 0;
    const struct moving m = {source, rules, &moved, out};
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&sql, "(SELECT ");
    for (size_t i = 0; i < source->column_count; i++)
        move_column(&m, &source->columns[i], &sql);
    if (rows->inside != NULL)
        strbuf_addf(&sql, ", ((%s) IS TRUE) AS " SCOPE_INSIDE, rows->inside);
    strbuf_adds(&sql, source->partitioned ? " FROM " : " FROM ONLY ");
    pg_quote_table(&sql, source->schema, source->name);
    bool some = rows->where != NULL && *rows->where != '\0';
    if (some)
        strbuf_addf(&sql, " WHERE %s", rows->where);
    if (where != NULL) {
        strbuf_addf(&sql, "%s(%s\n)", some ? " AND " : " WHERE ", where);
        table_add_note(out, "only the rows that source.filters moves were compared: %s", where);
    }
    strbuf_adds(&sql, ") AS t");
    move_keys(&m);
    *ret = moved;
    return strbuf_detach(&sql);
}

/* Names and types are the source table's and the rules'. */
void moved_release(struct cat_table *moved)
{
    for (size_t k = 0; moved->columns != NULL && k < moved->key_count; k++)
        free(moved->keys[k].columns);
    if (moved->columns != NULL)
        free(moved->keys);
    free(moved->columns);
    *moved = (struct cat_table){0};
}
