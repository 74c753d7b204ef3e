/* UTF-8 as PostgreSQL accepts it: shortest forms only, no surrogates, up to U+10FFFF; U+0000 is refused too.
 */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* True if all len bytes are valid text. @thread any */
bool utf8_valid(const char *text, size_t len);
/* Length in bytes (1–4) of the character at text, 0 if it is not valid. len >= 1. */
size_t utf8_char_len(const char *text, size_t len);
/* Characters of a valid text: what it takes in columns, as long as none is wide or combining. */
size_t utf8_count(const char *text);
/* Of a character of n bytes, as utf8_char_len() has it. */
unsigned long utf8_code_point(const char *text, size_t n);
/* Characters that let a text read otherwise than it is, or lead a terminal (C1): breaks of lines, those of the Bidi algorithm, ones without
 * width. */
bool utf8_is_sly(unsigned long code_point);
/* For one line of a log or a terminal: valid, controls become blanks, each byte of a sly character '?'. */
void utf8_make_plain(char *text);
/* Puts '?' for each byte that is not part of a valid character (messages from servers, cut texts). */
void utf8_make_valid(char *text);

#endif
