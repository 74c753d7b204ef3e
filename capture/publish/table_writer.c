/* Owns: the way of a row from the server's bytes into a record. See table_writer.h. */
#include "capture/publish/table_writer.h"

#include <stdlib.h>
#include <string.h>

#include "capture/filters/filters.h"
#include "core/alloc.h"
#include "journal/journal_settings.h"

static bool plan_mask(struct cap_table_writer *tw, const struct cap_settings *settings,
                      const struct source_table *t, size_t column, struct pg_type_catalog *types,
                      struct pg_conn *side, struct err *err)
{
    const struct source_column *c = &t->columns[column];
    const struct mask_rule *rule = table_rules_mask(settings->rules, t->schema, t->name, c->name);
    return rule == NULL || cap_mask_plan(rule, table_rules_salt(settings->rules), c, &tw->readers[column],
                                         types, side, &tw->masks[column], err);
}

static bool plan_fields(struct cap_table_writer *tw, const struct source_table *t,
                        const struct cap_settings *settings, struct pg_type_catalog *types,
                        struct pg_conn *side, struct err *err)
{
    struct table_schema *schema = tw->schema;
    for (size_t i = 0; i < t->column_count; i++) {
        const struct source_column *c = &t->columns[i];
        bool key = false;
        for (size_t k = 0; k < t->key_count; k++)
            key = key || t->key[k] == i;
        if (!pg_reader_plan_profile(&settings->profile, types, side, c->type_oid, c->typmod, &tw->readers[i],
                                    err) ||
            !plan_mask(tw, settings, t, i, types, side, err))
            return err_wrap(err, "column=%s", c->name);
        bool optional = (!c->not_null && !key) || tw->masks[i].kind == MASK_NULL;
        pg_reader_field(&tw->readers[i], table_rules_rename(settings->rules, t->schema, t->name, c->name),
                        optional, key, &schema->fields[i]);
        schema->field_count = i + 1;
    }
    return true;
}

static void plan_key(struct table_schema *schema, const struct source_table *t)
{
    schema->key_fields = xcalloc(t->key_count + 1, sizeof *schema->key_fields);
    for (size_t i = 0; i < t->key_count; i++)
        schema->key_fields[i] = t->key[i];
    schema->key_count = t->key_count;
}

static bool register_schema(struct cap_table_writer *tw, const struct cap_settings *settings,
                            struct cap_publisher *pub, struct err *err)
{
    char *key_json CLEANUP(free_ptr) = NULL;
    char *value_json CLEANUP(free_ptr) = NULL;
    struct cap_stream_ids ids = {0};
    if (!tw->codec->schema_texts(tw->schema, &key_json, &value_json, err) ||
        !cap_publisher_register(pub, tw->schema->topic, tw->schema->shared_id, key_json, value_json, &ids,
                                err))
        return false;
    tw->stream = ids.stream;
    tw->table = tally_table(settings->tally, tw->schema->schema, tw->schema->table);
    tw->schema->key_schema_id = ids.key_schema_id;
    tw->schema->value_schema_id = ids.value_schema_id;
    if (strcmp(tw->codec->name, "json") == 0) /* Avro carries the id in its framing */
        tw->header_schema_id = ids.value_schema_id;
    return true;
}

