/* Owns: the table of known shapes, and their records. See shapes.h. Failpoint: capture.ddl_halt. */
#include "capture/ddl/shapes.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "capture/publish/shape_voids.h"
#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/hash.h"

#define BUCKETS 4096 /* a power of two */

static const char record_key[] = "shape"; /* lib/journal passes over records with it */
const char cap_shapes_forgotten[] = "{\"table_shape\":null,\"state\":\"forgotten\"}";

struct known {
    struct cap_shape *current, *halted;
    struct cap_shape **accepted; /* oldest first */
    size_t accepted_count;
    uint32_t oid;
    struct known *next, *next_named;
};

struct cap_shapes {
    struct known *by_oid[BUCKETS];
    struct known *by_name[BUCKETS]; /* of those with a current shape whose name is still theirs */
    struct cap_shape *halt;         /* of this session */
};

/* --- one shape --- */

static void type_free(struct pg_type *type)
{
    if (type == NULL)
        return;
    free((char *)(uintptr_t)type->schema);
    free((char *)(uintptr_t)type->name);
    free(type);
}

static struct pg_type *type_copy(const struct pg_type *of)
{
    struct pg_type *type = xcalloc(1, sizeof *type);
    *type = (struct pg_type){.oid = of->oid,
                             .schema = xstrdup(of->schema),
                             .name = xstrdup(of->name),
                             .kind = of->kind,
                             .base = of->base,
                             .base_typmod = of->base_typmod};
    return type;
}

static void shape_free(struct cap_shape *shape)
{
    if (shape == NULL)
        return;
    for (size_t i = 0; i < shape->column_count; i++) {
        free(shape->columns[i].name);
        type_free(shape->columns[i].type);
    }
    free(shape->columns);
    free(shape->schema);
    free(shape->table);
    free(shape->change);
    free(shape);
}

static bool in_key(const struct source_table *t, size_t column)
{
    for (size_t k = 0; k < t->key_count; k++) {
        if (t->key[k] == column)
            return true;
    }
    return false;
}

static const struct cap_shape_column *find_column(const struct cap_shape *shape, const char *name)
{
    for (size_t i = 0; shape != NULL && i < shape->column_count; i++) {
        if (strcmp(shape->columns[i].name, name) == 0)
            return &shape->columns[i];
    }
    return NULL;
}

static bool came_later(const struct cap_shape *before, const char *name)
{
    const struct cap_shape_column *c = find_column(before, name);
    return before != NULL && (c == NULL || c->added);
}

static struct cap_shape *shape_of(const struct source_table *t, const struct cap_shape *before)
{
    struct cap_shape *shape = xcalloc(1, sizeof *shape);
    shape->oid = t->oid;
    shape->schema = xstrdup(t->schema);
    shape->table = xstrdup(t->name);
    shape->columns = xcalloc(t->column_count + 1, sizeof *shape->columns);
    shape->column_count = t->column_count;
    for (size_t i = 0; i < t->column_count; i++)
        shape->columns[i] = (struct cap_shape_column){.name = xstrdup(t->columns[i].name),
                                                      .type_oid = t->columns[i].type_oid,
                                                      .typmod = t->columns[i].typmod,
                                                      .key = in_key(t, i),
                                                      .added = came_later(before, t->columns[i].name)};
    return shape;
}

/* What is worth remembering. One that is gone already: as it was remembered before. */
static void note_types(struct cap_shape *shape, const struct cap_shape *before, struct pg_type_catalog *types,
                       struct pg_conn *conn)
{
    for (size_t i = 0; types != NULL && i < shape->column_count; i++) {
        struct cap_shape_column *c = &shape->columns[i];
        const struct pg_type *type = NULL;
        struct err ignored = ERR_INIT; /* whoever needs the type is told */
        if (pg_type_builtin(c->type_oid) != NULL)
            continue;
        if (!pg_type_catalog_get(types, conn, c->type_oid, &type, &ignored)) {
            const struct cap_shape_column *old = find_column(before, c->name);
            type = old != NULL && old->type_oid == c->type_oid ? old->type : NULL;
        }
        if (type != NULL && (type->kind == PG_KIND_ENUM || type->kind == PG_KIND_DOMAIN))
            c->type = type_copy(type);
    }
}

void cap_shapes_remember_types(const struct cap_shapes *shapes, uint32_t oid, struct pg_type_catalog *types)
{
    const struct cap_shape *shape = cap_shapes_current(shapes, oid);
    for (size_t i = 0; shape != NULL && i < shape->column_count; i++) {
        if (shape->columns[i].type != NULL)
            pg_type_catalog_remember(types, shape->columns[i].type);
    }
}

