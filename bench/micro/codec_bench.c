/*
 * Records a second of the codecs on one core, for a table of 4 and one of 15 columns, updates of one
 * transaction after the other. `avro-c` is the yardstick: the same record through avro-c's generic values
 * (children resolved once, texts given without a copy of our own, decoded values not even turned into
 * datums). Usage: codec_bench [records] [name…]
 */
#include <avro.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change/codec.h"
#include "change/fence.h"
#include "core/alloc.h"
#include "core/clock.h"

#define KEPT 64 /* different records, so that nothing is predicted from one alone */

struct bench {
    struct table_schema *table;
    char *key_json, *value_json;
    struct datum rows[KEPT][15];
    char texts[KEPT][15][40];
    struct change changes[KEPT];
    struct strbuf records[KEPT];
};

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    (void)fprintf(stderr, "codec_bench: %s\n", err->text);
    exit(4);
}

static const enum phys columns[15] = {
    PHYS_INT64,  PHYS_STRING, PHYS_INT32, PHYS_STRING, PHYS_INT64,  PHYS_STRING, PHYS_INT32, PHYS_FLOAT64,
    PHYS_STRING, PHYS_STRING, PHYS_INT64, PHYS_BOOL,   PHYS_STRING, PHYS_STRING, PHYS_INT32,
};

static struct table_schema *bench_table(size_t count)
{
    struct table_schema *t = xcalloc(1, sizeof *t);
    *t = (struct table_schema){.topic = xstrdup("shop.public.orders"),
                               .name_space = xstrdup("shop.public.orders"),
                               .schema = xstrdup("public"),
                               .table = xstrdup("orders"),
                               .fields = xcalloc(count, sizeof *t->fields),
                               .field_count = count,
                               .key_fields = xcalloc(1, sizeof *t->key_fields),
                               .key_count = 1,
                               .key_schema_id = 1,
                               .value_schema_id = 2};
    for (size_t i = 0; i < count; i++)
        t->fields[i] = (struct field){.name = xasprintf("column_%zu", i),
                                      .phys = columns[i],
                                      .optional = i > 2,
                                      .key = i == 0,
                                      .source_type = xstrdup("TEXT"),
                                      .source_length = -1,
                                      .source_scale = -1};
    return t;
}

static void bench_rows(struct bench *b)
{
    for (size_t k = 0; k < KEPT; k++) {
        for (size_t i = 0; i < b->table->field_count; i++) {
            struct datum *d = &b->rows[k][i];
            d->state = DATUM_VALUE;
            if (columns[i] == PHYS_STRING) {
                int len =
                    snprintf(b->texts[k][i], sizeof b->texts[k][i], "some text %zu of row %zu", i, k * 7919);
                d->s.p = b->texts[k][i];
                d->s.len = (uint32_t)len;
            } else if (columns[i] == PHYS_FLOAT64) {
                d->f = (double)k * 1.25;
            } else {
                d->i = columns[i] == PHYS_BOOL ? (int64_t)(k & 1) : (int64_t)(k * 104729 + i);
            }
        }
        b->changes[k] = (struct change){.op = CHANGE_UPDATE,
                                        .schema = b->table,
                                        .after = b->rows[k],
                                        .source = {.server = "shop",
                                                   .database = "simshop",
                                                   .lsn = 48065632 + k * 100,
                                                   .commit_lsn = 48075632,
                                                   .previous_commit_lsn = 48065000,
                                                   .xid = 1584,
                                                   .commit_time_us = INT64_C(1795248035898384)},
                                        .total_order = k + 1,
                                        .table_order = k + 1,
                                        .captured_us = INT64_C(1795248036382069) + (int64_t)k};
    }
}

static bool lookup(void *ctx, uint32_t id, const char **ret_json, struct err *err)
{
    *ret_json = ((struct bench *)ctx)->value_json;
    return true;
}

static void report(const char *what, size_t column_count, size_t records, int64_t us, size_t bytes)
{
    printf("%-18s %2zu columns %9.0f records/s  %4zu bytes/record\n", what, column_count,
           (double)records * 1e6 / (double)us, bytes);
}

