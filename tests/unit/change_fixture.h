/* For the change_* tests: tables from a short list of columns, an in-memory schema store, equality of
 * changes. */
#ifndef CHANGE_FIXTURE_H
#define CHANGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/codec.h"
#include "core/alloc.h"

struct column_spec {
    const char *name;
    enum phys phys;
    bool optional;
    int key; /* place in the key, from 1; 0 = none */
    const char *semantic;
    const char *source_type;
    int32_t length, scale;
};

static UNUSED struct table_schema *make_table(const char *schema, const char *table,
                                              const struct column_spec *columns, size_t count)
{
    struct table_schema *t = xcalloc(1, sizeof *t);
    t->topic = topic_name("shop", schema, table);
    t->name_space = xstrdup(t->topic);
    for (char *p = t->name_space; *p != '\0'; p++) {
        if (*p == '-')
            *p = '_';
    }
    t->schema = xstrdup(schema);
    t->table = xstrdup(table);
    t->fields = xcalloc(count + 1, sizeof *t->fields);
    t->key_fields = xcalloc(count + 1, sizeof *t->key_fields);
    t->field_count = count;
    t->key_schema_id = 7;
    t->value_schema_id = 8;
    t->version = 1;
    for (size_t i = 0; i < count; i++) {
        const struct column_spec *c = &columns[i];
        t->fields[i] =
            (struct field){.name = xstrdup(c->name),
                           .phys = c->phys,
                           .semantic = c->semantic != NULL ? xstrdup(c->semantic) : NULL,
                           .optional = c->optional,
                           .key = c->key != 0,
                           .source_type = xstrdup(c->source_type != NULL ? c->source_type : "TEXT"),
                           .source_length = c->length != 0 ? c->length : -1,
                           .source_scale = c->scale != 0 ? c->scale : -1};
        if (c->key != 0) {
            t->key_fields[c->key - 1] = i;
            t->key_count++;
        }
    }
    return t;
}

/* A codec with one table: schema texts made, encoder and decoder open. */
struct rig {
    const struct codec_ops *ops;
    struct table_schema *table;
    char *key_json, *value_json;
    struct encoder *enc;
    struct decoder *dec;
    struct strbuf out;
    struct arena arena;
};

static UNUSED bool rig_lookup(void *ctx, uint32_t id, const char **ret_json, struct err *err)
{
    struct rig *rig = ctx;
    if (id == rig->table->value_schema_id) {
        *ret_json = rig->value_json;
        return true;
    }
    return err_set(err, ERR_PROTOCOL, "no schema %u", id);
}

/* Takes the table over. */
static UNUSED void rig_open(struct rig *rig, const char *format, struct table_schema *table)
{
    struct err err = ERR_INIT;
    *rig = (struct rig){.ops = codec_by_name(format), .table = table};
    assert_non_null(rig->ops);
    strbuf_init(&rig->out, (size_t)64 << 20);
    arena_init(&rig->arena, 65536, (size_t)256 << 20);
    if (!rig->ops->schema_texts(table, &rig->key_json, &rig->value_json, &err) ||
        !rig->ops->encoder_open(table, &rig->enc, &err))
        fail_msg("%s", err.text);
    struct schema_source source = {.ctx = rig, .lookup = rig_lookup};
    assert_true(rig->ops->decoder_open(&source, &rig->dec, &err));
}

static UNUSED void rig_close(struct rig *rig)
{
    rig->ops->encoder_close(rig->enc);
    rig->ops->decoder_close(rig->dec);
    free(rig->key_json);
    free(rig->value_json);
    table_schema_free(rig->table);
    strbuf_release(&rig->out);
    arena_release(&rig->arena);
}

static UNUSED void rig_encode(struct rig *rig, const struct change *chg)
{
    struct err err = ERR_INIT;
    strbuf_clear(&rig->out);
    if (!rig->ops->encode_value(rig->enc, chg, &rig->out, &err))
        fail_msg("%s", err.text);
}

static UNUSED bool rig_decode_bytes(struct rig *rig, const void *bytes, size_t len, struct change *ret,
                                    struct err *err)
{
    arena_clear(&rig->arena);
    return rig->ops->decode_value(rig->dec, rig->table->topic, rig->table->value_schema_id, bytes, len,
                                  &rig->arena, ret, err);
}