static bool fits(const struct cap_shape *shape, const struct source_table *t)
{
    if (shape == NULL || shape->column_count != t->column_count || strcmp(shape->table, t->name) != 0 ||
        strcmp(shape->schema, t->schema) != 0)
        return false;
    for (size_t i = 0; i < t->column_count; i++) {
        const struct cap_shape_column *a = &shape->columns[i];
        const struct source_column *b = &t->columns[i];
        if (a->type_oid != b->type_oid || a->typmod != b->typmod || a->key != in_key(t, i) ||
            strcmp(a->name, b->name) != 0)
            return false;
    }
    return true;
}

/* --- all of them --- */

struct cap_shapes *cap_shapes_new(void)
{
    return xcalloc(1, sizeof(struct cap_shapes));
}

static struct known *find_known(const struct cap_shapes *shapes, uint32_t oid)
{
    struct known *k = shapes->by_oid[oid % BUCKETS];
    while (k != NULL && k->oid != oid)
        k = k->next;
    return k;
}

static struct known *known_for(struct cap_shapes *shapes, uint32_t oid)
{
    struct known *k = find_known(shapes, oid);
    if (k == NULL) {
        k = xcalloc(1, sizeof *k);
        k->oid = oid;
        k->next = shapes->by_oid[oid % BUCKETS];
        shapes->by_oid[oid % BUCKETS] = k;
    }
    return k;
}

static void drop_accepted(struct known *k)
{
    for (size_t i = 0; i < k->accepted_count; i++)
        shape_free(k->accepted[i]);
    k->accepted_count = 0;
}

static void forget_all(struct cap_shapes *shapes)
{
    for (size_t b = 0; b < BUCKETS; b++) {
        for (struct known *k = shapes->by_oid[b], *next; k != NULL; k = next) {
            next = k->next;
            drop_accepted(k);
            free(k->accepted);
            shape_free(k->current);
            shape_free(k->halted);
            free(k);
        }
        shapes->by_oid[b] = shapes->by_name[b] = NULL;
    }
}

void cap_shapes_free(struct cap_shapes *shapes)
{
    if (shapes == NULL)
        return;
    forget_all(shapes);
    shape_free(shapes->halt);
    free(shapes);
}

static struct known **bucket_of(struct cap_shapes *shapes, const char *schema, const char *table)
{
    uint64_t hash = hash_fnv1a(HASH_FNV1A, schema, strlen(schema) + 1);
    hash = hash_fnv1a(hash, table, strlen(table));
    return &shapes->by_name[hash % BUCKETS];
}

static struct known *holder_of(const struct cap_shapes *shapes, const char *schema, const char *table)
{
    struct known *k = *bucket_of((struct cap_shapes *)(uintptr_t)shapes, schema, table);
    while (k != NULL && (strcmp(k->current->table, table) != 0 || strcmp(k->current->schema, schema) != 0))
        k = k->next_named;
    return k;
}

/* The name is not k's any more. */
static void lose_name(struct cap_shapes *shapes, struct known *k)
{
    struct known **at = bucket_of(shapes, k->current->schema, k->current->table);
    while (*at != NULL && *at != k)
        at = &(*at)->next_named;
    if (*at == k)
        *at = k->next_named;
    k->current->table[0] = '\0';
}

/* Takes `shape` over. Whoever had the name has it no longer. */
static void set_current(struct cap_shapes *shapes, struct cap_shape *shape)
{
    struct known *holder = holder_of(shapes, shape->schema, shape->table);
    struct known *k = known_for(shapes, shape->oid);
    if (holder != NULL && holder != k)
        lose_name(shapes, holder);
    if (k->current != NULL)
        lose_name(shapes, k);
    drop_accepted(k);
    shape_free(k->halted);
    shape_free(k->current);
    k->halted = NULL;
    k->current = shape;
    struct known **at = bucket_of(shapes, shape->schema, shape->table);
    k->next_named = *at;
    *at = k;
}

static void add_accepted(struct cap_shapes *shapes, struct cap_shape *shape)
{
    struct known *k = known_for(shapes, shape->oid);
    k->accepted = xrealloc(k->accepted, (k->accepted_count + 1) * sizeof(struct cap_shape *));
    k->accepted[k->accepted_count++] = shape;
    shape_free(k->halted);
    k->halted = NULL;
}

/* --- records --- */

