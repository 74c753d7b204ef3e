/* Owns: types of one database by OID, read on demand, and the cache of names of reg* values. See catalog.h.
 */
#include "pg/types/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "internal.h"
#include "pg/conn.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

/* Names of reg* values kept at most; beyond, the cache starts anew. */
#define REG_NAMES_MAX 10000

struct type_entry {
    uint32_t oid;
    struct pg_type type;
    char *labels; /* ENUM: see catalog_labels() */
    UT_hash_handle hh;
};

struct reg_key {
    uint32_t type;
    uint32_t value;
};

struct reg_entry {
    struct reg_key key;
    char *name;
    UT_hash_handle hh;
};

struct pg_type_catalog {
    struct type_entry *types, *remembered;
    struct reg_entry *names;
    struct strbuf scratch, body;
};

struct pg_type_catalog *pg_type_catalog_new(void)
{
    struct pg_type_catalog *cat = xcalloc(1, sizeof *cat);
    strbuf_init(&cat->scratch, TYPES_TEXT_MAX);
    strbuf_init(&cat->body, TYPES_TEXT_MAX);
    return cat;
}

static void free_entry(struct type_entry *e)
{
    free((char *)(uintptr_t)e->type.schema);
    free((char *)(uintptr_t)e->type.name);
    for (size_t i = 0; i < e->type.attr_count; i++)
        free(e->type.attrs[i].name);
    free(e->type.attrs);
    free(e->labels);
    free(e);
}

void pg_type_catalog_forget_names(struct pg_type_catalog *cat)
{
    struct reg_entry *e, *next;
    HASH_ITER(hh, cat->names, e, next)
    {
        HASH_DEL(cat->names, e);
        free(e->name);
        free(e);
    }
}

void pg_type_catalog_free(struct pg_type_catalog *cat)
{
    if (cat == NULL)
        return;
    struct type_entry *e, *next;
    HASH_ITER(hh, cat->types, e, next)
    {
        HASH_DEL(cat->types, e);
        free_entry(e);
    }
    HASH_ITER(hh, cat->remembered, e, next)
    {
        HASH_DEL(cat->remembered, e);
        free_entry(e);
    }
    pg_type_catalog_forget_names(cat);
    strbuf_release(&cat->scratch);
    strbuf_release(&cat->body);
    free(cat);
}

static struct strbuf *emptied(struct strbuf *sb)
{
    if (sb->cap > (1 << 20)) /* one huge value does not keep its memory */
        strbuf_release(sb);
    strbuf_clear(sb);
    return sb;
}

struct strbuf *catalog_scratch(struct pg_type_catalog *cat)
{
    return emptied(&cat->scratch);
}

struct strbuf *catalog_body(struct pg_type_catalog *cat)
{
    return emptied(&cat->body);
}

const char *catalog_reg_name(const struct pg_type_catalog *cat, uint32_t type, uint32_t value)
{
    struct reg_key key = {type, value};
    struct reg_entry *e;
    HASH_FIND(hh, cat->names, &key, sizeof key, e);
    return e != NULL ? e->name : NULL;
}

const char *catalog_reg_remember(struct pg_type_catalog *cat, uint32_t type, uint32_t value, const char *name)
{
    if (HASH_COUNT(cat->names) >= REG_NAMES_MAX)
        pg_type_catalog_forget_names(cat);
    struct reg_entry *e = xcalloc(1, sizeof *e);
    e->key = (struct reg_key){type, value};
    e->name = xstrdup(name);
    HASH_ADD(hh, cat->names, key, sizeof e->key, e);
    return e->name;
}

/* Binary form of a base type that is not built in, by its send function; only where the output function
 * prints the same. */
static enum pg_wire wire_by_send(const char *send)
{
    static const struct {
        const char *send;
        enum pg_wire wire;
    } table[] = {
        {"", PG_WIRE_NONE},
        {"textsend", PG_WIRE_TEXT},
        {"varcharsend", PG_WIRE_TEXT},
        {"bpcharsend", PG_WIRE_TEXT},
        {"namesend", PG_WIRE_TEXT},
        {"citextsend", PG_WIRE_TEXT},
        {"hstore_send", PG_WIRE_HSTORE},
        {"ltree_send", PG_WIRE_VERSIONED_TEXT},
        {"lquery_send", PG_WIRE_VERSIONED_TEXT},
        {"ltxtq_send", PG_WIRE_VERSIONED_TEXT},
        {"geometry_send", PG_WIRE_EWKB},
        {"geography_send", PG_WIRE_EWKB},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].send, send) == 0)
            return table[i].wire;
    }
    return PG_WIRE_UNKNOWN;
}

