#include "core/strbuf.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"

char strbuf_empty[1] = "";

void strbuf_init(struct strbuf *sb, size_t max_bytes)
{
    *sb = (struct strbuf)STRBUF_INIT(max_bytes);
}

void strbuf_release(struct strbuf *sb)
{
    if (sb->cap != 0)
        free(sb->data);
    strbuf_init(sb, sb->max);
}

void strbuf_clear(struct strbuf *sb)
{
    sb->len = 0;
    sb->failed = false;
    if (sb->cap != 0)
        sb->data[0] = '\0';
}

char *strbuf_detach(struct strbuf *sb)
{
    char *text = sb->cap != 0 ? sb->data : xstrdup("");
    strbuf_init(sb, sb->max);
    return text;
}

char *strbuf_reserve(struct strbuf *sb, size_t extra)
{
    if (sb->failed || extra > sb->max || sb->len > sb->max - extra) {
        sb->failed = true;
        return NULL;
    }
    size_t need = sb->len + extra + 1;
    if (need > sb->cap) {
        size_t cap = sb->cap < 64 ? 64 : sb->cap;
        while (cap < need)
            cap += cap / 2 + 16;
        char *grown = realloc(sb->cap != 0 ? sb->data : NULL, cap);
        if (grown == NULL) {
            sb->failed = true;
            return NULL;
        }
        sb->data = grown;
        sb->cap = cap;
        sb->data[sb->len] = '\0';
    }
    return sb->data + sb->len;
}

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len)
{
    char *to = strbuf_reserve(sb, len);
    if (to == NULL)
        return;
    if (len != 0)
        memcpy(to, bytes, len);
    sb->len += len;
    sb->data[sb->len] = '\0';
}

void strbuf_adds(struct strbuf *sb, const char *s)
{
    strbuf_add(sb, s, strlen(s));
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *to = n < 0 ? NULL : strbuf_reserve(sb, (size_t)n);
    if (to == NULL) {
        sb->failed = true;
        return;
    }
    (void)vsnprintf(to, (size_t)n + 1, fmt, ap);
    sb->len += (size_t)n;
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(sb, fmt, ap);
    va_end(ap);
}

bool strbuf_ok(const struct strbuf *sb, const char *what, struct err *err)
{
    if (!sb->failed)
        return true;
    return err_set(err, ERR_NO_MEMORY, "%s is larger than its limit of %zu bytes", what, sb->max);
}

void strbuf_add_be16(struct strbuf *sb, uint16_t v)
{
    v = htobe16(v);
    strbuf_add(sb, &v, sizeof v);
}

void strbuf_add_be32(struct strbuf *sb, uint32_t v)
{
    v = htobe32(v);
    strbuf_add(sb, &v, sizeof v);
}

void strbuf_add_be64(struct strbuf *sb, uint64_t v)
{
    v = htobe64(v);
    strbuf_add(sb, &v, sizeof v);
}
