/* What pages (reports, plans) are made of. @thread any */
#ifndef CORE_HTML_H
#define CORE_HTML_H

#include "core/strbuf.h"

/* The text with everything escaped that means something in HTML or XML, in contents and in quoted attributes alike. What neither allows
 * is made visible: control characters as their pictures, bytes that are not UTF-8 as U+FFFD; and so is what would reorder or hide
 * text ("[U+202E]"). */
void html_add_text(struct strbuf *out, const char *s);
/* The template up to its next {{…}}; returns what follows that mark ("" behind the last). */
const char *html_add_until_mark(struct strbuf *out, const char *template);

#endif