static void set_kind(struct pg_type *type, char typtype, const char *send)
{
    type->kind = (enum pg_kind)typtype;
    switch (typtype) {
    case 'b':
        if (strcmp(send, "array_send") == 0) {
            type->kind = PG_KIND_ARRAY;
            type->wire = PG_WIRE_ARRAY;
        } else {
            type->wire = wire_by_send(send);
        }
        break;
    case 'c':
        type->wire = PG_WIRE_RECORD;
        break;
    case 'e':
        type->wire = PG_WIRE_TEXT;
        break;
    case 'r':
        type->wire = PG_WIRE_RANGE;
        break;
    case 'm':
        type->wire = PG_WIRE_MULTIRANGE;
        break;
    case 'd': /* taken from its base by the caller */
        type->wire = PG_WIRE_UNKNOWN;
        break;
    default:
        type->kind = PG_KIND_PSEUDO;
        type->wire = PG_WIRE_UNKNOWN;
    }
}

static uint32_t cell_oid(const struct pg_result *res, int row, int column)
{
    return (uint32_t)pg_cell_int64(res, row, column);
}

static void fill_attributes(struct pg_type *type, const struct pg_result *res)
{
    type->attrs = xcalloc((size_t)pg_rows(res), sizeof *type->attrs);
    for (int row = 0; row < pg_rows(res) && !pg_is_null(res, row, 10); row++) {
        type->attrs[type->attr_count++] =
            (struct pg_type_attr){.name = xstrdup(pg_cell(res, row, 10)),
                                  .type = cell_oid(res, row, 11),
                                  .typmod = (int32_t)pg_cell_int64(res, row, 12)};
    }
}

static const char type_query[] =
    "SELECT n.nspname, t.typname, t.typtype, t.typcategory, t.typdelim, t.typelem, t.typbasetype, "
    "t.typtypmod,"
    " coalesce(p.proname, ''), coalesce(r.rngsubtype, m.rngtypid, 0), a.attname, a.atttypid, a.atttypmod "
    "FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
    "LEFT JOIN pg_catalog.pg_proc p ON p.oid = t.typsend "
    "LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid "
    "LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid "
    "LEFT JOIN pg_catalog.pg_attribute a ON t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0"
    " AND NOT a.attisdropped "
    "WHERE t.oid = $1::pg_catalog.oid ORDER BY a.attnum";

static bool load_type(struct pg_conn *conn, uint32_t oid, struct type_entry **ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char oid_text[16];
    const char *params[] = {oid_text};
    (void)snprintf(oid_text, sizeof oid_text, "%u", oid);
    if (!pg_query(conn, type_query, 1, params, &res, err))
        return err_wrap(err, "type with oid %u", oid);
    if (pg_rows(res) == 0)
        return err_set(err, ERR_SCHEMA, "there is no type with oid %u in database %s", oid,
                       pg_database(conn));
    struct type_entry *e = xcalloc(1, sizeof *e);
    const char *send = pg_cell(res, 0, 8);
    e->oid = e->type.oid = oid;
    e->type.schema = xstrdup(pg_cell(res, 0, 0));
    e->type.name = xstrdup(pg_cell(res, 0, 1));
    e->type.category = pg_cell(res, 0, 3)[0];
    e->type.delim = pg_cell(res, 0, 4)[0];
    set_kind(&e->type, pg_cell(res, 0, 2)[0], send);
    e->type.elem = e->type.kind == PG_KIND_ARRAY ? cell_oid(res, 0, 5) : 0;
    e->type.base = cell_oid(res, 0, 6);
    e->type.base_typmod = e->type.base != 0 ? (int32_t)pg_cell_int64(res, 0, 7) : -1;
    e->type.range_subtype = cell_oid(res, 0, 9);
    e->type.has_binary = send[0] != '\0';
    fill_attributes(&e->type, res);
    *ret = e;
    return true;
}

void pg_type_catalog_remember(struct pg_type_catalog *cat, const struct pg_type *type)
{
    struct type_entry *e;
    uint32_t oid = type->oid;
    HASH_FIND(hh, cat->remembered, &oid, sizeof oid, e);
    if (e != NULL || (type->kind != PG_KIND_ENUM && type->kind != PG_KIND_DOMAIN))
        return;
    e = xcalloc(1, sizeof *e);
    e->oid = e->type.oid = oid;
    e->type.schema = xstrdup(type->schema);
    e->type.name = xstrdup(type->name);
    e->type.category = type->kind == PG_KIND_ENUM ? 'E' : 'U';
    e->type.delim = ',';
    set_kind(&e->type, (char)type->kind, "");
    e->type.base = type->base;
    e->type.base_typmod = type->base_typmod;
    e->type.has_binary = true; /* of a domain: taken from its base */
    HASH_ADD(hh, cat->remembered, oid, sizeof e->oid, e);
}

/* As the server has it, else as it is remembered. */
static bool find_type(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid,
                      struct type_entry **ret, struct err *err)
{
    struct err gone = ERR_INIT;
    struct type_entry *e = NULL;
    if (load_type(conn, oid, ret, &gone))
        return true;
    if (gone.code == ERR_SCHEMA)
        HASH_FIND(hh, cat->remembered, &oid, sizeof oid, e);
    if (e == NULL) {
        *err = gone;
        return false;
    }
    HASH_DEL(cat->remembered, e);
    *ret = e;
    return true;
}