static UNUSED void assert_datum(const struct field *f, const struct datum *a, const struct datum *b)
{
    if (a->state != b->state)
        fail_msg("column %s: state %d, expected %d", f->name, (int)b->state, (int)a->state);
    if (a->state != DATUM_VALUE)
        return;
    switch (f->phys) {
    case PHYS_STRING:
    case PHYS_BYTES:
    case PHYS_ARRAY:
    case PHYS_STRUCT:
    case PHYS_MAP:
        assert_int_equal(a->s.len, b->s.len);
        assert_memory_equal(a->s.p, b->s.p, a->s.len);
        return;
    case PHYS_FLOAT32:
    case PHYS_FLOAT64:
        if (a->f != a->f)
            assert_true(b->f != b->f);
        else
            assert_memory_equal(&a->f, &b->f, sizeof a->f);
        return;
    default:
        assert_true(a->i == b->i);
    }
}

/* Key images are equal in their key columns and null elsewhere. */
static UNUSED void assert_image(const struct table_schema *t, const struct datum *a, const struct datum *b,
                                bool key_only)
{
    static const struct datum null_value = {.state = DATUM_NULL};
    assert_int_equal(a != NULL, b != NULL);
    for (size_t i = 0; a != NULL && i < t->field_count; i++)
        assert_datum(&t->fields[i], key_only && !t->fields[i].key ? &null_value : &a[i], &b[i]);
}

static UNUSED void assert_change(const struct change *a, const struct change *b)
{
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->before_key_only, b->before_key_only);
    assert_image(a->schema, a->before, b->before, a->before_key_only);
    assert_image(a->schema, a->after, b->after, false);
    assert_string_equal(a->source.server, b->source.server);
    assert_string_equal(a->source.database, b->source.database);
    assert_true(a->source.lsn == b->source.lsn);
    assert_true(a->source.commit_lsn == b->source.commit_lsn);
    assert_true(a->source.previous_commit_lsn == b->source.previous_commit_lsn);
    assert_true(a->source.xid == b->source.xid);
    assert_true(a->source.commit_time_us == b->source.commit_time_us);
    assert_int_equal(a->source.snapshot, b->source.snapshot);
    assert_true(a->total_order == b->total_order);
    assert_true(a->table_order == b->table_order);
    assert_true(a->captured_us == b->captured_us);
}

/* Encodes, decodes, compares with what went in; the table must come back as it was. */
static UNUSED void assert_round_trip(struct rig *rig, const struct change *chg)
{
    struct change back;
    struct err err = ERR_INIT;
    rig_encode(rig, chg);
    if (!rig_decode_bytes(rig, rig->out.data, rig->out.len, &back, &err))
        fail_msg("%s", err.text);
    assert_true(table_schema_same(rig->table, back.schema));
    assert_string_equal(rig->table->name_space, back.schema->name_space);
    assert_int_equal(back.schema->value_schema_id, rig->table->value_schema_id);
    assert_change(chg, &back);
}

static UNUSED struct datum text_datum(const char *text)
{
    return (struct datum){.state = DATUM_VALUE, .s = {text, (uint32_t)strlen(text)}};
}

static UNUSED struct datum int_datum(int64_t v)
{
    return (struct datum){.state = DATUM_VALUE, .i = v};
}

static UNUSED struct datum float_datum(double v)
{
    return (struct datum){.state = DATUM_VALUE, .f = v};
}

/* A streamed change with every number different. */
static UNUSED struct change make_change(const struct rig *rig, enum change_op op, const struct datum *before,
                                        const struct datum *after)
{
    return (struct change){.op = op,
                           .schema = rig->table,
                           .before = before,
                           .after = after,
                           .source = {.server = "shop",
                                      .database = "golden",
                                      .lsn = 48065632,
                                      .commit_lsn = 48065999,
                                      .previous_commit_lsn = 48060000,
                                      .xid = 1584,
                                      .commit_time_us = 1795248035898384},
                           .total_order = 3,
                           .table_order = 2,
                           .captured_us = 1795248036382069};
}

#endif
