/* The decoder of pgoutput: one message, by itself and as one of a stream block. Whatever it accepts must lie inside of the
 * message. */
#include <stdlib.h>

#include "fuzz.h"
#include "pg/pgoutput.h"

struct span {
    const char *start, *end;
};

static void inside(struct span message, const char *p, size_t len)
{
    FUZZ_REQUIRE(p >= message.start && len <= (size_t)(message.end - p), "%zu bytes at %td", len,
                 p - message.start);
    (void)fuzz_touch(p, len);
}

static void text_inside(struct span message, const char *text)
{
    inside(message, text, 0);
    FUZZ_REQUIRE(memchr(text, '\0', (size_t)(message.end - text)) != NULL, "a text without end");
}

static void check_tuple(struct span message, const struct pgoutput_tuple *tuple)
{
    FUZZ_REQUIRE(tuple->count <= PGOUTPUT_MAX_COLUMNS, "%u columns", tuple->count);
    for (size_t i = 0; i < tuple->count; i++) {
        const struct pgoutput_value *v = &tuple->values[i];
        if (v->kind == PGOUTPUT_TEXT || v->kind == PGOUTPUT_BINARY)
            inside(message, v->p, v->len);
        else
            FUZZ_REQUIRE(v->kind == PGOUTPUT_NULL || v->kind == PGOUTPUT_UNCHANGED, "kind %d", (int)v->kind);
    }
}

static void check_relation(struct span message, const struct pgoutput_message *m)
{
    text_inside(message, m->relation.schema);
    text_inside(message, m->relation.table);
    FUZZ_REQUIRE(m->relation.column_count <= PGOUTPUT_MAX_COLUMNS, "%u columns", m->relation.column_count);
    for (size_t i = 0; i < m->relation.column_count; i++)
        text_inside(message, m->relation.columns[i].name);
}

static void check(struct span message, const struct pgoutput_message *m)
{
    if (m->type == PGOUTPUT_RELATION)
        check_relation(message, m);
    if (m->type == PGOUTPUT_INSERT || m->type == PGOUTPUT_UPDATE)
        check_tuple(message, &m->row.new_row);
    if ((m->type == PGOUTPUT_UPDATE && m->row.old_kind != PGOUTPUT_OLD_NONE) || m->type == PGOUTPUT_DELETE)
        check_tuple(message, &m->row.old_row);
    if (m->type == PGOUTPUT_TRUNCATE)
        (void)fuzz_touch(m->truncate.oids, m->truncate.count * sizeof *m->truncate.oids);
    if (m->type == PGOUTPUT_ORIGIN)
        text_inside(message, m->origin.name);
    if (m->type == PGOUTPUT_TYPE) {
        text_inside(message, m->type_info.schema);
        text_inside(message, m->type_info.name);
    }
    if (m->type == PGOUTPUT_MESSAGE) {
        text_inside(message, m->message.prefix);
        inside(message, m->message.content, m->message.content_len);
    }
}

static void decode(struct pgoutput *decoder, const void *bytes, size_t len)
{
    struct pgoutput_message message;
    struct err err = ERR_INIT;
    if (pgoutput_decode(decoder, bytes, len, &message, &err))
        check((struct span){bytes, (const char *)bytes + len}, &message);
    else
        FUZZ_REQUIRE(err.code == ERR_PROTOCOL && err.text[0] != '\0', "error %d", (int)err.code);
}

/* As capture keeps it until the commit: without the transaction's id. */
static void decode_streamed(struct pgoutput *decoder, const void *bytes, size_t len)
{
    struct err err = ERR_INIT;
    const char *body = NULL;
    size_t body_len = 0;
    uint32_t xid = 0;
    if (!pgoutput_streamed(bytes, len, &xid, &body, &body_len, &err)) {
        FUZZ_REQUIRE(err.code == ERR_PROTOCOL && err.text[0] != '\0', "error %d", (int)err.code);
        return;
    }
    FUZZ_REQUIRE(xid != 0, "no transaction");
    inside((struct span){bytes, (const char *)bytes + len}, body, body_len);
    char *kept = malloc(1 + body_len); /* of its exact size: reading beyond is seen */
    if (kept == NULL)
        abort();
    kept[0] = *(const char *)bytes;
    memcpy(kept + 1, body, body_len);
    decode(decoder, kept, 1 + body_len);
    free(kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct pgoutput
        *decoder; /* for ever: a real one lives as long, and what a message left must not matter */
    if (decoder == NULL)
        decoder = pgoutput_new();
    decode(decoder, bytes, len);
    decode_streamed(decoder, bytes, len);
    return 0;
}