bool cap_table_writer_open(const struct cap_session *s, const struct source_table *t,
                           struct pg_type_catalog *types, struct pg_conn *side, struct cap_publisher *pub,
                           struct cap_table_writer **ret, struct err *err)
{
    struct cap_table_writer *tw = xcalloc(1, sizeof *tw);
    tw->codec = s->settings->codec;
    tw->schema = xcalloc(1, sizeof *tw->schema);
    bool shared = false;
    char *own CLEANUP(free_ptr) = topic_name(s->settings->topic_prefix, t->schema, t->name);
    tw->schema->topic = cap_filters_topic(s->settings->rules, s->settings->routing, s->settings->topic_prefix,
                                          t->schema, t->name, &shared);
    tw->schema->name_space = topic_name_space(own);
    tw->schema->shared_id = shared ? xstrdup(own) : NULL;
    tw->schema->schema = xstrdup(t->schema);
    tw->schema->table = xstrdup(t->name);
    tw->schema->lean = s->settings->lean;
    tw->schema->fields = xcalloc(t->column_count + 1, sizeof *tw->schema->fields);
    tw->readers = xcalloc(t->column_count + 1, sizeof *tw->readers);
    tw->masks = xcalloc(t->column_count + 1, sizeof *tw->masks);
    tw->before = xcalloc(t->column_count + 1, sizeof *tw->before);
    tw->after = xcalloc(t->column_count + 1, sizeof *tw->after);
    strbuf_init(&tw->scratch, CAP_MESSAGE_BYTES_MAX);
    plan_key(tw->schema, t);
    if (!plan_fields(tw, t, s->settings, types, side, err) ||
        (pub != NULL && (!register_schema(tw, s->settings, pub, err) ||
                         !tw->codec->encoder_open(tw->schema, &tw->encoder, err)))) {
        cap_table_writer_free(tw);
        return err_wrap(err, "table=%s.%s", t->schema, t->name);
    }
    *ret = tw;
    return true;
}

bool cap_table_writer_of(const struct cap_settings *settings, struct table_schema *schema,
                         struct cap_publisher *pub, struct cap_table_writer **ret, struct err *err)
{
    struct cap_table_writer *tw = xcalloc(1, sizeof *tw);
    tw->codec = settings->codec;
    tw->schema = schema;
    tw->schema->lean = settings->lean;
    tw->masks = xcalloc(schema->field_count + 1, sizeof *tw->masks);
    strbuf_init(&tw->scratch, CAP_MESSAGE_BYTES_MAX);
    if (!register_schema(tw, settings, pub, err) || !tw->codec->encoder_open(tw->schema, &tw->encoder, err)) {
        err_wrap(err, "table=%s.%s", schema->schema, schema->table);
        cap_table_writer_free(tw);
        return false;
    }
    *ret = tw;
    return true;
}

void cap_table_writer_free(struct cap_table_writer *tw)
{
    if (tw == NULL)
        return;
    if (tw->encoder != NULL)
        tw->codec->encoder_close(tw->encoder);
    strbuf_release(&tw->scratch);
    free(tw->before);
    free(tw->after);
    for (size_t i = 0; i < tw->schema->field_count; i++)
        cap_mask_release(&tw->masks[i]);
    free(tw->masks);
    free(tw->readers);
    table_schema_free(tw->schema);
    free(tw);
}

bool cap_table_writer_read(struct cap_table_writer *tw, const struct pgoutput_value *values, size_t count,
                           struct arena *arena, struct datum *out, struct err *err)
{
    if (count != tw->schema->field_count)
        return err_set(err, ERR_PROTOCOL, "a row has %zu columns, its table %zu", count,
                       tw->schema->field_count);
    for (size_t i = 0; i < count; i++) {
        const struct pgoutput_value *v = &values[i];
        out[i].state = DATUM_NULL;
        if (v->kind == PGOUTPUT_UNCHANGED) {
            out[i].state = DATUM_UNAVAILABLE;
        } else if (v->kind != PGOUTPUT_NULL) {
            bool is_text = v->kind == PGOUTPUT_TEXT || tw->readers[i].as_text;
            out[i].state = DATUM_VALUE;
            bool ok = tw->masks[i].kind != MASK_NONE
                          ? cap_mask_value(&tw->masks[i], &tw->readers[i], v->p, v->len, arena, &out[i], err)
                          : pg_read_value(&tw->readers[i], v->p, v->len, is_text, arena, &out[i], err);
            if (!ok)
                return err_wrap(err, "column=%s", tw->schema->fields[i].name);
        }
    }
    return true;
}

