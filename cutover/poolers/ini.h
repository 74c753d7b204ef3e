/*
 * A configuration file of PgBouncer as a text: where an entry stands, and the same text with another one in its place. Everything
 * else stays as it is, byte by byte. The entry that was there is kept in a comment before the new one:
 *
 *     ;crossfade-before 20260131T120000Z-1a2b3c4d app = host=db1 password=…
 *     app = host=db2 password=…
 *
 * so that it can be put back from this file alone, and no secret leaves it. Pure. @thread any
 */
#ifndef CUTOVER_POOLERS_INI_H
#define CUTOVER_POOLERS_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/strbuf.h"

enum ini_kind { INI_END = 0, INI_SECTION, INI_ENTRY, INI_INCLUDE };

/* Offsets in the text. */
struct ini_span {
    size_t start, len;
};

struct ini_item {
    enum ini_kind kind;
    struct ini_span all;    /* of an entry: from its name to the end of its value */
    struct ini_span name;   /* of a section or entry; with its quotes */
    struct ini_span value;  /* of an entry; of an include: the path */
    struct ini_span mark;   /* the comment with the entry that was here before; len 0 = none */
    struct ini_span before; /* that entry, inside the comment */
};

struct ini_reader {
    const char *text;
    size_t len, at;
    struct ini_span mark, before; /* of the last comment of ours */
};

void ini_reader_init(struct ini_reader *r, const char *text, size_t len);
/* The next item, INI_END at the end. ERR_CONFIG says in which line PgBouncer would refuse the file. */
bool ini_next(struct ini_reader *r, struct ini_item *ret, struct err *err) MUST_CHECK;
/* Whether a section or entry has this name (quotes resolved). */
bool ini_is_named(const char *text, const struct ini_item *item, const char *name);
/* The text with another value in the place of item's, and what was there in a comment. id: of the cutover. */
void ini_put(const char *text, size_t len, const struct ini_item *item, const char *id, const char *value,
             struct strbuf *out);
/* The text with the entry that item's comment keeps; item has a mark. */
void ini_put_back(const char *text, size_t len, const struct ini_item *item, struct strbuf *out);

#endif
