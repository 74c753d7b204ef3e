/*
 * Texts of any character set as UTF-8, without loss: utf8mb3, utf8mb4 and ascii as they are, sets of one byte by a table that the server
 * itself made, the UTF-16 and UTF-32 kinds by iconv. Others (Chinese, Japanese and Korean sets, whose tables differ from library to
 * library) are refused.
 * @thread: one owner at a time.
 */
#ifndef MARIA_BINLOG_CHARSET_H
#define MARIA_BINLOG_CHARSET_H

#include <iconv.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

#define CHARSET_NAME_MAX   33
#define COLLATION_OF_BYTES 63

enum charset_way { CHARSET_REFUSED = 0, CHARSET_BYTES, CHARSET_UTF8, CHARSET_TABLE, CHARSET_ICONV };

struct charset {
    char name[CHARSET_NAME_MAX];
    enum charset_way way;
    unsigned max_bytes;    /* of one character, as the server has it */
    uint8_t table[256][4]; /* TABLE: UTF-8, zeros behind it; all zeros = no character */
    bool has_table;
    iconv_t iconv; /* ICONV: opened at first use */
    bool has_iconv;
};

/* What can be known from the name and the width. */
void charset_init(struct charset *cs, const char *name, unsigned max_bytes);
/* What the server gave for the bytes 0x00 to 0xff in their order, as UTF-8. ERR_PROTOCOL: it is not 256 characters. */
bool charset_set_table(struct charset *cs, const char *text, size_t len, struct err *err) MUST_CHECK;
void charset_release(struct charset *cs);
/* Appends to out. ERR_DATA: not a text of that set, or it has a NUL (no value of it is shown); ERR_UNSUPPORTED: refused. */
bool charset_add_utf8(struct charset *cs, const void *bytes, size_t len, struct strbuf *out,
                      struct err *err) MUST_CHECK;
/* Whether the bytes themselves are the UTF-8 (then they need no copy; not yet checked). */
static inline bool charset_is_utf8(const struct charset *cs)
{
    return cs->way == CHARSET_UTF8;
}
bool charset_check_utf8(const void *bytes, size_t len, struct err *err) MUST_CHECK;

#endif
