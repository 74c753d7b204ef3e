/*
 * Owns: digests of all that a proof rests on besides rows: how the table is compared (columns, forms, key and its order, rules, topic),
 * its storage and columns on both sides (TRUNCATE, a rewrite, a column made anew and a partition that goes or was away change them),
 * and the labels and attributes of types.
 * Another digest, and the proof does not count: sometimes without need (VACUUM FULL), never the other way.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "history/history.h"
#include "postgres/postgres.h"

/* Of the whole database: such changes are rare. */
static const char types_sql[] =
    "SELECT md5(concat_ws('|',"
    " (SELECT string_agg(concat_ws(' ', enumtypid, enumlabel, enumsortorder), ',' ORDER BY enumtypid,"
    "  enumsortorder) FROM pg_enum),"
    " (SELECT string_agg(concat_ws(' ', c.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, "
    "a.attisdropped), ','"
    "  ORDER BY c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    "  WHERE c.relkind = 'c')))";

/* Of tables and their partitions, as compare_shapes() looks at them on the source. The function sees the present, whatever the
 * snapshot. */
static const char storage_sql[] =
    "SELECT o.oid, md5(string_agg(concat_ws(' ', p.relid, pg_relation_filenode(p.relid),"
    "   (SELECT 'in ' || string_agg(i.xmin::text, ',' ORDER BY i.inhparent) FROM pg_inherits i"
    "    WHERE i.inhrelid = p.relid), (SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid,"
    "   a.atttypmod, a.attcollation, a.attisdropped), ';' ORDER BY a.attnum) FROM pg_attribute a"
    "    WHERE a.attrelid = p.relid AND a.attnum > 0)), '|' ORDER BY p.relid))"
    "  FROM unnest($1::oid[]) o(oid) CROSS JOIN LATERAL"
    "  (SELECT o.oid AS relid UNION SELECT t.relid::oid FROM pg_partition_tree(o.oid) t) p GROUP BY 1";

struct sources {
    char *types[SIDE_COUNT];
    json_t *shapes;            /* of the source */
    struct pg_result *storage; /* of the target, by oid */
};

static bool read_storage(const struct plan *plan, struct pg_conn *conn, struct pg_result **ret,
                         struct err *err)
{
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addc(&oids, '{');
    for (size_t i = 0; i < plan->count; i++)
        strbuf_addf(&oids, "%s%u", oids.len > 1 ? "," : "", plan->tables[i]->oid[SIDE_TARGET]);
    strbuf_addc(&oids, '}');
    const char *param = oids.data;
    bool ok = strbuf_ok(&oids, "tables", err) && pg_query(conn, storage_sql, 1, &param, ret, err);
    strbuf_release(&oids);
    return ok || err_wrap(err, "target: storage of the tables");
}

static const char *storage_of(const struct pg_result *res, uint32_t oid)
{
    for (int i = 0; i < pg_rows(res); i++) {
        if ((uint32_t)pg_cell_int64(res, i, 0) == oid)
            return pg_cell(res, i, 1);
    }
    return NULL;
}

/* A length before each text: no two lists run together. */
static void add_text(struct strbuf *sb, const char *text)
{
    strbuf_addf(sb, "%zu:%s", strlen(text), text);
}

/* Equal then is not equal now if somebody asks for more. */
static void add_lenient(struct strbuf *sb, const struct plan_column *c)
{
    add_text(sb, c->name);
    if (c->lenient.kind == LENIENT_NOTHING)
        return;
    add_text(sb, c->lenient.kind == LENIENT_JSON ? "json" : "number");
    add_text(sb, c->lenient.absolute != NULL ? c->lenient.absolute : "");
    add_text(sb, c->lenient.relative != NULL ? c->lenient.relative : "");
}

static bool digest(const struct sources *from, const struct plan_table *pt, char ret[SHA256_HEX])
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    char *name = xasprintf("%s.%s", pt->out.schema, pt->out.table);
    const char *source = json_string_value(json_object_get(from->shapes, name));
    const char *target = storage_of(from->storage, pt->oid[SIDE_TARGET]);
    free(name);
    if (source == NULL || target == NULL || pt->history->topic == NULL)
        return false; /* not published: nothing tells of its changes */
    add_text(&sb, source);
    add_text(&sb, target);
    add_text(&sb, pt->history->topic);
    for (int side = 0; side < SIDE_COUNT; side++) {
        add_text(&sb, from->types[side]);
        add_text(&sb, pt->from[side]);
        for (size_t i = 0; i < pt->column_count; i++)
            add_text(&sb, pt->columns[i].form[side]);
        for (size_t i = 0; i < pt->key_count; i++)
            add_text(&sb, pt->keys[i].tail[side]), add_text(&sb, pt->keys[i].sorts[side]);
    }
    for (size_t i = 0; i < pt->column_count; i++)
        add_lenient(&sb, &pt->columns[i]);
    for (size_t i = 0; i < pt->key_count; i++)
        add_text(&sb, pt->keys[i].name);
    bool ok = !sb.failed && sha256_hex(sb.data, sb.len, ret);
    strbuf_release(&sb);
    return ok;
}

static bool read_source(struct history *h, bool now, struct sources *ret, struct err *err)
{
    struct session *session = NULL;
    char *json = NULL;
    if (!session_open(h->source_url, "source", h->pipeline, &session, err))
        return false;
    struct pg_conn *conn = session_postgres_conn(session);
    bool ok = pg_query_text(conn, types_sql, 0, NULL, &ret->types[SIDE_SOURCE], err);
    if (ok && !now && h->pre_shapes != NULL)
        json = xstrdup(h->pre_shapes);
    else if (ok)
        ok = compare_shapes(conn, h->pipeline, &json, err);
    session_close(session);
    if (ok)
        ret->shapes = json_loads(json, 0, NULL);
    free(json);
    return ok;
}

bool table_shapes(struct history *h, bool now,
                  void (*each)(void *ctx, struct plan_table *pt, const char shape[SHA256_HEX]), void *ctx,
                  struct err *err)
{
    struct sources from = {0};
    bool ok = read_source(h, now, &from, err) &&
              pg_query_text(h->conn, types_sql, 0, NULL, &from.types[SIDE_TARGET], err) &&
              read_storage(h->plan, h->conn, &from.storage, err);
    for (size_t i = 0; ok && i < h->plan->count; i++) {
        struct plan_table *pt = h->plan->tables[i];
        char shape[SHA256_HEX];
        if (pt->history != NULL && digest(&from, pt, shape))
            each(ctx, pt, shape);
    }
    free(from.types[SIDE_SOURCE]);
    free(from.types[SIDE_TARGET]);
    json_decref(from.shapes);
    pg_result_free(from.storage);
    return ok;
}
