/*
 * The one string builder. `data` is never NULL and always NUL-terminated; `len` is known. Every buffer states
 * its maximum when it is made: growing past it sets the sticky `failed` flag (nothing more is added), read
 * once at the end with strbuf_ok(). @thread: one owner at a time.
 */
#ifndef CORE_STRBUF_H
#define CORE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/attr.h"
#include "core/err.h"

struct strbuf {
    char *data;
    size_t len;
    size_t cap; /* bytes allocated; 0 while data points to the shared empty string */
    size_t max; /* most bytes of text allowed */
    bool failed;
};

#define STRBUF_SQL_MAX ((size_t)16 << 20)

extern char strbuf_empty[1];
#define STRBUF_INIT(max_bytes)                                                                               \
    {                                                                                                        \
        .data = strbuf_empty, .max = (max_bytes)                                                             \
    }

void strbuf_init(struct strbuf *sb, size_t max_bytes);
/* Frees the contents; the struct may be used again (same maximum). Safe on a zeroed struct. */
void strbuf_release(struct strbuf *sb);
/* Empties, keeps the memory. */
void strbuf_clear(struct strbuf *sb);
/* Hands the text to the caller (free()), leaves the buffer empty. */
char *strbuf_detach(struct strbuf *sb);
/* Makes room for `extra` more bytes and returns where they go, or NULL (failed is set). The caller then adds
 * to len. */
char *strbuf_reserve(struct strbuf *sb, size_t extra);
void strbuf_add(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_adds(struct strbuf *sb, const char *s);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* False with ERR_NO_MEMORY if anything did not fit; `what` names the thing in the message. */
bool strbuf_ok(const struct strbuf *sb, const char *what, struct err *err) MUST_CHECK;

static inline void strbuf_addc(struct strbuf *sb, char c)
{
    if (!sb->failed && sb->len + 1 < sb->cap && sb->len < sb->max) {
        sb->data[sb->len++] = c;
        sb->data[sb->len] = '\0';
    } else {
        strbuf_add(sb, &c, 1);
    }
}

/* Big-endian integers, as the PostgreSQL protocol wants them. */
void strbuf_add_be16(struct strbuf *sb, uint16_t v);
void strbuf_add_be32(struct strbuf *sb, uint32_t v);
void strbuf_add_be64(struct strbuf *sb, uint64_t v);

#endif