static void run_codec(struct bench *b, const char *format, size_t records)
{
    const struct codec_ops *ops = codec_by_name(format);
    struct err err = ERR_INIT;
    struct encoder *enc;
    struct decoder *dec;
    char name[32];
    must(ops->schema_texts(b->table, &b->key_json, &b->value_json, &err), &err);
    must(ops->encoder_open(b->table, &enc, &err), &err);
    struct schema_source source = {.ctx = b, .lookup = lookup};
    must(ops->decoder_open(&source, &dec, &err), &err);
    for (size_t k = 0; k < KEPT; k++)
        strbuf_init(&b->records[k], 1 << 20);
    int64_t start = clock_mono_us();
    for (size_t n = 0; n < records; n++) {
        strbuf_clear(&b->records[n % KEPT]);
        must(ops->encode_value(enc, &b->changes[n % KEPT], &b->records[n % KEPT], &err), &err);
    }
    (void)snprintf(name, sizeof name, "%s encode", format);
    report(name, b->table->field_count, records, clock_mono_us() - start, b->records[1].len);
    struct arena arena;
    arena_init(&arena, 1 << 16, 1 << 24);
    start = clock_mono_us();
    for (size_t n = 0; n < records; n++) {
        struct change chg;
        arena_clear(&arena);
        const struct strbuf *rec = &b->records[n % KEPT];
        must(ops->decode_value(dec, b->table->topic, 2, rec->data, rec->len, &arena, &chg, &err), &err);
    }
    (void)snprintf(name, sizeof name, "%s decode", format);
    report(name, b->table->field_count, records, clock_mono_us() - start, b->records[1].len);
    arena_release(&arena);
    ops->encoder_close(enc);
    ops->decoder_close(dec);
}

static void release_codec(struct bench *b)
{
    for (size_t k = 0; k < KEPT; k++)
        strbuf_release(&b->records[k]);
    free(b->key_json);
    free(b->value_json);
}

/* --- avro-c: children of a record, unions looked through, resolved once --- */

struct slot {
    avro_value_t outer, value;
    int branch; /* of the value; -1: no union */
    avro_type_t type;
};

static void need(int rc)
{
    if (rc != 0) {
        (void)fprintf(stderr, "codec_bench: avro-c: %s\n", avro_strerror());
        exit(4);
    }
}

static size_t slots_of(avro_value_t *record, struct slot *slots)
{
    size_t count = 0;
    need(avro_value_get_size(record, &count));
    for (size_t i = 0; i < count; i++) {
        struct slot *s = &slots[i];
        need(avro_value_get_by_index(record, i, &s->outer, NULL));
        avro_schema_t schema = avro_value_get_schema(&s->outer);
        s->branch = -1;
        s->value = s->outer;
        if (avro_typeof(schema) == AVRO_UNION) {
            s->branch = avro_typeof(avro_schema_union_branch(schema, 0)) == AVRO_NULL ? 1 : 0;
            need(avro_value_set_branch(&s->outer, s->branch, &s->value));
        }
        s->type = avro_value_get_type(&s->value);
    }
    return count;
}

static void set_null(struct slot *s)
{
    avro_value_t null_value;
    need(avro_value_set_branch(&s->outer, 0, &null_value));
}

static void enter(struct slot *s)
{
    if (s->branch >= 0)
        need(avro_value_set_branch(&s->outer, s->branch, &s->value));
}

static void set_text(struct slot *s, const char *text, size_t len)
{
    enter(s);
    avro_wrapped_buffer_t wrapped = {.buf = text, .size = len + 1};
    need(avro_value_give_string_len(&s->value, &wrapped));
}

static void set_long(struct slot *s, int64_t v)
{
    enter(s);
    need(s->type == AVRO_INT32     ? avro_value_set_int(&s->value, (int32_t)v)
         : s->type == AVRO_BOOLEAN ? avro_value_set_boolean(&s->value, (int)v)
                                   : avro_value_set_long(&s->value, v));
}

struct generic {
    avro_value_t envelope;
    struct slot top[16], row[15], source[16], transaction[4];
};

