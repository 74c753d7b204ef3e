/* Owns: conversion of texts to UTF-8. See charset.h. */
#include "maria/binlog/charset.h"

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

static const char *iconv_name(const char *name)
{
    static const struct {
        const char *maria, *iconv;
    } names[] = {{"ucs2", "UCS-2BE"}, {"utf16", "UTF-16BE"}, {"utf16le", "UTF-16LE"}, {"utf32", "UTF-32BE"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i].maria, name) == 0)
            return names[i].iconv;
    }
    return NULL;
}

void charset_init(struct charset *cs, const char *name, unsigned max_bytes)
{
    *cs = (struct charset){.max_bytes = max_bytes > 0 ? max_bytes : 1};
    (void)snprintf(cs->name, sizeof cs->name, "%s", name);
    if (strcmp(name, "binary") == 0)
        cs->way = CHARSET_BYTES;
    else if (strcmp(name, "utf8") == 0 || strcmp(name, "utf8mb3") == 0 || strcmp(name, "utf8mb4") == 0 ||
             strcmp(name, "ascii") == 0)
        cs->way = CHARSET_UTF8;
    else if (iconv_name(name) != NULL)
        cs->way = CHARSET_ICONV;
    else if (max_bytes == 1)
        cs->way = CHARSET_TABLE;
}

bool charset_set_table(struct charset *cs, const char *text, size_t len, struct err *err)
{
    size_t at = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        size_t size = at < len ? (text[at] == '\0' ? 1 : utf8_char_len(text + at, len - at)) : 0;
        if (size == 0)
            return err_set(err, ERR_PROTOCOL, "the server's table of the character set %s is broken",
                           cs->name);
        memset(cs->table[byte], 0, 4);
        if (text[at] != '?' || byte == '?') /* what has no character becomes one */
            memcpy(cs->table[byte], text + at, size);
        at += size;
    }
    if (at != len)
        return err_set(err, ERR_PROTOCOL, "the server's table of the character set %s is broken", cs->name);
    cs->has_table = true;
    return true;
}

void charset_release(struct charset *cs)
{
    if (cs->has_iconv)
        (void)iconv_close(cs->iconv);
    cs->has_iconv = false;
}

static bool not_text(const struct charset *cs, struct err *err)
{
    return err_set(
        err, ERR_DATA,
        "a text that is not valid in its character set %s. Hint: it was stored past the server's checks; "
        "correct the row, or keep the column as bytes (VARBINARY, BLOB)",
        cs->name);
}

bool charset_check_utf8(const void *bytes, size_t len, struct err *err)
{
    static const struct charset utf8 = {.name = "utf8mb4"};
    if (utf8_valid(bytes, len))
        return true;
    if (memchr(bytes, '\0', len) != NULL)
        return err_set(
            err, ERR_DATA,
            "a text with a NUL character, which a text cannot have here. Hint: correct the row, or keep the "
            "column as bytes (VARBINARY, BLOB)");
    return not_text(&utf8, err);
}

static bool add_by_table(const struct charset *cs, const uint8_t *p, size_t len, struct strbuf *out,
                         struct err *err)
{
    if (!cs->has_table)
        return err_set(err, ERR_BUG, "the character set %s has no table", cs->name);
    for (size_t i = 0; i < len; i++) {
        const char *c = (const char *)cs->table[p[i]];
        if (c[0] == '\0')
            return p[i] == 0 ? charset_check_utf8("", 1, err) : not_text(cs, err);
        strbuf_add(out, c, strnlen(c, 4));
    }
    return strbuf_ok(out, "text", err);
}

static bool add_by_iconv(struct charset *cs, const void *bytes, size_t len, struct strbuf *out,
                         struct err *err)
{
    if (!cs->has_iconv) {
        cs->iconv = iconv_open("UTF-8", iconv_name(cs->name));
        if (cs->iconv == (iconv_t)-1) /* NOLINT: what the interface returns */
            return err_set(err, ERR_UNSUPPORTED, "iconv of this system does not know %s",
                           iconv_name(cs->name));
        cs->has_iconv = true;
    }
    size_t room_len = len * 2 + 4, start = out->len; /* two bytes become three at most */
    char *room = strbuf_reserve(out, room_len), *to = room, *from = (char *)(uintptr_t)bytes;
    if (room == NULL)
        return strbuf_ok(out, "text", err);
    (void)iconv(cs->iconv, NULL, NULL, NULL, NULL);
    size_t in_left = len, out_left = room_len;
    if (iconv(cs->iconv, &from, &in_left, &to, &out_left) == (size_t)-1 || in_left > 0)
        return not_text(cs, err);
    out->len += room_len - out_left;
    out->data[out->len] = '\0';
    return charset_check_utf8(out->data + start, out->len - start, err);
}

bool charset_add_utf8(struct charset *cs, const void *bytes, size_t len, struct strbuf *out, struct err *err)
{
    switch (cs->way) {
    case CHARSET_BYTES:
    case CHARSET_UTF8:
        if (cs->way == CHARSET_UTF8 && !charset_check_utf8(bytes, len, err))
            return false;
        strbuf_add(out, bytes, len);
        return strbuf_ok(out, "text", err);
    case CHARSET_TABLE:
        return add_by_table(cs, bytes, len, out, err);
    case CHARSET_ICONV:
        return add_by_iconv(cs, bytes, len, out, err);
    case CHARSET_REFUSED:
        break;
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "the character set %s is not read. Hint: ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4",
                   cs->name);
}
