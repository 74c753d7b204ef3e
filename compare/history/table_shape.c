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
#include "history/proof_sql.h"
#include "postgres/postgres.h"

struct sources {
    char *types[SIDE_COUNT];
    json_t *shapes;         /* of the source */
    struct rowset *storage; /* of the target, by oid; NULL: its catalog has told */
};

static bool read_storage(const struct plan *plan, struct session *target, struct rowset **ret,
                         struct err *err)
{
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *sql = proof_sql_of(target)->storage;
    if (sql == NULL)
        return true;
    strbuf_addc(&oids, '{');
    for (size_t i = 0; i < plan->count; i++)
        strbuf_addf(&oids, "%s%u", oids.len > 1 ? "," : "", plan->tables[i]->oid[SIDE_TARGET]);
    strbuf_addc(&oids, '}');
    const char *param = oids.data;
    bool ok = strbuf_ok(&oids, "tables", err) && session_ask(target, sql, 1, &param, ret, err);
    strbuf_release(&oids);
    return ok || err_wrap(err, "target: storage of the tables");
}

static const char *storage_of(const struct sources *from, const struct plan_table *pt)
{
    int low = 0, high = from->storage != NULL ? rowset_rows(from->storage) : 0;
    while (low < high) {
        int mid = low + (high - low) / 2;
        uint32_t there = (uint32_t)rowset_int64(from->storage, mid, 0);
        if (there == pt->oid[SIDE_TARGET])
            return rowset_cell(from->storage, mid, 1);
        if (there < pt->oid[SIDE_TARGET])
            low = mid + 1;
        else
            high = mid;
    }
    return pt->storage;
}

static bool read_types(struct session *s, char **ret, struct err *err)
{
    const char *sql = proof_sql_of(s)->types;
    if (sql == NULL)
        *ret = xstrdup("");
    return sql == NULL || session_text(s, sql, 0, NULL, ret, err);
}

/* A length before each text: no two lists run together. */
static void add_text(struct strbuf *sb, const char *text)
{
    strbuf_addf(sb, "%zu:%s", strlen(text), text);
}

/* Text after text; what a dialect does not have is none. */
static void add_key(struct strbuf *sb, const struct plan_key *key, int side)
{
    const char *texts[] = {key->text[side], key->tail[side], key->seek_tail[side], key->sorts[side]};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        add_text(sb, texts[i] != NULL ? texts[i] : "");
}

/* Equal then is not equal now if somebody asks for more. */
static void add_lenient(struct strbuf *sb, const struct plan_column *c)
{
    static const char *const names[] = {
        [LENIENT_NUMBER] = "number", [LENIENT_JSON] = "json", [LENIENT_TEXT] = "text"};
    add_text(sb, c->name);
    if (c->lenient.kind == LENIENT_NOTHING)
        return;
    add_text(sb, names[c->lenient.kind]);
    if (c->lenient.kind == LENIENT_TEXT) {
        add_text(sb, c->lenient.nfc ? "nfc" : "as_is");
        add_text(sb, c->lenient.collated ? c->collation.name : "exact");
    }
    add_text(sb, c->lenient.absolute != NULL ? c->lenient.absolute : "");
    add_text(sb, c->lenient.relative != NULL ? c->lenient.relative : "");
}

static bool digest(const struct sources *from, const struct plan_table *pt, char ret[SHA256_HEX])
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    char *name = xasprintf("%s.%s", pt->out.schema, pt->out.table);
    const char *source = json_string_value(json_object_get(from->shapes, name));
    const char *target = storage_of(from, pt);
    free(name);
    if (source == NULL || target == NULL || pt->history->topic == NULL)
        return false; /* not published: nothing tells of its changes; altered just now */
    add_text(&sb, source);
    add_text(&sb, target);
    add_text(&sb, pt->history->topic);
    for (int side = 0; side < SIDE_COUNT; side++) {
        add_text(&sb, from->types[side]);
        add_text(&sb, pt->from[side]);
        for (size_t i = 0; i < pt->column_count; i++)
            add_text(&sb, pt->columns[i].form[side]);
        for (size_t i = 0; i < pt->key_count; i++)
            add_key(&sb, &pt->keys[i], side);
    }
    for (size_t i = 0; i < pt->column_count; i++)
        add_lenient(&sb, &pt->columns[i]);
    for (size_t i = 0; i < pt->key_count; i++)
        add_text(&sb, pt->keys[i].name);
    bool ok = !sb.failed && sha256_hex(sb.data, sb.len, ret);
    strbuf_release(&sb);
    return ok;
}

static bool ask_source(const struct history *h, struct session *session, struct sources *before,
                       struct sources *now, struct err *err)
{
    char *json = NULL;
    if (!read_types(session, &before->types[SIDE_SOURCE], err))
        return false;
    if (h->pre_shapes != NULL)
        before->shapes = json_loads(h->pre_shapes, 0, NULL);
    if ((h->build || h->pre_shapes == NULL) &&
        !compare_shapes(session_postgres_conn(session), h->pipeline, &json, err))
        return false;
    if (json != NULL)
        now->shapes = json_loads(json, 0, NULL);
    if (h->pre_shapes == NULL) /* both sides stand still */
        before->shapes = json_incref(now->shapes);
    free(json);
    return true;
}

static bool read_source(const struct history *h, struct sources *before, struct sources *now, struct err *err)
{
    struct session *own = NULL;
    if (h->source == NULL && !session_open(h->source_url, "source", h->pipeline, &own, err))
        return false;
    bool ok = ask_source(h, own != NULL ? own : h->source, before, now, err);
    session_close(own);
    return ok;
}

bool table_shapes(struct history *h, struct err *err)
{
    struct sources before = {0}, now = {0};
    bool ok = read_source(h, &before, &now, err) && read_types(h->session, &before.types[SIDE_TARGET], err) &&
              read_storage(h->plan, h->session, &before.storage, err);
    memcpy(now.types, before.types, sizeof now.types);
    now.storage = before.storage;
    for (size_t i = 0; ok && i < h->plan->count; i++) {
        struct plan_table *pt = h->plan->tables[i];
        if (pt->history == NULL)
            continue;
        pt->history->kept = digest(&before, pt, pt->history->shape);
        if (h->build && !digest(&now, pt, pt->history->shape_now))
            pt->history->shape_now[0] = '\0';
    }
    free(before.types[SIDE_SOURCE]);
    free(before.types[SIDE_TARGET]);
    json_decref(before.shapes);
    json_decref(now.shapes);
    rowset_free(before.storage);
    return ok;
}
