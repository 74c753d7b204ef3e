/* Owns: the grammar of binary COPY. See copy_binary.h. */
#include "pg/copy_binary.h"

#include <string.h>

#include "cursor.h"

/* One row, at most: PostgreSQL's limit for a message is 1 GiB. */
#define ROW_BYTES_MAX ((size_t)1 << 30)

static const char signature[11] = "PGCOPY\n\377\r\n";

enum parsed { PARSED_BAD = 0, PARSED_SHORT, PARSED_ROW, PARSED_HEADER, PARSED_TRAILER };

void copy_binary_init(struct copy_binary *cb, uint16_t column_count)
{
    cb->p = cb->end = NULL;
    cb->in_rest = cb->header_seen = cb->trailer_seen = false;
    cb->column_count = column_count;
    strbuf_init(&cb->rest, ROW_BYTES_MAX + (1 << 20));
}

void copy_binary_release(struct copy_binary *cb)
{
    strbuf_release(&cb->rest);
}

bool copy_binary_feed(struct copy_binary *cb, const void *bytes, size_t len, struct err *err)
{
    BUG_UNLESS(cb->p == cb->end);
    cb->in_rest = cb->rest.len > 0;
    if (!cb->in_rest) {
        cb->p = bytes;
        cb->end = cb->p + len;
        return true;
    }
    strbuf_add(&cb->rest, bytes, len);
    if (!strbuf_ok(&cb->rest, "row of a binary COPY", err))
        return false;
    cb->p = cb->rest.data;
    cb->end = cb->p + cb->rest.len;
    return true;
}

static enum parsed parse_header(struct cursor *c)
{
    size_t known = cursor_left(c) < sizeof signature ? cursor_left(c) : sizeof signature;
    if (memcmp(c->p, signature, known) != 0)
        return PARSED_BAD;
    (void)cursor_bytes(c, sizeof signature);
    uint32_t flags = cursor_u32(c);
    uint32_t extension = cursor_u32(c);
    if (!c->failed &&
        ((flags & 0xffff0000u) != 0 || extension > 1 << 20)) /* critical flags: none are known */
        return PARSED_BAD;
    (void)cursor_bytes(c, extension);
    return c->failed ? PARSED_SHORT : PARSED_HEADER;
}

static enum parsed parse_row(struct copy_binary *cb, struct cursor *c)
{
    uint16_t count = cursor_u16(c);
    if (c->failed)
        return PARSED_SHORT;
    if (count == 0xffff)
        return PARSED_TRAILER;
    if (count != cb->column_count)
        return PARSED_BAD;
    for (uint16_t i = 0; i < count; i++) {
        int32_t len = (int32_t)cursor_u32(c);
        if (c->failed)
            return PARSED_SHORT;
        if (len < -1)
            return PARSED_BAD;
        struct pgoutput_value *v = &cb->values[i];
        v->kind = len < 0 ? PGOUTPUT_NULL : PGOUTPUT_BINARY;
        v->len = len < 0 ? 0 : (uint32_t)len;
        v->p = len < 0 ? NULL : cursor_bytes(c, v->len);
    }
    return c->failed ? PARSED_SHORT : PARSED_ROW;
}

/* What could not be parsed waits for the next chunk. */
static bool keep_rest(struct copy_binary *cb, struct err *err)
{
    size_t left = (size_t)(cb->end - cb->p);
    if (cb->in_rest) {
        memmove(cb->rest.data, cb->p, left);
        cb->rest.len = left;
    } else {
        strbuf_add(&cb->rest, cb->p, left);
    }
    cb->p = cb->end = NULL;
    return strbuf_ok(&cb->rest, "row of a binary COPY", err);
}

static enum copy_next bad(const struct copy_binary *cb, struct err *err)
{
    err_set(err, ERR_PROTOCOL, "binary COPY: malformed %s (%u columns expected)",
            cb->header_seen ? "row" : "header", (unsigned)cb->column_count);
    return COPY_ERROR;
}

enum copy_next copy_binary_next(struct copy_binary *cb, struct err *err)
{
    for (;;) {
        if (cb->p == cb->end) {
            strbuf_clear(&cb->rest);
            return cb->trailer_seen ? COPY_END : COPY_MORE;
        }
        if (cb->trailer_seen) /* nothing may follow */
            return bad(cb, err);
        struct cursor c = {.p = cb->p, .end = cb->end};
        switch (cb->header_seen ? parse_row(cb, &c) : parse_header(&c)) {
        case PARSED_BAD:
            return bad(cb, err);
        case PARSED_SHORT:
            return keep_rest(cb, err) ? COPY_MORE : COPY_ERROR;
        case PARSED_HEADER:
            cb->header_seen = true;
            break;
        case PARSED_TRAILER:
            cb->trailer_seen = true;
            break;
        case PARSED_ROW:
            cb->p = c.p;
            return COPY_ROW;
        }
        cb->p = c.p;
    }
}
