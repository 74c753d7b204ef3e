/* Values for JSON documents of ours. @thread any */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include <jansson.h>
#include <stdint.h>

/* null for NULL; never NULL itself: what a server sent is UTF-8, but a document must not fail on a text that is not. */
json_t *json_text(const char *text);
/* As json_text(), and null for "". */
json_t *json_text_or_null(const char *text);
json_t *json_amount(uint64_t n);

#endif