static void set_change(struct generic *g, const struct bench *b, const struct change *chg)
{
    for (size_t i = 0; i < b->table->field_count; i++) {
        const struct datum *d = &chg->after[i];
        if (columns[i] == PHYS_STRING)
            set_text(&g->row[i], d->s.p, d->s.len);
        else if (columns[i] == PHYS_FLOAT64)
            enter(&g->row[i]), need(avro_value_set_double(&g->row[i].value, d->f));
        else
            set_long(&g->row[i], d->i);
    }
    static const char *const texts[] = {"0.1.0", "postgresql", "shop"};
    for (size_t i = 0; i < 3; i++)
        set_text(&g->source[i], texts[i], strlen(texts[i]));
    set_long(&g->source[3], chg->source.commit_time_us / 1000);
    set_text(&g->source[4], "false", 5);
    set_text(&g->source[5], "simshop", 7);
    set_text(&g->source[6], "[\"48065000\",\"48065632\"]", 23);
    set_long(&g->source[7], chg->source.commit_time_us);
    set_long(&g->source[8], chg->source.commit_time_us * 1000);
    set_text(&g->source[9], "public", 6);
    set_text(&g->source[10], "orders", 6);
    set_long(&g->source[11], chg->source.xid);
    set_long(&g->source[12], (int64_t)chg->source.lsn);
    set_null(&g->source[13]);
    set_text(&g->transaction[0], "1584:48075632", 13);
    set_long(&g->transaction[1], (int64_t)chg->total_order);
    set_long(&g->transaction[2], (int64_t)chg->table_order);
    set_text(&g->top[4], "u", 1);
    set_long(&g->top[5], chg->captured_us / 1000);
    set_long(&g->top[6], chg->captured_us);
    set_long(&g->top[7], chg->captured_us * 1000);
}

static void run_avro_c(struct bench *b, size_t records)
{
    struct generic *g = xcalloc(1, sizeof *g);
    avro_schema_t schema;
    size_t len = 0;
    char bytes[4096];
    need(avro_schema_from_json_length(b->value_json, strlen(b->value_json), &schema));
    avro_value_iface_t *class = avro_generic_class_from_schema(schema);
    need(avro_generic_value_new(class, &g->envelope));
    (void)slots_of(&g->envelope, g->top);
    (void)slots_of(&g->top[1].value, g->row);
    (void)slots_of(&g->top[2].value, g->source);
    (void)slots_of(&g->top[3].value, g->transaction);
    set_null(&g->top[0]);
    set_null(&g->top[8]);
    avro_writer_t writer = avro_writer_memory(bytes, sizeof bytes);
    int64_t start = clock_mono_us();
    for (size_t n = 0; n < records; n++) {
        avro_writer_reset(writer);
        set_change(g, b, &b->changes[n % KEPT]);
        need(avro_value_write(writer, &g->envelope));
        len = (size_t)avro_writer_tell(writer);
    }
    report("avro-c encode", b->table->field_count, records, clock_mono_us() - start, len);
    avro_reader_t reader = avro_reader_memory(NULL, 0);
    start = clock_mono_us();
    for (size_t n = 0; n < records; n++) {
        const struct strbuf *rec = &b->records[n % KEPT];
        avro_reader_memory_set_source(reader, rec->data + 5, (int64_t)rec->len - 5);
        need(avro_value_read(reader, &g->envelope));
    }
    report("avro-c decode", b->table->field_count, records, clock_mono_us() - start, len);
    avro_reader_free(reader);
    avro_writer_free(writer);
    avro_value_decref(&g->envelope);
    avro_value_iface_decref(class);
    avro_schema_decref(schema);
    free(g);
}

static void run_fences(size_t records)
{
    struct fence_range ranges[15];
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        ranges[i] = (struct fence_range){.stream = (char *)"shop.public.order_items",
                                         .partition = (int32_t)i,
                                         .first_offset = i * 1000,
                                         .next_offset = i * 1000 + 500};
    struct fence f = {
        .kind = FENCE_STREAM, .id = 1, .pipeline = (char *)"shop", .ranges = ranges, .range_count = 15};
    struct strbuf sb = STRBUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    int64_t start = clock_mono_us();
    for (size_t n = 0; n < records; n++) {
        struct fence back;
        strbuf_clear(&sb);
        must(fence_encode(&f, &sb, &err) && fence_decode(sb.data, sb.len, &back, &err), &err);
        fence_release(&back);
    }
    report("fence both ways", 15, records, clock_mono_us() - start, sb.len);
    strbuf_release(&sb);
}

static bool wanted(int argc, char **argv, const char *name)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc <= 2;
}

int main(int argc, char **argv)
{
    size_t records = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    for (size_t count = 4; count <= 15; count += 11) {
        struct bench *b = xcalloc(1, sizeof *b);
        b->table = bench_table(count);
        bench_rows(b);
        if (wanted(argc, argv, "json")) {
            run_codec(b, "json", records);
            release_codec(b);
        }
        if (wanted(argc, argv, "avro")) {
            run_codec(b, "avro", records);
            if (wanted(argc, argv, "avro-c"))
                run_avro_c(b, records);
            release_codec(b);
        }
        table_schema_free(b->table);
        free(b);
    }
    if (wanted(argc, argv, "fence"))
        run_fences(records / 50 + 1);
    return 0;
}