int cap_table_writer_null_field(const struct cap_table_writer *tw, const struct datum *row)
{
    const struct table_schema *schema = tw->schema;
    for (size_t i = 0; i < schema->field_count; i++) {
        if (row[i].state == DATUM_NULL && !schema->fields[i].optional)
            return (int)i;
    }
    return -1;
}

static bool in_range(const struct strbuf *sb, size_t from, struct err *err)
{
    if (!strbuf_ok(sb, "batch of records", err))
        return false;
    return sb->len < CAP_NONE ||
           err_set(err, ERR_NO_MEMORY, "record of %zu bytes is too large", sb->len - from);
}

static bool put_key(struct cap_table_writer *tw, struct cap_batch *batch, const struct datum *row,
                    bool is_header, uint32_t *ret_at, uint32_t *ret_len, struct err *err)
{
    size_t at = batch->bytes.len;
    if (row == NULL || tw->schema->key_count == 0)
        return true;
    bool ok = is_header ? tw->codec->encode_header_key(tw->encoder, row, &batch->bytes, err)
                        : tw->codec->encode_key(tw->encoder, row, &batch->bytes, err);
    if (!ok || !in_range(&batch->bytes, at, err))
        return err_wrap(err, "key");
    *ret_at = (uint32_t)at;
    *ret_len = (uint32_t)(batch->bytes.len - at);
    return true;
}

static bool put_record(struct cap_table_writer *tw, struct cap_batch *batch, const struct change *chg,
                       const struct datum *key_row, enum cap_header header, const struct datum *header_row,
                       struct err *err)
{
    struct cap_record *rec = cap_batch_add(batch, tw->stream);
    rec->header = header;
    rec->schema_id = chg != NULL ? tw->header_schema_id : 0;
    rec->table = tw->table;
    rec->kind = chg != NULL ? tally_kind_of((char)chg->op) : TALLY_COPY;
    if (!put_key(tw, batch, key_row, false, &rec->key_at, &rec->key_len, err))
        return false;
    if (header != CAP_HEADER_NONE &&
        !put_key(tw, batch, header_row, true, &rec->header_at, &rec->header_len, err))
        return false;
    if (chg == NULL)
        return true;
    size_t at = batch->bytes.len;
    if (!tw->codec->encode_value(tw->encoder, chg, &batch->bytes, err) || !in_range(&batch->bytes, at, err))
        return false;
    rec->value_at = (uint32_t)at;
    rec->value_len = (uint32_t)(batch->bytes.len - at);
    batch->changes++;
    return true;
}

bool cap_table_writer_put(struct cap_table_writer *tw, struct cap_batch *batch, const struct change *chg,
                          const struct datum *key_row, enum cap_header header, const struct datum *header_row,
                          struct err *err)
{
    return put_record(tw, batch, chg, key_row, header, header_row, err);
}

bool cap_table_writer_tombstone(struct cap_table_writer *tw, struct cap_batch *batch,
                                const struct datum *key_row, enum cap_header header,
                                const struct datum *header_row, struct err *err)
{
    if (tw->schema->key_count == 0) /* nothing to name */
        return true;
    return put_record(tw, batch, NULL, key_row, header, header_row, err);
}

bool cap_table_writer_same_key(struct cap_table_writer *tw, const struct datum *a, const struct datum *b,
                               bool *ret_same, struct err *err)
{
    *ret_same = true;
    if (tw->schema->key_count == 0)
        return true;
    strbuf_clear(&tw->scratch);
    if (!tw->codec->encode_header_key(tw->encoder, a, &tw->scratch, err))
        return err_wrap(err, "key");
    size_t len = tw->scratch.len;
    if (!tw->codec->encode_header_key(tw->encoder, b, &tw->scratch, err) ||
        !strbuf_ok(&tw->scratch, "key", err))
        return err_wrap(err, "key");
    *ret_same = tw->scratch.len == 2 * len && memcmp(tw->scratch.data, tw->scratch.data + len, len) == 0;
    return true;
}
