/* See record.h. */
#include "record.h"

#include "change/codec.h"
#include "change/foreign.h"
#include "core/alloc.h"

#define TOPIC      "shop.public.fuzz"
#define SCHEMA_ID  1
#define VALUE_MAX  ((size_t)1 << 20)
#define SCHEMA_MAX ((size_t)64 << 10)

static bool lookup(void *ctx, uint32_t id, const char **ret_json, struct err *err)
{
    *ret_json = ctx; /* Avro's frame may name any id */
    return true;
}

static uint64_t image_hash(const struct table_schema *schema, const struct datum *image)
{
    uint64_t hash = image != NULL;
    for (size_t i = 0; image != NULL && i < schema->field_count; i++) {
        const struct datum *d = &image[i];
        enum phys phys = schema->fields[i].phys;
        hash = hash * 31 + (uint64_t)d->state;
        if (d->state != DATUM_VALUE)
            continue;
        if (phys == PHYS_STRING || phys == PHYS_BYTES)
            hash = hash * 31 + fuzz_touch(d->s.p, d->s.len);
        else if ((phys == PHYS_FLOAT32 || phys == PHYS_FLOAT64) && d->f != d->f)
            hash = hash * 31 + 1; /* NaN: JSON does not keep its bits */
        else
            hash = hash * 31 + (uint64_t)d->i;
    }
    return hash;
}

static uint64_t change_hash(const struct change *chg)
{
    const struct change_source *src = &chg->source;
    const uint64_t numbers[] = {(uint64_t)chg->op,
                                chg->before_key_only,
                                src->lsn,
                                src->xid,
                                (uint64_t)src->commit_time_us,
                                chg->op == CHANGE_READ ? 0 : src->commit_lsn,
                                chg->op == CHANGE_READ ? 0 : chg->total_order,
                                chg->op == CHANGE_READ ? 0 : chg->table_order,
                                (uint64_t)chg->captured_us,
                                fuzz_touch(src->server, strlen(src->server)),
                                fuzz_touch(src->database, strlen(src->database)),
                                image_hash(chg->schema, chg->before),
                                image_hash(chg->schema, chg->after)};
    return fuzz_touch(numbers, sizeof numbers);
}

/* Writes the change under schema texts made from its table, and reads it back. Some tables cannot be written again (a name
 * that is no UTF-8, say): such schemas are refused, which is fine. */
static void write_again(const struct codec_ops *codec, struct change *chg)
{
    char *key_json = NULL, *value_json = NULL;
    struct encoder *enc = NULL;
    struct decoder *dec = NULL;
    struct err err = ERR_INIT;
    struct change back;
    struct strbuf out = STRBUF_INIT(VALUE_MAX * 8);
    struct arena arena;
    arena_init(&arena, 4096, VALUE_MAX * 16);
    if (codec->schema_texts(chg->schema, &key_json, &value_json, &err) &&
        codec->encoder_open(chg->schema, &enc, &err)) {
        struct schema_source source = {.ctx = value_json, .lookup = lookup};
        FUZZ_REQUIRE(codec->decoder_open(&source, &dec, &err), "%s", err.text);
        FUZZ_REQUIRE(codec->encode_value(enc, chg, &out, &err), "%s", err.text);
        FUZZ_REQUIRE(codec->decode_value(dec, TOPIC, SCHEMA_ID, out.data, out.len, &arena, &back, &err), "%s",
                     err.text);
        if (getenv("FUZZ_SHOW") != NULL) /* to see what a failing input became */
            (void)fprintf(stderr, "%s\n%.*s\n", value_json, (int)out.len, out.data);
        FUZZ_REQUIRE(change_hash(chg) == change_hash(&back), "the change came back another one");
        codec->decoder_close(dec);
        codec->encoder_close(enc);
    }
    free(key_json);
    free(value_json);
    strbuf_release(&out);
    arena_release(&arena);
}

/* The same bytes as a record that somebody else wrote: its schema beside it, or found by its id. */
static void fuzz_foreign(bool avro, const char *schema, const char *value, size_t value_len)
{
    struct strbuf text = STRBUF_INIT(VALUE_MAX * 4);
    struct foreign_options options = {.avro = avro,
                                      .source = {.ctx = (void *)(uintptr_t)schema, .lookup = lookup}};
    struct foreign_decoder *fd = foreign_decoder_open(&options);
    struct arena arena;
    struct foreign_event ev;
    struct err err = ERR_INIT;
    if (!avro)
        strbuf_addf(&text, "{\"schema\":%s,\"payload\":", schema);
    strbuf_add(&text, value, value_len);
    if (!avro)
        strbuf_addc(&text, '}');
    char *exact = xmalloc(text.len + (text.len == 0));
    memcpy(exact, text.data, text.len);
    struct foreign_record rec = {
        .topic = TOPIC, .value = exact, .value_len = text.len, .new_key = value, .new_key_len = value_len};
    arena_init(&arena, 4096, VALUE_MAX * 16);
    if (foreign_decode(fd, &rec, &arena, &ev, &err) && ev.kind == FOREIGN_CHANGE)
        (void)image_hash(ev.change.schema, ev.change.after);
    else
        FUZZ_REQUIRE(err.code != ERR_BUG, "error %d: %s", (int)err.code, err.text);
    foreign_decoder_close(fd);
    arena_release(&arena);
    strbuf_release(&text);
    free(exact);
}

void fuzz_record(const char *format, const uint8_t *bytes, size_t len)
{
    const struct codec_ops *codec = codec_by_name(format);
    const uint8_t *line_end = len == 0 ? NULL : memchr(bytes, '\n', len);
    if (line_end == NULL || (size_t)(line_end - bytes) > SCHEMA_MAX || len > VALUE_MAX)
        return;
    char *schema = xstrndup((const char *)bytes, (size_t)(line_end - bytes));
    size_t value_len = len - (size_t)(line_end + 1 - bytes);
    char *value = xmalloc(value_len + (value_len == 0)); /* exact: over-reads are seen */
    memcpy(value, line_end + 1, value_len);
    struct schema_source source = {.ctx = schema, .lookup = lookup};
    struct decoder *dec = NULL;
    struct arena arena;
    struct change chg;
    struct err err = ERR_INIT;
    arena_init(&arena, 4096, VALUE_MAX * 16);
    FUZZ_REQUIRE(codec->decoder_open(&source, &dec, &err), "%s", err.text);
    if (codec->decode_value(dec, TOPIC, SCHEMA_ID, value, value_len, &arena, &chg, &err))
        write_again(codec, &chg);
    else
        FUZZ_REQUIRE(err.code != ERR_NONE && err.code != ERR_BUG && err.text[0] != '\0', "error %d: %s",
                     (int)err.code, err.text);
    codec->decoder_close(dec);
    arena_release(&arena);
    fuzz_foreign(strcmp(format, "avro") == 0, schema, value, value_len);
    free(value);
    free(schema);
}