static bool get_nested(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, int depth,
                       const struct pg_type **ret, struct err *err)
{
    const struct pg_type *known = pg_type_builtin(oid);
    if (known != NULL) {
        *ret = known;
        return true;
    }
    struct type_entry *e;
    HASH_FIND(hh, cat->types, &oid, sizeof oid, e);
    if (e == NULL) {
        if (conn == NULL)
            return err_set(err, ERR_SCHEMA,
                           "type with oid %u is not built in, and there is no connection to ask", oid);
        if (depth > TYPES_DEPTH_MAX)
            return err_set(err, ERR_UNSUPPORTED, "domains over domains deeper than %d", TYPES_DEPTH_MAX);
        if (!find_type(cat, conn, oid, &e, err))
            return false;
        if (e->type.kind == PG_KIND_DOMAIN) {
            const struct pg_type *base;
            if (!get_nested(cat, conn, e->type.base, depth + 1, &base, err)) {
                err_wrap(err, "domain %s", e->type.name);
                free_entry(e);
                return false;
            }
            e->type.wire = base->wire;
            e->type.has_binary = base->has_binary;
        }
        HASH_ADD(hh, cat->types, oid, sizeof e->oid, e);
    }
    *ret = &e->type;
    return true;
}

bool pg_type_catalog_get(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid,
                         const struct pg_type **ret, struct err *err)
{
    return get_nested(cat, conn, oid, 0, ret, err);
}

bool pg_type_catalog_base(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, int32_t *typmod,
                          const struct pg_type **ret, struct err *err)
{
    const struct pg_type *type;
    if (!pg_type_catalog_get(cat, conn, oid, &type, err))
        return false;
    int32_t mod = typmod != NULL ? *typmod : -1;
    while (type->kind == PG_KIND_DOMAIN) {
        if (mod < 0)
            mod = type->base_typmod;
        if (!pg_type_catalog_get(cat, conn, type->base, &type, err))
            return false;
    }
    if (typmod != NULL)
        *typmod = mod;
    *ret = type;
    return true;
}

static bool known_nested(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, int depth,
                         struct err *err)
{
    const struct pg_type *type;
    if (depth > TYPES_DEPTH_MAX)
        return err_set(err, ERR_UNSUPPORTED, "types nested deeper than %d", TYPES_DEPTH_MAX);
    if (!pg_type_catalog_base(cat, conn, oid, NULL, &type, err))
        return false;
    if (type->wire == PG_WIRE_UNKNOWN)
        return err_set(
            err, ERR_UNSUPPORTED,
            "type %s.%s: its binary form is not known here. Hint: leave the table or column out of the "
            "publication, or change the column to text",
            type->schema, type->name);
    if (type->wire == PG_WIRE_NONE)
        return depth == 0 ||
               err_set(err, ERR_UNSUPPORTED,
                       "type %s.%s has no binary form, so the server cannot send it inside an array, "
                       "range or composite. Hint: leave the column out of the publication",
                       type->schema, type->name);
    if (type->elem != 0)
        return known_nested(cat, conn, type->elem, depth + 1, err);
    if (type->range_subtype != 0)
        return known_nested(cat, conn, type->range_subtype, depth + 1, err);
    for (size_t i = 0; i < type->attr_count; i++) {
        if (!known_nested(cat, conn, type->attrs[i].type, depth + 1, err))
            return err_wrap(err, "composite type %s.%s, attribute %s", type->schema, type->name,
                            type->attrs[i].name);
    }
    return true;
}

bool pg_type_catalog_known(struct pg_type_catalog *cat, struct pg_conn *conn, uint32_t oid, struct err *err)
{
    return known_nested(cat, conn, oid, 0, err);
}

bool catalog_labels(struct pg_type_catalog *cat, struct pg_conn *conn, const struct pg_type *type,
                    const char **ret, struct err *err)
{
    struct type_entry *e;
    char oid_text[16];
    const char *params[] = {oid_text};
    HASH_FIND(hh, cat->types, &type->oid, sizeof type->oid, e);
    if (e == NULL || conn == NULL)
        return err_set(err, ERR_BUG, "type %s: no enum of the catalog's", type->name);
    (void)snprintf(oid_text, sizeof oid_text, "%u", type->oid);
    if (e->labels == NULL &&
        !pg_query_text(conn,
                       "SELECT coalesce(pg_catalog.string_agg(enumlabel, ',' ORDER BY enumsortorder), '') "
                       "FROM pg_catalog.pg_enum WHERE enumtypid = $1::pg_catalog.oid",
                       1, params, &e->labels, err))
        return err_wrap(err, "labels of type %s", type->name);
    *ret = e->labels;
    return true;
}
