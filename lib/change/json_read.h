/*
 * For lib/change and what makes values of texts (pg/types): a pull reader over untrusted JSON text (RFC 8259; no extensions). Failure is sticky
 * and read once per record. Strings without escapes are handed out where they stand, others are unescaped
 * into the arena.
 */
#ifndef CHANGE_JSON_READ_H
#define CHANGE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"

#define JSON_DEPTH_MAX 64

struct json_reader {
    const char *p;
    const char *end;
    const char *failed; /* NULL, or what was wrong first */
    struct arena *arena;
    int depth;
};

void json_reader_init(struct json_reader *jr, const void *text, size_t len, struct arena *arena);
void json_fail(struct json_reader *jr, const char *why);
/* Consumes `null` if it comes next. */
bool json_take_null(struct json_reader *jr);
/* Valid UTF-8 without NUL; ("", 0) after a failure. */
void json_take_string(struct json_reader *jr, const char **ret, size_t *ret_len);
int64_t json_take_int(struct json_reader *jr);
bool json_take_bool(struct json_reader *jr);
/* A number, or one of "NaN", "Infinity", "-Infinity". */
double json_take_float(struct json_reader *jr, bool single);
/* A base64 string, decoded into the arena. */
void json_take_base64(struct json_reader *jr, const char **ret, size_t *ret_len);
void json_skip(struct json_reader *jr);

/* Objects: json_open(jr, '{'), then json_member() until false. Arrays: json_open(jr, '['), json_element(). */
void json_open(struct json_reader *jr, char bracket);
/* Next member's name; false at the end of the object or after a failure. *first: true before the first call.
 */
bool json_member(struct json_reader *jr, bool *first, const char **ret_name, size_t *ret_len);
bool json_element(struct json_reader *jr, bool *first);
/* Nothing but blanks is left. */
void json_end(struct json_reader *jr);

#endif
