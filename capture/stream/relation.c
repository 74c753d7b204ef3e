/* Owns: versions of the streamed tables. See relation.h. */
#include "capture/stream/relation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/ddl/ddl_text.h"
#include "capture/ddl/shapes.h"
#include "capture/filters/filters.h"
#include "core/alloc.h"
#include "core/log.h"

#define BUCKETS 1024 /* by OID; a power of two */

struct entry {
    struct cap_relation rel;
    struct entry *next;
};

struct cap_relations {
    const struct cap_session *session;
    struct pg_type_catalog *types;
    struct pg_conn *side; /* types and names; opened when first needed */
    struct entry *buckets[BUCKETS];
    uint32_t versions;
};

struct cap_relations *cap_relations_new(const struct cap_session *s)
{
    struct cap_relations *rels = xcalloc(1, sizeof *rels);
    rels->session = s;
    rels->types = pg_type_catalog_new();
    return rels;
}

static void forget_announced(struct cap_relation *rel)
{
    for (size_t i = 0; rel->announced != NULL && i < rel->announced_count; i++)
        free(rel->announced[i]);
    free(rel->announced);
    free(rel->kept);
    rel->announced = NULL;
    rel->kept = NULL;
    rel->announced_count = 0;
}

static void clear_relation(struct cap_relation *rel)
{
    forget_announced(rel);
    for (size_t i = 0; i < rel->column_count; i++)
        free(rel->columns[i].name);
    free(rel->columns);
    free(rel->key);
    free(rel->relaxed);
    free(rel->schema);
    free(rel->table);
    free(rel->shape_record);
    free(rel->shape_change);
    cap_table_writer_free(rel->writer);
    memset(rel, 0, sizeof *rel);
}

void cap_relations_free(struct cap_relations *rels)
{
    if (rels == NULL)
        return;
    for (size_t b = 0; b < BUCKETS; b++) {
        for (struct entry *e = rels->buckets[b], *next; e != NULL; e = next) {
            next = e->next;
            clear_relation(&e->rel);
            free(e);
        }
    }
    pg_type_catalog_free(rels->types);
    pg_close(rels->side);
    free(rels);
}

static struct entry *find_entry(struct cap_relations *rels, uint32_t oid)
{
    struct entry *e = rels->buckets[oid % BUCKETS];
    while (e != NULL && e->rel.oid != oid)
        e = e->next;
    return e;
}

/* --- the shape that a message announces --- */

static bool same_shape(const struct cap_relation *rel, const struct pgoutput_message *m)
{
    if (strcmp(rel->schema, m->relation.schema) != 0 || strcmp(rel->table, m->relation.table) != 0 ||
        rel->replica_identity != m->relation.replica_identity ||
        rel->column_count != m->relation.column_count)
        return false;
    for (size_t i = 0; i < rel->column_count; i++) {
        const struct source_column *a = &rel->columns[i];
        const struct pgoutput_column *b = &m->relation.columns[i];
        if (strcmp(a->name, b->name) != 0 || a->type_oid != b->type_oid || a->typmod != b->typmod ||
            a->identity != b->identity)
            return false;
    }
    return true;
}

static void take_shape(struct cap_relation *rel, const struct pgoutput_message *m)
{
    rel->oid = m->relation.oid;
    rel->schema = xstrdup(m->relation.schema[0] != '\0' ? m->relation.schema : "pg_catalog");
    rel->table = xstrdup(m->relation.table);
    rel->replica_identity = m->relation.replica_identity;
    rel->is_marker = strcmp(rel->schema, "crossfade") == 0 && strcmp(rel->table, "marker") == 0;
    rel->column_count = m->relation.column_count;
    rel->columns = xcalloc(rel->column_count + 1, sizeof *rel->columns);
    rel->relaxed = xcalloc(rel->column_count + 1, sizeof *rel->relaxed);
    for (size_t i = 0; i < rel->column_count; i++) {
        const struct pgoutput_column *c = &m->relation.columns[i];
        rel->columns[i] = (struct source_column){
            .name = xstrdup(c->name), .type_oid = c->type_oid, .typmod = c->typmod, .identity = c->identity};
    }
}

