/*
 * Values that SELECT gave, as the binlog's reader would give them: the text becomes the bytes that the server stores, and these are read as
 * those of an event are. So rows of a copy and of the stream cannot differ.
 * @thread: one owner at a time.
 */
#ifndef MARIA_BINLOG_VALUE_TEXT_H
#define MARIA_BINLOG_VALUE_TEXT_H

#include "maria/binlog/value.h"

/* The column in a select list, in the form that value_of_text() takes. `name` is not quoted yet. */
void value_select(const struct value_plan *plan, const char *name, struct strbuf *sql);
/* text NULL = null. As value_read(); texts and bytes of *ret may point into `text`. ERR_PROTOCOL: not what the column holds. */
bool value_of_text(const struct value_plan *plan, const char *text, size_t len,
                   const struct value_context *ctx, struct datum *ret, struct err *err) MUST_CHECK;

#endif