static json_t *column_json(const struct cap_shape_column *c)
{
    json_t *json = json_pack("{s:s,s:I,s:i}", "name", c->name, "type", (json_int_t)c->type_oid, "modifier",
                             (int)c->typmod);
    if (json != NULL && c->key)
        json_object_set_new(json, "key", json_true());
    if (json != NULL && c->added)
        json_object_set_new(json, "added", json_true());
    if (json != NULL && c->type != NULL) {
        json_t *type = json_pack("{s:s%,s:s,s:s,s:I,s:i}", "kind", &(char){(char)c->type->kind}, (size_t)1,
                                 "type_schema", c->type->schema, "type_name", c->type->name, "base",
                                 (json_int_t)c->type->base, "base_modifier", (int)c->type->base_typmod);
        json_object_update(json, type);
        json_decref(type);
    }
    return json;
}

static char *record_of(const struct cap_shape *shape, const char *state, struct err *err)
{
    json_t *columns = json_array();
    for (size_t i = 0; i < shape->column_count; i++)
        json_array_append_new(columns, column_json(&shape->columns[i]));
    bool whole = json_array_size(columns) == shape->column_count;
    json_t *root =
        json_pack("{s:{s:I,s:s,s:s,s:o},s:s}", "table_shape", "oid", (json_int_t)shape->oid, "schema",
                  shape->schema, "table", shape->table, "columns", columns, "state", state);
    if (root != NULL && shape->change != NULL)
        json_object_set_new(root, "change", json_string(shape->change));
    char *text = root != NULL && whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL)
        err_set(err, ERR_DATA, "table=%s.%s: a name is not UTF-8", shape->schema, shape->table);
    return text;
}

static bool column_from(const json_t *json, struct cap_shape_column *ret)
{
    const char *name;
    json_int_t type;
    int typmod, key = 0, added = 0;
    if (json_unpack((json_t *)(uintptr_t)json, "{s:s,s:I,s:i,s?b,s?b}", "name", &name, "type", &type,
                    "modifier", &typmod, "key", &key, "added", &added) != 0)
        return false;
    *ret = (struct cap_shape_column){
        .name = xstrdup(name), .type_oid = (uint32_t)type, .typmod = typmod, .key = key, .added = added};
    const char *kind, *type_schema, *type_name;
    json_int_t base;
    int base_typmod;
    if (json_unpack((json_t *)(uintptr_t)json, "{s:s,s:s,s:s,s:I,s:i}", "kind", &kind, "type_schema",
                    &type_schema, "type_name", &type_name, "base", &base, "base_modifier",
                    &base_typmod) == 0) {
        struct pg_type known = {.oid = ret->type_oid,
                                .schema = type_schema,
                                .name = type_name,
                                .kind = (enum pg_kind)kind[0],
                                .base = (uint32_t)base,
                                .base_typmod = base_typmod};
        ret->type = type_copy(&known);
    }
    return true;
}

/* NULL if it does not parse. */
static struct cap_shape *shape_from(json_t *json, const char *change)
{
    const char *schema, *table;
    json_int_t oid;
    json_t *columns;
    if (json_unpack(json, "{s:I,s:s,s:s,s:o}", "oid", &oid, "schema", &schema, "table", &table, "columns",
                    &columns) != 0 ||
        !json_is_array(columns))
        return NULL;
    struct cap_shape *shape = xcalloc(1, sizeof *shape);
    shape->oid = (uint32_t)oid;
    shape->schema = xstrdup(schema);
    shape->table = xstrdup(table);
    shape->change = change != NULL ? xstrdup(change) : NULL;
    shape->columns = xcalloc(json_array_size(columns) + 1, sizeof *shape->columns);
    for (size_t i = 0; i < json_array_size(columns); i++) {
        if (!column_from(json_array_get(columns, i), &shape->columns[i])) {
            shape_free(shape);
            return NULL;
        }
        shape->column_count = i + 1;
    }
    return shape;
}

static bool take_parsed(struct cap_shapes *shapes, json_t *root)
{
    const char *state = json_string_value(json_object_get(root, "state"));
    json_t *body = json_object_get(root, "table_shape");
    if (state != NULL && strcmp(state, "forgotten") == 0) {
        forget_all(shapes);
        return true;
    }
    struct cap_shape *shape =
        body != NULL ? shape_from(body, json_string_value(json_object_get(root, "change"))) : NULL;
    if (shape == NULL || state == NULL) {
        shape_free(shape);
        return false;
    }
    struct known *k = known_for(shapes, shape->oid);
    if (strcmp(state, "current") == 0) {
        set_current(shapes, shape);
    } else if (strcmp(state, "accepted") == 0) {
        add_accepted(shapes, shape);
    } else {
        shape_free(k->halted);
        k->halted = shape;
    }
    return true;
}