/* --- what is left out --- */

/* columns: room for those of *m that stay; *m then has these. */
static void narrow_shape(const struct table_rules *rules, struct pgoutput_message *m,
                         struct pgoutput_column *columns)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < m->relation.column_count; i++) {
        if (table_rules_keeps(rules, m->relation.schema, m->relation.table, m->relation.columns[i].name))
            columns[n++] = m->relation.columns[i];
    }
    m->relation.columns = columns;
    m->relation.column_count = n;
}

static void take_announced(const struct table_rules *rules, struct cap_relation *rel,
                           const struct pgoutput_message *m)
{
    size_t n = 0;
    forget_announced(rel);
    if (!table_rules_any(rules, rel->schema, rel->table))
        return;
    rel->announced_count = m->relation.column_count;
    rel->announced = xcalloc(rel->announced_count + 1, sizeof *rel->announced);
    rel->kept = xcalloc(rel->announced_count + 1, sizeof *rel->kept);
    for (size_t i = 0; i < rel->announced_count; i++) {
        rel->announced[i] = xstrdup(m->relation.columns[i].name);
        if (table_rules_keeps(rules, rel->schema, rel->table, rel->announced[i]))
            rel->kept[n++] = (uint16_t)i;
    }
    if (n == rel->announced_count) {
        free(rel->kept);
        rel->kept = NULL;
    }
}

static void narrow_row(const struct cap_relation *rel, struct pgoutput_tuple *row)
{
    if (row->count != rel->announced_count) /* is told where it is read */
        return;
    for (size_t i = 0; i < rel->column_count; i++)
        row->values[i] = row->values[rel->kept[i]];
    row->count = (uint16_t)rel->column_count;
}

void cap_relation_narrow(const struct cap_relation *rel, struct pgoutput_message *m)
{
    if (rel->kept == NULL)
        return;
    if (m->type != PGOUTPUT_INSERT && m->row.old_kind != PGOUTPUT_OLD_NONE)
        narrow_row(rel, &m->row.old_row);
    if (m->type != PGOUTPUT_DELETE)
        narrow_row(rel, &m->row.new_row);
}

/* --- the key, as far as the message does not tell it --- */

