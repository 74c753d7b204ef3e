/* Owns: decoding records that Debezium's connectors wrote: schemas, tables, events. See foreign.h. */
#include "change/foreign.h"

#include <endian.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "change/avro_schema.h"
#include "change/codec_avro.h"
#include "change/codec_json.h"
#include "change/foreign_internal.h"
#include "change/foreign_missing.h"
#include "change/foreign_table.h"
#include "change/json_read.h"
#include "change/json_schema.h"
#include "core/alloc.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

/* Each is kept until the decoder closes. */
#define SCHEMAS_MAX 50000

struct schema_slot {
    struct foreign_schema schema;
    UT_hash_handle hh;
};

/* A table under one value schema: a topic may hold several, and the key may change without the row. */
struct variant {
    const struct foreign_schema *key;
    char *schema, *table, *collection; /* as the source names them */
    struct table_schema *made;
    struct variant *next;
};

struct foreign_shape {
    char *name; /* "topic value-schema": the hash key */
    struct shape shape;
    const char **wire_names;
    struct variant *variants;
    UT_hash_handle hh;
};

struct foreign_decoder {
    struct foreign_options options;
    struct schema_slot *schemas;
    struct foreign_shape *shapes, *last;
    const struct foreign_schema *last_schema;
    struct missing_forms *missing;
    char *connector, *server; /* hardly ever change */
};

struct foreign_decoder *foreign_decoder_open(const struct foreign_options *options)
{
    struct foreign_decoder *fd = xcalloc(1, sizeof *fd);
    fd->options = *options;
    fd->missing = missing_forms_new(options->placeholder);
    return fd;
}

static void schema_slot_free(struct schema_slot *slot)
{
    for (size_t i = 0; i < slot->schema.field_count; i++)
        free(slot->schema.fields[i]);
    free(slot->schema.fields);
    free(slot->schema.text);
    foreign_meta_free(slot->schema.meta);
    free(slot);
}

static void shape_free(struct foreign_decoder *fd, struct foreign_shape *fs)
{
    for (struct variant *v = fs->variants, *next; v != NULL; v = next) {
        next = v->next;
        free(v->schema);
        free(v->table);
        free(v->collection);
        table_schema_free(v->made);
        free(v);
    }
    if (fs->shape.plan != NULL)
        (fd->options.avro ? avro_plan_free : json_plan_free)(fs->shape.plan);
    table_schema_free(fs->shape.table);
    free(fs->wire_names);
    free(fs->name);
    free(fs);
}

void foreign_decoder_close(struct foreign_decoder *fd)
{
    if (fd == NULL)
        return;
    struct schema_slot *slot, *next_slot;
    struct foreign_shape *fs, *next_shape;
    HASH_ITER(hh, fd->schemas, slot, next_slot)
    {
        HASH_DEL(fd->schemas, slot);
        schema_slot_free(slot);
    }
    HASH_ITER(hh, fd->shapes, fs, next_shape)
    {
        HASH_DEL(fd->shapes, fs);
        shape_free(fd, fs);
    }
    missing_forms_free(fd->missing);
    free(fd->connector);
    free(fd->server);
    free(fd);
}

/* --- schemas --- */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* What a value is, by the name of its schema. */
static enum foreign_kind kind_of(const char *name)
{
    static const char *const beside[] = {"io.debezium.connector.common.Heartbeat", ".SchemaChangeValue",
                                         ".MessageValue"};
    if (name == NULL)
        return FOREIGN_UNKNOWN;
    if (ends_with(name, ".Envelope"))
        return FOREIGN_CHANGE;
    if (ends_with(name, ".TransactionMetadataValue"))
        return FOREIGN_END;
    for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
        if (ends_with(name, beside[i]))
            return FOREIGN_BESIDE;
    }
    return FOREIGN_UNKNOWN;
}

