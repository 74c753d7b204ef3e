/*
 * Parser of COPY … (FORMAT binary) output (documentation: COPY, "Binary Format"): header, rows, trailer.
 * Takes the stream in chunks of any size, as libpq delivers them; a row that a chunk holds whole is parsed in
 * place, without a copy. Input is untrusted. @thread: one owner.
 */
#ifndef PG_COPY_BINARY_H
#define PG_COPY_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"
#include "pg/pgoutput.h"

struct copy_binary {
    struct strbuf rest;  /* bytes of a row that goes on in the next chunk */
    const char *p, *end; /* what is left of the chunk (or of rest) */
    bool in_rest;        /* p and end point into rest */
    bool header_seen, trailer_seen;
    uint16_t column_count;
    struct pgoutput_value values[PGOUTPUT_MAX_COLUMNS]; /* of the row at hand; kind NULL or BINARY */
};

enum copy_next {
    COPY_ERROR = 0,
    COPY_ROW,  /* values are filled: valid until the next call */
    COPY_MORE, /* feed the next chunk */
    COPY_END   /* the trailer was read */
};

/* Every row must have `column_count` fields. */
void copy_binary_init(struct copy_binary *cb, uint16_t column_count);
void copy_binary_release(struct copy_binary *cb);
/* Hands in the next chunk; it must stay valid until copy_binary_next() says COPY_MORE. */
bool copy_binary_feed(struct copy_binary *cb, const void *bytes, size_t len, struct err *err) MUST_CHECK;
enum copy_next copy_binary_next(struct copy_binary *cb, struct err *err);

#endif