/* shapes NULL: for what is void alone. */
static bool take_record(struct cap_shapes *shapes, struct shape_voids *voids,
                        const struct journal_record *rec, struct err *err)
{
    if (rec->key_len != strlen(record_key) || memcmp(rec->key, record_key, rec->key_len) != 0)
        return true; /* a schema */
    json_t *root = rec->value != NULL ? json_loadb(rec->value, rec->value_len, 0, NULL) : NULL;
    bool ok = root != NULL;
    if (ok && shapes == NULL)
        shape_voids_take(voids, root, rec);
    else if (ok && !shape_voids_is(root) && !shape_voids_has(voids, root, rec))
        ok = take_parsed(shapes, root);
    json_decref(root);
    return ok || err_set(err, ERR_PROTOCOL, "topic=%s offset=%llu is no description of a table's shape",
                         rec->stream, (unsigned long long)rec->offset);
}

static bool read_all(struct cap_shapes *shapes, struct shape_voids *voids, struct journal_reader *jr,
                     const struct journal_range *range, struct err *err)
{
    if (!journal_assign(jr, range, 1, err))
        return false;
    for (;;) {
        struct journal_record rec;
        bool end = false;
        if (!journal_take(jr, JOURNAL_TAKE_MS, &rec, &end, err))
            return err_wrap(err, "schema stream");
        if (end)
            return true;
        if (!take_record(shapes, voids, &rec, err))
            return false;
    }
}

/* A fence has named a place in the stream: one that ends before it is not the answer yet. */
static bool find_bounds(struct journal_reader *jr, uint64_t fenced_next, struct journal_range *range,
                        struct err *err)
{
    bool known = fenced_next != 0 && fenced_next != UINT64_MAX;
    return known ? journal_bounds_around(jr, range->stream, 0, fenced_next, &range->first_offset,
                                         &range->next_offset, err)
                 : journal_bounds(jr, range->stream, 0, &range->first_offset, &range->next_offset, err);
}

bool cap_shapes_read(const struct journal_config *journal, uint64_t fenced_next, struct cap_shapes **ret,
                     bool *ret_unfenced, struct err *err)
{
    struct journal_reader *jr = NULL;
    char *stream CLEANUP(free_ptr) = journal_schema_stream(journal->topic_prefix);
    struct journal_range range = {.stream = stream};
    struct cap_shapes *shapes = cap_shapes_new();
    struct shape_voids voids = {.fenced_next = fenced_next};
    bool ok = journal_reader_open(journal, NULL, &jr, err) && find_bounds(jr, fenced_next, &range, err);
    if (ok && range.first_offset < range.next_offset)
        ok = read_all(NULL, &voids, jr, &range, err) && read_all(shapes, &voids, jr, &range, err);
    journal_reader_close(jr);
    if (ret_unfenced != NULL)
        *ret_unfenced = voids.unfenced;
    shape_voids_release(&voids);
    if (!ok) {
        cap_shapes_free(shapes);
        return err_wrap(err, "shapes of tables");
    }
    *ret = shapes;
    return true;
}

bool cap_shape_append(struct journal_writer *jw, const char *topic_prefix, const char *text, struct err *err)
{
    int id;
    char *stream CLEANUP(free_ptr) = journal_schema_stream(topic_prefix);
    struct journal_record rec = {
        .key = record_key, .key_len = strlen(record_key), .value = text, .value_len = strlen(text)};
    return journal_stream(jw, stream, STREAM_FOREVER, &id, err) && journal_append(jw, id, &rec, err);
}

static bool append_as(struct journal_writer *jw, const char *topic_prefix, const struct cap_shape *shape,
                      const char *state, struct err *err)
{
    char *text CLEANUP(free_ptr) = record_of(shape, state, err);
    return text != NULL && cap_shape_append(jw, topic_prefix, text, err);
}

bool cap_shape_append_accepted(struct journal_writer *jw, const char *topic_prefix,
                               const struct cap_shape *shape, struct err *err)
{
    return append_as(jw, topic_prefix, shape, "accepted", err);
}

/* --- questions --- */

const struct cap_shape *cap_shapes_current(const struct cap_shapes *shapes, uint32_t oid)
{
    const struct known *k = find_known(shapes, oid);
    return k != NULL ? k->current : NULL;
}

const struct cap_shape *cap_shapes_named(const struct cap_shapes *shapes, const char *schema,
                                         const char *table)
{
    const struct known *k = holder_of(shapes, schema, table);
    return k != NULL ? k->current : NULL;
}