static int find_column(const struct cap_relation *rel, const char *name)
{
    for (size_t i = 0; i < rel->column_count; i++) {
        if (strcmp(rel->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

/* The catalog's key in terms of the announced columns. False if a column is not there, or (where old images
 * carry only the identity's columns) the announced identity is another one: the catalog has moved on since.
 */
static bool key_from_catalog(const struct cap_relation *rel, const struct source_table *now, size_t *key)
{
    size_t identity_count = 0;
    for (size_t i = 0; i < rel->column_count; i++)
        identity_count += rel->columns[i].identity;
    bool by_identity = rel->replica_identity == 'd' || rel->replica_identity == 'i';
    if (by_identity && identity_count != now->key_count && !now->key_chosen)
        return false;
    for (size_t k = 0; k < now->key_count; k++) {
        int at = find_column(rel, now->columns[now->key[k]].name);
        if (at < 0 || (by_identity && !rel->columns[at].identity))
            return false;
        key[k] = (size_t)at;
    }
    return true;
}

static size_t key_from_message(const struct cap_relation *rel, size_t *key)
{
    size_t count = 0;
    for (size_t i = 0; rel->replica_identity != 'f' && i < rel->column_count; i++) {
        if (rel->columns[i].identity)
            key[count++] = i;
    }
    return count;
}

static bool is_key_of(const struct cap_shape *shape, const char *column)
{
    for (size_t i = 0; i < shape->column_count; i++) {
        if (strcmp(shape->columns[i].name, column) == 0)
            return shape->columns[i].key;
    }
    return false;
}

static size_t count_key(const struct cap_shape *shape)
{
    size_t count = 0;
    for (size_t i = 0; i < shape->column_count; i++)
        count += shape->columns[i].key;
    return count;
}

/* The key that the journal knows, in terms of the announced columns. False if a column is not there. */
static bool key_from_shape(const struct cap_relation *rel, const struct cap_shape *shape, size_t *key,
                           size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < rel->column_count; i++) {
        if (is_key_of(shape, rel->columns[i].name))
            key[count++] = i;
    }
    *ret_count = count;
    return count == count_key(shape);
}

static bool same_key(const struct cap_shape *shape, const struct source_table *now)
{
    bool same = now->key_count == count_key(shape);
    for (size_t k = 0; same && k < now->key_count; k++)
        same = is_key_of(shape, now->columns[now->key[k]].name);
    return same;
}

/* Which transaction made the catalog's key, and a position by which it had certainly been made. */
static bool look_when(struct pg_conn *side, struct cap_relation *rel, struct err *err)
{
    static const char sql[] =
        "SELECT (SELECT i.xmin::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c"
        "         ON c.oid = i.indrelid WHERE c.oid = $1::oid"
        "        AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END LIMIT 1),"
        " (" SOURCE_VISIBLE_LSN ")::text";
    PG_RESULT_AUTO res = NULL;
    char oid_text[16];
    const char *params[] = {oid_text};
    (void)snprintf(oid_text, sizeof oid_text, "%u", rel->oid);
    if (!pg_query(side, sql, 1, params, &res, err))
        return false;
    if (pg_rows(res) != 1 || !lsn_parse(pg_cell(res, 0, 1), &rel->key_lsn))
        return err_set(err, ERR_PROTOCOL, "no position from the source");
    rel->key_xid = pg_is_null(res, 0, 0) ? 0 : (uint32_t)pg_cell_int64(res, 0, 0); /* 0: it is gone again */
    return true;
}

/* The key in the catalog holds for this change. (Its maker locks the table until it commits: who has a younger xid has seen it, but for
 * transactions that were at work on the table when the maker began and had not come to it.) */
static bool key_has_come(const struct cap_relation *rel, uint32_t xid, lsn_t lsn)
{
    return lsn >= rel->key_lsn || (rel->key_xid != 0 && (int32_t)(xid - rel->key_xid) >= 0);
}

/* With replica identity FULL no message tells the key, and the catalog may be ahead of the stream: rows taken under a key that
 * they did not have yet would be merged. No key does no harm: the old row comes whole. */
static bool judge_key(struct cap_relations *rels, struct cap_relation *rel, const struct source_table *now,
                      uint32_t xid, lsn_t lsn, struct err *err)
{
    const struct cap_shape *old = cap_shapes_current(rels->session->shapes, rel->oid);
    rel->key_waits = false;
    if (rel->replica_identity != 'f' || old == NULL || now->key_count == 0 || now->key_chosen ||
        same_key(old, now))
        return true;
    if (!look_when(rels->side, rel, err))
        return false;
    rel->key_waits = !key_has_come(rel, xid, lsn);
    size_t count, *key CLEANUP(free_ptr) = xcalloc(rel->column_count + 1, sizeof *key);
    return !rel->key_waits || key_from_shape(rel, old, key, &count) ||
           err_set(err, ERR_SCHEMA,
                   "replica identity FULL: this change is older than the table's present key, and of the key "
                   "that the journal knows a column is gone: under which key it was made cannot be told. "
                   "Start a new copy with an empty journal (and change keys when capture has caught up)");
}

/* With replica identity FULL, where the catalog's key does not hold (yet): the journal's. */
static size_t key_without_catalog(const struct cap_relation *rel, const struct cap_shape *old, size_t *key)
{
    size_t count = 0;
    if (rel->replica_identity == 'f' && old != NULL && key_from_shape(rel, old, key, &count))
        return count;
    return key_from_message(rel, key);
}

/* Takes over key and NOT NULL as they are now (`now` has no columns if the table is gone). True if something
 * differs. */
static bool take_catalog(struct cap_relation *rel, const struct source_table *now,
                         const struct cap_shape *old)
{
    bool changed = rel->key == NULL;
    size_t *key = xcalloc(rel->column_count + now->key_count + 1, sizeof *key);
    size_t key_count = now->key_count;
    if (now->column_count == 0 || rel->key_waits || !key_from_catalog(rel, now, key))
        key_count = key_without_catalog(rel, old, key);
    changed = changed || key_count != rel->key_count || memcmp(key, rel->key, key_count * sizeof *key) != 0;
    free(rel->key);
    rel->key = key;
    rel->key_count = key_count;
    for (size_t i = 0; i < rel->column_count; i++) {
        struct source_column *c = &rel->columns[i];
        bool not_null = false;
        for (size_t n = 0; n < now->column_count && !not_null; n++)
            not_null =
                now->columns[n].not_null && !rel->relaxed[i] && strcmp(now->columns[n].name, c->name) == 0;
        changed = changed || not_null != c->not_null;
        c->not_null = not_null;
    }
    return changed;
}

/* A key that was chosen has nothing to stand in for it. */
static bool key_is_there(const struct cap_relation *rel, const struct source_table *now, struct err *err)
{
    size_t *key CLEANUP(free_ptr) = xcalloc(now->key_count + 1, sizeof *key);
    return !now->key_chosen || key_from_catalog(rel, now, key) ||
           err_set(err, ERR_SCHEMA,
                   "the columns that source.filters makes its key are not all in this version of the table: "
                   "name those "
                   "that are, or start a new copy with an empty journal");
}

static bool open_side(struct cap_relations *rels, struct err *err)
{
    return rels->side != NULL || cap_connect(rels->session->settings, false, &rels->side, err);
}

static struct source_table table_of(const struct cap_relation *rel)
{
    return (struct source_table){
        .oid = rel->oid,
        .schema = rel->schema,
        .name = rel->table,
        .replica_identity = rel->replica_identity,
        .columns = rel->columns,
        .column_count = rel->column_count,
        .key = rel->key,
        .key_count = rel->key_count,
    };
}

static bool make_writer(struct cap_relations *rels, struct cap_relation *rel, struct err *err)
{
    struct cap_table_writer *tw = NULL;
    struct source_table t = table_of(rel);
    if (!cap_table_writer_open(rels->session, &t, rels->types, rels->side, rels->session->publisher, &tw,
                               err))
        return false;
    cap_table_writer_free(rel->writer);
    rel->writer = tw;
    tw->schema->version = ++rels->versions;
    log_event(LOG_LEVEL_DEBUG, "table_version", "table=%s.%s version=%u schema_id=%u", rel->schema,
              rel->table, tw->schema->version, tw->schema->value_schema_id);
    return true;
}

/* --- what it was before --- */

static bool describe(struct cap_relations *rels, const struct source_table *t, struct strbuf *change,
                     struct strbuf *advice, struct err *err)
{
    const struct cap_shape *old = cap_shapes_current(rels->session->shapes, t->oid);
    return old == NULL || cap_ddl_describe(rels->side, old, t, change, advice, err);
}

/* Remembers the shape, to be told in the journal in front of its first record. */
static bool take_shape_news(struct cap_relations *rels, struct cap_relation *rel, const char *change,
                            struct err *err)
{
    struct source_table t = table_of(rel);
    free(rel->shape_record);
    free(rel->shape_change);
    rel->shape_change = change[0] != '\0' ? xstrdup(change) : NULL;
    rel->shape_record = cap_shapes_take(rels->session->shapes, &t, rels->types, rels->side, err);
    return rel->shape_record != NULL;
}

static bool judge_shape(struct cap_relations *rels, struct cap_relation *rel, struct err *err)
{
    struct strbuf change = STRBUF_INIT(1 << 20), advice = STRBUF_INIT(1 << 20);
    struct source_table t = table_of(rel);
    enum cap_shape_news news = cap_shapes_judge(rels->session->shapes, &t);
    bool ok = news == SHAPE_SAME || describe(rels, &t, &change, &advice, err);
    if (ok && cap_shape_needs_person(rels->session->settings, news)) {
        ok = cap_shape_refuse(rels->session->shapes, &t, news, change.data, err);
    } else if (ok && news != SHAPE_SAME) {
        if (advice.len > 0)
            strbuf_addf(&change, "; the target needs: %s", advice.data);
        ok = strbuf_ok(&change, "description of a change", err) &&
             take_shape_news(rels, rel, change.data, err);
    }
    strbuf_release(&change);
    strbuf_release(&advice);
    return ok;
}

/* Columns that came later stay optional: readers of older records have no value for them. */
static void relax_added(struct cap_relations *rels, struct cap_relation *rel)
{
    struct source_table t = table_of(rel);
    for (size_t i = 0; i < rel->column_count; i++)
        rel->relaxed[i] =
            rel->relaxed[i] || cap_shapes_is_added(rels->session->shapes, &t, rel->columns[i].name);
}

static bool refresh(struct cap_relations *rels, struct cap_relation *rel, uint32_t xid, lsn_t lsn,
                    struct err *err)
{
    struct source_table now = {0};
    bool found = false;
    if (!open_side(rels, err) || !source_table_load(rels->side, rel->oid, &now, &found, err))
        return false;
    cap_shapes_remember_types(rels->session->shapes, rel->oid, rels->types);
    relax_added(rels, rel);
    if (!cap_filters_shape(rels->session->settings->rules, &now, err) ||
        !cap_filters_guard(rels->session, rels->side, rel, &now, err) || !key_is_there(rel, &now, err) ||
        !judge_key(rels, rel, &now, xid, lsn, err)) {
        source_table_release(&now);
        return false;
    }
    bool changed = take_catalog(rel, &now, cap_shapes_current(rels->session->shapes, rel->oid));
    source_table_release(&now);
    if (!judge_shape(rels, rel, err))
        return false;
    if ((changed || rel->writer == NULL) && !make_writer(rels, rel, err))
        return false;
    rel->stale = false;
    return true;
}

void cap_relations_announce(struct cap_relations *rels, const struct pgoutput_message *m)
{
    const struct table_rules *rules = rels->session->settings->rules;
    struct entry *e = find_entry(rels, m->relation.oid);
    struct pgoutput_message narrowed = *m;
    struct pgoutput_column *columns CLEANUP(free_ptr) =
        xcalloc((size_t)m->relation.column_count + 1, sizeof *columns);
    narrow_shape(rules, &narrowed, columns);
    if (e != NULL && same_shape(&e->rel, &narrowed)) {
        e->rel.stale = true; /* it may come because of a key or NOT NULL that has changed */
        take_announced(rules, &e->rel, m);
        return;
    }
    if (e == NULL) {
        e = xcalloc(1, sizeof *e);
        e->next = rels->buckets[m->relation.oid % BUCKETS];
        rels->buckets[m->relation.oid % BUCKETS] = e;
    }
    clear_relation(&e->rel);
    take_shape(&e->rel, &narrowed);
    take_announced(rules, &e->rel, m);
    e->rel.stale = true;
    e->rel.unwanted = !e->rel.is_marker &&
                      !table_filter_matches(rels->session->settings->filter, e->rel.schema, e->rel.table) &&
                      cap_shapes_current(rels->session->shapes, e->rel.oid) == NULL;
}

struct cap_relation *cap_relations_use(struct cap_relations *rels, uint32_t oid, uint32_t xid, lsn_t lsn,
                                       struct err *err)
{
    struct entry *e = find_entry(rels, oid);
    if (e == NULL) {
        err_set(err, ERR_PROTOCOL, "a change of relation %u came before its description", oid);
        return NULL;
    }
    struct cap_relation *rel = &e->rel;
    rel->stale = rel->stale || (rel->key_waits && key_has_come(rel, xid, lsn));
    if (!rel->stale || rel->is_marker || rel->unwanted)
        return rel;
    if (refresh(rels, rel, xid, lsn, err))
        return rel;
    err_wrap(err, "table=%s.%s", rel->schema, rel->table);
    return NULL;
}

bool cap_relations_relax(struct cap_relations *rels, struct cap_relation *rel, size_t column, struct err *err)
{
    rel->relaxed[column] = true;
    rel->columns[column].not_null = false;
    return make_writer(rels, rel, err);
}
