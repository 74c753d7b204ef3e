/*
 * The parser of binary COPY. Input: byte 0 = columns expected, byte 1 = how the stream is cut, then the stream. Parsed whole
 * and parsed in chunks, the outcome must be the same rows and the same end.
 */
#include "core/alloc.h"
#include "fuzz.h"
#include "pg/copy_binary.h"

struct outcome {
    uint64_t rows, hash;
    enum copy_next last; /* COPY_MORE: the stream ended in the middle */
};

static void take_row(const struct copy_binary *cb, struct outcome *ret)
{
    ret->rows++;
    for (uint16_t i = 0; i < cb->column_count; i++) {
        const struct pgoutput_value *v = &cb->values[i];
        FUZZ_REQUIRE(v->kind == PGOUTPUT_NULL || v->kind == PGOUTPUT_BINARY, "kind %d", (int)v->kind);
        ret->hash = ret->hash * 31 + (uint64_t)v->kind + v->len;
        if (v->kind == PGOUTPUT_BINARY)
            ret->hash = ret->hash * 31 + fuzz_touch(v->p, v->len);
    }
}

/* chunk: bytes at a time, 0 = all at once. Each piece is a copy of its exact size. */
static struct outcome parse(uint16_t columns, const uint8_t *bytes, size_t len, size_t chunk)
{
    struct copy_binary *cb = xmalloc(sizeof *cb);
    struct outcome out = {.last = COPY_MORE};
    struct err err = ERR_INIT;
    copy_binary_init(cb, columns);
    for (size_t at = 0; at < len && (out.last == COPY_MORE || out.last == COPY_END);) {
        size_t size = chunk == 0 || chunk > len - at ? len - at : chunk;
        char *piece = xmalloc(size);
        memcpy(piece, bytes + at, size);
        at += size;
        if (copy_binary_feed(cb, piece, size, &err)) {
            while ((out.last = copy_binary_next(cb, &err)) == COPY_ROW)
                take_row(cb, &out);
        } else {
            out.last = COPY_ERROR;
        }
        free(piece);
    }
    FUZZ_REQUIRE(out.last != COPY_ERROR || err.text[0] != '\0', "an error without a text");
    copy_binary_release(cb);
    free(cb);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 2 || len > 4096)
        return 0;
    uint16_t columns = bytes[0];
    struct outcome whole = parse(columns, bytes + 2, len - 2, 0);
    struct outcome cut = parse(columns, bytes + 2, len - 2, bytes[1] % 61 + 1);
    FUZZ_REQUIRE(whole.last == cut.last && whole.rows == cut.rows && whole.hash == cut.hash,
                 "whole: end %d after %llu rows; in chunks: end %d after %llu rows", (int)whole.last,
                 (unsigned long long)whole.rows, (int)cut.last, (unsigned long long)cut.rows);
    return 0;
}