bool cap_shapes_is_added(const struct cap_shapes *shapes, const struct source_table *t, const char *column)
{
    return came_later(cap_shapes_current(shapes, t->oid), column);
}

enum cap_shape_news cap_shapes_judge(const struct cap_shapes *shapes, const struct source_table *t)
{
    const struct known *k = find_known(shapes, t->oid);
    if (k != NULL && fits(k->current, t))
        return SHAPE_SAME;
    for (size_t i = 0; k != NULL && i < k->accepted_count; i++) {
        if (fits(k->accepted[i], t))
            return SHAPE_ACCEPTED;
    }
    const struct known *holder = holder_of(shapes, t->schema, t->name);
    if (holder != NULL && holder != k)
        return SHAPE_TAKEN;
    return k != NULL && k->current != NULL ? SHAPE_CHANGED : SHAPE_FIRST;
}

char *cap_shapes_take(struct cap_shapes *shapes, const struct source_table *t, struct pg_type_catalog *types,
                      struct pg_conn *conn, struct err *err)
{
    const struct cap_shape *before = cap_shapes_current(shapes, t->oid);
    struct cap_shape *shape = shape_of(t, before);
    note_types(shape, before, types, conn);
    char *text = record_of(shape, "current", err);
    if (text == NULL)
        shape_free(shape);
    else
        set_current(shapes, shape);
    return text;
}

/* --- halts --- */

bool cap_shape_needs_person(const struct cap_settings *settings, enum cap_shape_news news)
{
    return news == SHAPE_TAKEN || (news == SHAPE_CHANGED && settings->stop_on_ddl);
}

static const char taken_text[] =
    "its name belonged to another table before: what the target has under it are that table's rows";

bool cap_shape_refuse(struct cap_shapes *shapes, const struct source_table *t, enum cap_shape_news news,
                      const char *change, struct err *err)
{
    bool taken = news == SHAPE_TAKEN;
    const char *between = taken && change[0] != '\0' ? "; " : "";
    shape_free(shapes->halt);
    shapes->halt = shape_of(t, cap_shapes_current(shapes, t->oid));
    shapes->halt->change = xasprintf("%s%s%s", taken ? taken_text : "", between, change);
    if (taken)
        return err_set(
            err, ERR_SCHEMA,
            "table=%s.%s is another table now: %s%s%s. Nothing of it was written. When apply has caught up: "
            "do the same renames on the target (or fill its table anew), then `crossfade capture accept-ddl "
            "--table %s.%s`, and start capture again",
            t->schema, t->name, taken_text, between, change, t->schema, t->name);
    return err_set(
        err, ERR_SCHEMA,
        "table=%s.%s has changed its shape (capture.on_ddl: stop): %s. Nothing of the new shape was written. "
        "Change the target as well, then `crossfade capture accept-ddl --table %s.%s`, and start capture "
        "again",
        t->schema, t->name, change, t->schema, t->name);
}

bool cap_shapes_has_halted(const struct cap_shapes *shapes)
{
    return shapes->halt != NULL;
}

static bool is_written(const struct cap_shapes *shapes)
{
    struct err ignored = ERR_INIT;
    const struct known *k = find_known(shapes, shapes->halt->oid);
    if (k == NULL || k->halted == NULL)
        return false;
    char *ours CLEANUP(free_ptr) = record_of(shapes->halt, "halted", &ignored);
    char *there CLEANUP(free_ptr) = record_of(k->halted, "halted", &ignored);
    return ours != NULL && there != NULL && strcmp(ours, there) == 0;
}

bool cap_shapes_write_halt(const struct cap_shapes *shapes, const struct journal_config *journal,
                           struct err *err)
{
    struct journal_writer *jw = NULL;
    if (is_written(shapes))
        return true;
    bool ok = failpoint("capture.ddl_halt", err) && journal_writer_open(journal, &jw, err) &&
              append_as(jw, journal->topic_prefix, shapes->halt, "halted", err) && journal_commit(jw, err);
    journal_writer_close(jw);
    return ok || err_wrap(err, "noting the change of table=%s.%s", shapes->halt->schema, shapes->halt->table);
}

void cap_shapes_waiting(const struct cap_shapes *shapes,
                        void (*each)(void *ctx, const struct cap_shape *shape), void *ctx)
{
    for (size_t b = 0; b < BUCKETS; b++) {
        for (const struct known *k = shapes->by_oid[b]; k != NULL; k = k->next) {
            if (k->halted != NULL)
                each(ctx, k->halted);
        }
    }
}