/* "namespace.name" of an Avro record, or its Connect name. malloc'd; NULL: none. */
static char *name_of(const json_t *root, bool avro)
{
    const char *name = json_string_value(json_object_get(root, avro ? "connect.name" : "name"));
    const char *plain = json_string_value(json_object_get(root, "name"));
    const char *space = json_string_value(json_object_get(root, "namespace"));
    if (name != NULL || plain == NULL)
        return name != NULL ? xstrdup(name) : NULL;
    return xasprintf("%s.%s", space != NULL ? space : "", plain);
}

static bool read_schema(struct foreign_decoder *fd, struct foreign_schema *s, struct err *err)
{
    json_error_t why;
    const char *member = fd->options.avro ? "name" : "field";
    json_auto_t *root = json_loadb(s->text, s->len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (root == NULL)
        return err_set(err, ERR_PROTOCOL, "schema is no JSON: line %d: %s", why.line, why.text);
    const json_t *fields = json_object_get(root, "fields"), *field;
    char *name CLEANUP(free_ptr) = name_of(root, fd->options.avro);
    s->kind = kind_of(name);
    s->fields = xcalloc(json_array_size(fields) + 1, sizeof *s->fields);
    size_t i;
    json_array_foreach(fields, i, field)
    {
        const char *text = json_string_value(json_object_get(field, member));
        if (text == NULL)
            return err_set(err, ERR_PROTOCOL, "schema: field %zu has no name", i + 1);
        s->fields[s->field_count++] = xstrdup(text);
    }
    return true;
}

static bool add_schema(struct foreign_decoder *fd, const void *key, size_t key_len, const char *text,
                       size_t len, struct foreign_schema **ret, struct err *err)
{
    if (HASH_COUNT(fd->schemas) >= SCHEMAS_MAX)
        return err_set(err, ERR_NO_MEMORY, "more than %d schemas in these topics: start again", SCHEMAS_MAX);
    struct schema_slot *slot = xcalloc(1, sizeof *slot);
    slot->schema.text = xstrndup(text, len);
    slot->schema.len = len;
    if (fd->options.avro)
        memcpy(&slot->schema.id, key, sizeof slot->schema.id);
    if (!read_schema(fd, &slot->schema, err)) {
        schema_slot_free(slot);
        return false;
    }
    if (fd->options.avro)
        HASH_ADD(hh, fd->schemas, schema.id, sizeof slot->schema.id, slot);
    else
        HASH_ADD_KEYPTR(hh, fd->schemas, slot->schema.text, key_len, slot);
    *ret = &slot->schema;
    return true;
}

/* JSON: the text is the schema's identity. */
static bool json_schema(struct foreign_decoder *fd, const char *text, size_t len, struct foreign_schema **ret,
                        struct err *err)
{
    struct schema_slot *slot;
    HASH_FIND(hh, fd->schemas, text, len, slot);
    if (slot != NULL) {
        *ret = &slot->schema;
        return true;
    }
    return add_schema(fd, text, len, text, len, ret, err);
}

static bool avro_schema(struct foreign_decoder *fd, uint32_t id, struct foreign_schema **ret, struct err *err)
{
    struct schema_slot *slot;
    const char *text;
    HASH_FIND(hh, fd->schemas, &id, sizeof id, slot);
    if (slot != NULL) {
        *ret = &slot->schema;
        return true;
    }
    return fd->options.source.lookup(fd->options.source.ctx, id, &text, err) &&
           add_schema(fd, &id, sizeof id, text, strlen(text), ret, err);
}

/* {"schema":…,"payload":…} in two. */
static bool split(const void *text, size_t len, struct arena *arena, struct span *ret_schema,
                  struct span *ret_payload)
{
    struct json_reader jr;
    const char *name;
    size_t name_len;
    bool first = true;
    *ret_schema = *ret_payload = (struct span){0};
    json_reader_init(&jr, text, len, arena);
    json_open(&jr, '{');
    while (json_member(&jr, &first, &name, &name_len)) {
        const char *start = jr.p;
        struct span *part = name_len == 6 && memcmp(name, "schema", 6) == 0    ? ret_schema
                            : name_len == 7 && memcmp(name, "payload", 7) == 0 ? ret_payload
                                                                               : NULL;
        json_skip(&jr);
        if (part != NULL)
            *part = (struct span){.p = start, .len = (size_t)(jr.p - start)};
    }
    json_end(&jr);
    return jr.failed == NULL && ret_schema->p != NULL && ret_payload->p != NULL;
}

/* The schema of a key or value, and what it describes. */
static bool open_part(struct foreign_decoder *fd, const char *what, const void *bytes, size_t len,
                      struct arena *arena, struct foreign_schema **ret, struct span *ret_body,
                      struct err *err)
{
    const unsigned char *p = bytes;
    struct span schema;
    if (fd->options.avro) {
        uint32_t id;
        if (len < AVRO_FRAME_BYTES || p[0] != 0)
            return err_set(err, ERR_PROTOCOL,
                           "the %s has no Confluent frame (zero byte, schema id): is it Avro, written with a "
                           "Confluent-compatible converter?",
                           what);
        memcpy(&id, p + 1, sizeof id);
        *ret_body = (struct span){(const char *)p + AVRO_FRAME_BYTES, len - AVRO_FRAME_BYTES};
        return avro_schema(fd, be32toh(id), ret, err);
    }
    if (!split(bytes, len, arena, &schema, ret_body))
        return err_set(
            err, ERR_PROTOCOL,
            "the %s is not {\"schema\":…,\"payload\":…}: another producer's record, or a converter "
            "with schemas.enable=false: set %s.converter.schemas.enable=true",
            what, what);
    return json_schema(fd, schema.p, schema.len, ret, err);
}

/* --- tables --- */

static bool span_is(struct span s, const char *text)
{
    return s.p != NULL && s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

static void name_columns(struct foreign_decoder *fd, struct foreign_shape *fs)
{
    size_t count = fs->shape.table->field_count;
    fs->wire_names = xcalloc(count + 1, sizeof *fs->wire_names);
    for (size_t i = 0; i < count; i++)
        fs->wire_names[i] = fd->options.avro ? avro_plan_column(fs->shape.plan, i)
                                             : ((struct json_plan *)fs->shape.plan)->columns[i].name;
}

static bool find_shape(struct foreign_decoder *fd, const char *topic, const struct foreign_schema *value,
                       struct foreign_shape **ret, struct err *err)
{
    if (fd->last != NULL && fd->last_schema == value && strcmp(fd->last->shape.table->topic, topic) == 0) {
        *ret = fd->last;
        return true;
    }
    char *name CLEANUP(free_ptr) = xasprintf("%s %p", topic, (const void *)value);
    struct foreign_shape *fs;
    HASH_FIND_STR(fd->shapes, name, fs);
    if (fs == NULL) {
        fs = xcalloc(1, sizeof *fs);
        if (!(fd->options.avro ? avro_shape_parse : json_shape_parse)(topic, value->text, &fs->shape, err)) {
            shape_free(fd, fs);
            return false;
        }
        fs->shape.id = value->id;
        fs->shape.table->version = HASH_COUNT(fd->shapes) + 1;
        fs->name = xstrdup(name);
        name_columns(fd, fs);
        HASH_ADD_KEYPTR(hh, fd->shapes, fs->name, strlen(fs->name), fs);
    }
    fd->last = fs;
    fd->last_schema = value;
    *ret = fs;
    return true;
}

static struct variant *find_variant(struct foreign_shape *fs, const struct foreign_schema *key,
                                    struct span schema, struct span table, bool any_key)
{
    struct variant *v = fs->variants;
    while (v != NULL &&
           ((!any_key && v->key != key) || !span_is(schema, v->schema) || !span_is(table, v->table)))
        v = v->next;
    return v;
}

static bool make_variant(struct foreign_decoder *fd, struct foreign_shape *fs,
                         const struct foreign_schema *key, bool mysql, struct span schema, struct span table,
                         struct variant **ret, struct err *err)
{
    struct variant *v = xcalloc(1, sizeof *v);
    char *as_schema = NULL, *as_table = NULL;
    *v = (struct variant){
        .key = key, .schema = xstrndup(schema.p, schema.len), .table = xstrndup(table.p, table.len)};
    v->collection = xasprintf("%s.%s", v->schema, v->table);
    if (fd->options.rename != NULL)
        fd->options.rename(fd->options.rename_ctx, v->schema, v->table, &as_schema, &as_table);
    v->made = foreign_table_make(fs->shape.table, fs->wire_names, key, mysql,
                                 as_schema != NULL ? as_schema : xstrdup(v->schema),
                                 as_table != NULL ? as_table : xstrdup(v->table), err);
    v->next = fs->variants;
    fs->variants = v;
    *ret = v;
    if (v->made != NULL)
        return true;
    fs->variants = v->next;
    free(v->schema);
    free(v->table);
    free(v->collection);
    free(v);
    return false;
}

/* --- changes --- */

static bool bad(struct err *err, const char *why)
{
    return err_set(err, ERR_PROTOCOL, "record does not parse: %s", why);
}

/* The number that a binlog file's name ends in, and the place in it. */
static bool binlog_place(const struct raw_envelope *raw, uint64_t *ret)
{
    uint64_t file = 0;
    const char *p = raw->file.p, *end = p != NULL ? p + raw->file.len : NULL;
    const char *dot = p != NULL ? memrchr(p, '.', raw->file.len) : NULL;
    for (p = dot != NULL ? dot + 1 : end; p < end && *p >= '0' && *p <= '9' && file < (1 << 23); p++)
        file = file * 10 + (uint64_t)(*p - '0');
    *ret = file << 40 | (uint64_t)raw->pos;
    return dot != NULL && p == end && raw->pos >= 0 && raw->pos < INT64_C(1) << 40 && file < 1 << 23;
}

/* See foreign.h. */
static bool place_of(const struct raw_envelope *raw, bool mysql, struct change *chg, struct err *err)
{
    bool read = chg->op == CHANGE_READ;
    if (mysql) {
        bool placed = binlog_place(raw, &chg->source.commit_lsn);
        chg->source.lsn = chg->source.commit_lsn;
        chg->total_order = read ? 0 : (uint64_t)raw->row + 1;
        return placed || read || bad(err, "source.file or source.pos is missing or unknown");
    }
    chg->source.lsn = (lsn_t)raw->lsn;
    if (raw->sequence.p != NULL && !envelope_parse_sequence(raw->sequence, &chg->source.commit_lsn))
        return bad(err, "source.sequence is malformed");
    if (chg->source.commit_lsn == 0) /* in a snapshot, and in the first transaction behind it */
        chg->source.commit_lsn = chg->source.lsn;
    chg->total_order = read ? 0 : (uint64_t)raw->lsn;
    return true;
}

/* Which transaction it is of, as the row's source says and as `transaction` does. */
static void tell_transaction(const struct raw_envelope *raw, bool mysql, struct foreign_event *ret)
{
    bool rises;
    ret->binlog = mysql;
    ret->source_transaction = mysql ? 0 : (uint64_t)raw->xid;
    ret->server_id = mysql && raw->server_id > 0 ? (uint64_t)raw->server_id : 0;
    if (mysql && raw->gtid.p != NULL && raw->gtid.len > 0) {
        ret->source_transaction = foreign_hash(raw->gtid);
        if (!foreign_gtid(raw->gtid, &ret->gtid_domain, &ret->gtid_order))
            ret->gtid_domain = ret->gtid_order = 0;
    }
    if (!raw->has_transaction || raw->transaction_id.p == NULL)
        return;
    ret->transaction = foreign_transaction(raw->transaction_id);
    ret->ordinal = raw->total_order > 0 ? (uint64_t)raw->total_order : 0;
    ret->alone = mysql && ret->change.op == CHANGE_TRUNCATE &&
                 foreign_order(raw->transaction_id, &ret->domain, &ret->order, &rises);
}

static bool keep(char **kept, struct span s, struct arena *arena, const char **ret)
{
    if (*kept == NULL)
        *kept = xstrndup(s.p, s.len);
    *ret = span_is(s, *kept) ? *kept : arena_copy(arena, s.p, s.len);
    return *ret != NULL;
}

static bool times_of(const struct raw_envelope *raw, struct change *chg, struct err *err)
{
    int64_t us = raw->source_us, seen = raw->envelope_us;
    if ((!raw->has_source_us && __builtin_mul_overflow(raw->source_ms, 1000, &us)) ||
        (!raw->has_envelope_us && __builtin_mul_overflow(raw->envelope_ms, 1000, &seen)))
        return bad(err, "ts_ms out of range");
    chg->source.commit_time_us = us;
    chg->captured_us = seen;
    return true;
}

static bool judge(struct foreign_decoder *fd, const struct raw_envelope *raw, bool mysql, struct arena *arena,
                  struct foreign_event *ret, struct err *err)
{
    struct change *chg = &ret->change;
    *chg = (struct change){.before = raw->before, .after = raw->after};
    if (raw->op.p == NULL || raw->op.len != 1)
        return bad(err, "op is missing or unknown");
    chg->op = (enum change_op)raw->op.p[0];
    if (!envelope_images_fit(chg->op, raw->before != NULL, raw->after != NULL))
        return bad(err, "op is unknown or its images do not fit");
    if (!envelope_parse_snapshot(raw->snapshot, &chg->source.snapshot))
        return bad(err, "source.snapshot is unknown");
    ret->incremental = span_is(raw->snapshot, "incremental");
    ret->first_of_table =
        span_is(raw->snapshot, "first") || span_is(raw->snapshot, "first_in_data_collection");
    ret->last_of_table = span_is(raw->snapshot, "last") || span_is(raw->snapshot, "last_in_data_collection");
    if (!place_of(raw, mysql, chg, err) || !times_of(raw, chg, err))
        return false;
    if (!keep(&fd->server, raw->server, arena, &ret->server) ||
        !keep(&fd->connector, raw->connector, arena, &ret->connector))
        return err_set(err, ERR_NO_MEMORY, "the record does not fit into memory");
    chg->source.server = chg->source.database = ret->server;
    tell_transaction(raw, mysql, ret);
    return true;
}

static bool is_mysql(const struct raw_envelope *raw)
{
    return span_is(raw->connector, "mariadb") || span_is(raw->connector, "mysql");
}

static bool take_keys(const struct foreign_record *rec, struct arena *arena, struct foreign_event *ret,
                      struct err *err)
{
    const struct change *chg = &ret->change;
    const struct datum *image = chg->op == CHANGE_DELETE ? chg->before : chg->after;
    if (chg->schema->key_count == 0 || image == NULL)
        return true;
    ret->key = foreign_key_of_row(chg->schema, image, arena, &ret->key_len, err);
    if (ret->key == NULL)
        return false;
    bool leaves = chg->op == CHANGE_DELETE && rec->new_key != NULL;
    bool comes = chg->op == CHANGE_INSERT && rec->old_key != NULL;
    ret->half = leaves || comes;
    if (leaves)
        ret->other_key =
            foreign_key_of_header(chg->schema, rec->new_key, rec->new_key_len, arena, &ret->other_key_len);
    if (comes)
        ret->other_key =
            foreign_key_of_header(chg->schema, rec->old_key, rec->old_key_len, arena, &ret->other_key_len);
    for (size_t i = 0; comes && ret->other_key == NULL && i < chg->schema->field_count; i++) {
        if (image[i].state == DATUM_UNAVAILABLE)
            return err_set(
                err, ERR_DATA,
                "table=%s.%s column=%s: the key was changed, this value was not sent, and the header "
                "__debezium.oldkey does not tell where it is: set REPLICA IDENTITY FULL on the source, or "
                "header.converter to JsonConverter",
                chg->schema->schema, chg->schema->table, chg->schema->fields[i].name);
    }
    return true;
}

static bool take_change(struct foreign_decoder *fd, const struct foreign_record *rec,
                        const struct foreign_schema *value, struct span body, struct arena *arena,
                        struct foreign_event *ret, struct err *err)
{
    struct foreign_shape *fs;
    struct foreign_schema *key = NULL;
    struct raw_envelope raw;
    struct span ignored;
    if (rec->key != NULL && !open_part(fd, "key", rec->key, rec->key_len, arena, &key, &ignored, err))
        return false;
    if (!find_shape(fd, rec->topic, value, &fs, err))
        return false;
    if (!(fd->options.avro ? avro_decode_raw : json_decode_raw)(&fs->shape, body.p, body.len, arena, &raw,
                                                                err))
        return false;
    bool mysql = is_mysql(&raw);
    struct span schema = mysql ? raw.database : raw.schema;
    if (!mysql && !span_is(raw.connector, "postgresql"))
        return err_set(
            err, ERR_UNSUPPORTED,
            "a record of Debezium's connector \"%.*s\": those for PostgreSQL, MariaDB and MySQL are read",
            (int)(raw.connector.p != NULL ? raw.connector.len : 0),
            raw.connector.p != NULL ? raw.connector.p : "");
    if (!raw.has_source || raw.server.p == NULL || schema.p == NULL || raw.table.p == NULL)
        return bad(err, "source is missing or not complete");
    if (!judge(fd, &raw, mysql, arena, ret, err))
        return false;
    bool keyless = ret->change.op == CHANGE_TRUNCATE; /* its key is null, whatever the table's is */
    struct variant *v = find_variant(fs, key, schema, raw.table, keyless);
    if (v == NULL && !make_variant(fd, fs, key, mysql, schema, raw.table, &v, err))
        return false;
    ret->change.schema = v->made;
    ret->collection = v->collection;
    if (!mysql) { /* whose rows are whole */
        missing_forms_mark(fd->missing, v->made, raw.before);
        missing_forms_mark(fd->missing, v->made, raw.after);
    }
    return take_keys(rec, arena, ret, err);
}

bool foreign_decode(struct foreign_decoder *fd, const struct foreign_record *rec, struct arena *arena,
                    struct foreign_event *ret, struct err *err)
{
    struct foreign_schema *value;
    struct span body;
    *ret = (struct foreign_event){.kind = FOREIGN_BESIDE};
    if (rec->value == NULL)
        return true;
    if (!open_part(fd, "value", rec->value, rec->value_len, arena, &value, &body, err))
        return false;
    switch (value->kind) {
    case FOREIGN_BESIDE:
        return true;
    case FOREIGN_CHANGE:
        ret->kind = FOREIGN_CHANGE;
        return take_change(fd, rec, value, body, arena, ret, err);
    case FOREIGN_BEGIN:
    case FOREIGN_END:
        return fd->options.avro ? foreign_meta_avro(value, body.p, body.len, arena, ret, err)
                                : foreign_meta_json(body.p, body.len, arena, ret, err);
    case FOREIGN_UNKNOWN:
        break;
    }
    return err_set(
        err, ERR_PROTOCOL,
        "the value is no envelope of Debezium (before, after, source, op): another producer writes to this "
        "topic, or a transformation unwraps records");
}
