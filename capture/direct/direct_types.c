/* Owns: what a direct load asks the source's catalog: types by name, and primary keys; of all tables in a few questions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/direct/direct_internal.h"
#include "core/alloc.h"

#define BUILTIN_OIDS                                                                                         \
    10000 /* server: access/transam.h, FirstGenbkiObjectId: fixed by hand, the same everywhere */

struct named_type {
    uint32_t oid;
    int32_t typmod;
    char *type, *bare, *inside;
};

struct named_key {
    uint32_t oid; /* of the table */
    char *text;
};

struct direct_types {
    struct named_type *types; /* sorted */
    size_t type_count;
    struct named_key *keys; /* sorted */
    size_t key_count;
};

void direct_types_free(struct direct_types *types)
{
    if (types == NULL)
        return;
    for (size_t i = 0; i < types->type_count; i++) {
        free(types->types[i].type);
        free(types->types[i].bare);
        free(types->types[i].inside);
    }
    for (size_t i = 0; i < types->key_count; i++)
        free(types->keys[i].text);
    free(types->types);
    free(types->keys);
    free(types);
}

static int compare_types(const void *a, const void *b)
{
    const struct named_type *x = a, *y = b;
    return x->oid != y->oid ? (x->oid > y->oid) - (x->oid < y->oid)
                            : (x->typmod > y->typmod) - (x->typmod < y->typmod);
}

static int compare_keys(const void *a, const void *b)
{
    const struct named_key *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}

/* Each once. */
static void list_types(struct direct_types *types, const struct cap_tables *tables)
{
    size_t most = 0, kept = 0;
    for (size_t i = 0; i < tables->count; i++)
        most += tables->items[i].column_count;
    types->types = xcalloc(most + 1, sizeof *types->types);
    for (size_t i = 0; i < tables->count; i++) {
        for (size_t c = 0; c < tables->items[i].column_count; c++) {
            const struct source_column *col = &tables->items[i].columns[c];
            types->types[types->type_count++] =
                (struct named_type){.oid = col->type_oid, .typmod = col->typmod};
        }
    }
    qsort(types->types, types->type_count, sizeof *types->types, compare_types);
    for (size_t i = 0; i < types->type_count; i++) {
        if (kept == 0 || compare_types(&types->types[kept - 1], &types->types[i]) != 0)
            types->types[kept++] = types->types[i];
    }
    types->type_count = kept;
}

static bool read_inside(struct pg_conn *conn, struct named_type *type, struct err *err)
{
    char oid[16];
    (void)snprintf(oid, sizeof oid, "%u", type->oid);
    const char *params[1] = {oid};
    return type->oid < BUILTIN_OIDS || pg_query_text(conn, LOADER_TYPE_INSIDE, 1, params, &type->inside, err);
}

static bool read_types(struct pg_conn *conn, struct direct_types *types, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX), mods = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < types->type_count; i++) {
        pg_array_int64(&oids, i, types->types[i].oid);
        pg_array_int64(&mods, i, types->types[i].typmod);
    }
    pg_array_end(&oids, types->type_count);
    pg_array_end(&mods, types->type_count);
    const char *params[2] = {oids.data, mods.data};
    bool ok = strbuf_ok(&oids, "types", err) && strbuf_ok(&mods, "types", err) &&
              pg_query(conn,
                       "SELECT pg_catalog.format_type(o, m), pg_catalog.format_type(o, NULL) FROM "
                       "unnest($1::oid[], $2::integer[]) WITH ORDINALITY AS c (o, m, n) ORDER BY n",
                       2, params, &res, err);
    strbuf_release(&oids);
    strbuf_release(&mods);
    if (ok && (size_t)pg_rows(res) != types->type_count)
        return err_set(err, ERR_PROTOCOL, "%d names of %zu types", pg_rows(res), types->type_count);
    for (size_t i = 0; ok && i < types->type_count; i++) {
        types->types[i].type = xstrdup(pg_cell(res, (int)i, 0));
        types->types[i].bare = xstrdup(pg_cell(res, (int)i, 1));
        ok = read_inside(conn, &types->types[i], err);
    }
    return ok;
}

static bool read_keys(struct pg_conn *conn, struct direct_types *types, const struct cap_tables *tables,
                      struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX);
    for (size_t i = 0; i < tables->count; i++)
        pg_array_int64(&oids, i, tables->items[i].oid);
    pg_array_end(&oids, tables->count);
    const char *params[1] = {oids.data};
    bool ok = strbuf_ok(&oids, "tables", err) &&
              pg_query(conn,
                       "SELECT conrelid, pg_catalog.format('CONSTRAINT %I ', conname) || "
                       "pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE conrelid = "
                       "ANY ($1::oid[]) AND contype = 'p' AND NOT condeferrable",
                       1, params, &res, err);
    strbuf_release(&oids);
    if (!ok)
        return false;
    types->keys = xcalloc((size_t)pg_rows(res) + 1, sizeof *types->keys);
    for (int row = 0; row < pg_rows(res); row++)
        types->keys[types->key_count++] =
            (struct named_key){(uint32_t)pg_cell_int64(res, row, 0), xstrdup(pg_cell(res, row, 1))};
    qsort(types->keys, types->key_count, sizeof *types->keys, compare_keys);
    return true;
}

bool direct_types_read(struct pg_conn *conn, const struct cap_session *s, struct direct_types **ret,
                       struct err *err)
{
    struct direct_types *types = xcalloc(1, sizeof *types);
    list_types(types, &s->tables);
    if (!read_types(conn, types, err) || !read_keys(conn, types, &s->tables, err)) {
        direct_types_free(types);
        return false;
    }
    *ret = types;
    return true;
}

/* OIDs of this server's objects, units of its lc_monetary, or none at all: in binary form they mean something else elsewhere. */
static bool is_local(const char *bare)
{
    return strncmp(bare, "reg", 3) == 0 || strncmp(bare, "money", 5) == 0 || strncmp(bare, "aclitem", 7) == 0;
}

bool direct_types_name(const struct direct_types *types, const struct source_table *t,
                       struct loader_column *ret, struct err *err)
{
    for (size_t i = 0; i < t->column_count; i++) {
        const struct named_type key = {.oid = t->columns[i].type_oid, .typmod = t->columns[i].typmod};
        const struct named_type *found =
            types->type_count == 0
                ? NULL
                : bsearch(&key, types->types, types->type_count, sizeof key, compare_types);
        if (found == NULL)
            return err_set(err, ERR_BUG, "table=%s.%s column=%s: its type was not read", t->schema, t->name,
                           t->columns[i].name);
        ret[i].type = xstrdup(found->type);
        ret[i].bare = xstrdup(found->bare);
        ret[i].inside = found->inside != NULL ? xstrdup(found->inside) : NULL;
        ret[i].builtin = found->oid < BUILTIN_OIDS;
        ret[i].binary = ret[i].builtin && !is_local(found->bare);
    }
    return true;
}

const char *direct_types_key(const struct direct_types *types, uint32_t oid)
{
    const struct named_key key = {.oid = oid};
    const struct named_key *found =
        types->key_count == 0 ? NULL : bsearch(&key, types->keys, types->key_count, sizeof key, compare_keys);
    return found != NULL ? found->text : NULL;
}
