/* Owns: nearly equal values. See lenient.h. */
#include "lenient.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"
#include "semantic/decimal.h"
#include "unicode.h"

#define NUMBER_BYTES_MAX 65536

static char *canonical_number(const char *text)
{
    struct strbuf sb = STRBUF_INIT(NUMBER_BYTES_MAX);
    char *number = decimal_canonical(text, &sb) && !sb.failed ? xstrndup(sb.data, sb.len) : NULL;
    strbuf_release(&sb);
    return number;
}

static bool same_number(const struct lenient *lenient, const char *a, const char *b)
{
    char *x CLEANUP(free_ptr) = canonical_number(a), *y CLEANUP(free_ptr) = canonical_number(b);
    return x != NULL && y != NULL && decimal_within(x, y, lenient->absolute, lenient->relative);
}

/* A number becomes the string "n" and its one form, so that no double comes in between; a string gets an "s" in front, so that none
 * reads as a number. False: it is no JSON, or a number is too long. */
static bool mark_numbers(const char *json, struct strbuf *out)
{
    for (const char *p = json; *p != '\0';) {
        if (*p == '"') {
            strbuf_adds(out, "\"s");
            for (p++; *p != '"' && *p != '\0'; p++) {
                if (*p == '\\' && p[1] != '\0')
                    strbuf_addc(out, *p++);
                strbuf_addc(out, *p);
            }
            if (*p++ == '\0')
                return false;
            strbuf_addc(out, '"');
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            size_t len = strspn(p, "+-.eE0123456789");
            char *text CLEANUP(free_ptr) = xstrndup(p, len),
                       *number CLEANUP(free_ptr) = canonical_number(text);
            if (number == NULL)
                return false;
            strbuf_addf(out, "\"n%s\"", number);
            p += len;
        } else {
            strbuf_addc(out, *p++);
        }
    }
    return !out->failed;
}

/* NULL: it is no JSON, or a key comes twice in an object: which of the two counts is not ours to say. */
static json_t *read_json(const char *text)
{
    struct strbuf sb = STRBUF_INIT(strlen(text) * 4 + NUMBER_BYTES_MAX);
    json_t *json = NULL;
    if (mark_numbers(text, &sb))
        json = json_loadb(sb.data, sb.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    strbuf_release(&sb);
    return json;
}

static bool same_json(const char *a, const char *b)
{
    json_t *x = read_json(a), *y = read_json(b);
    bool same = x != NULL && y != NULL && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

/* What is not UTF-8 has no normal form, and equals only itself. */
static bool same_nfc(const char *a, const char *b)
{
    char *x CLEANUP(free_ptr) = unicode_nfc(a), *y CLEANUP(free_ptr) = unicode_nfc(b);
    return x != NULL && y != NULL && strcmp(x, y) == 0;
}

bool lenient_same(const struct lenient *lenient, const char *a, const char *b)
{
    switch (lenient->kind) {
    case LENIENT_NUMBER:
        return same_number(lenient, a, b);
    case LENIENT_JSON:
        return same_json(a, b);
    case LENIENT_TEXT:
        return lenient->nfc && same_nfc(a, b);
    case LENIENT_NOTHING:
        break;
    }
    return false;
}

void lenient_release(struct lenient *lenient)
{
    free(lenient->absolute);
    free(lenient->relative);
    *lenient = (struct lenient){.kind = LENIENT_NOTHING};
}

bool lenient_read_tolerance(const char *text, struct lenient *ret)
{
    static const char word[] = " relative";
    size_t len = strlen(text);
    bool relative = len > strlen(word) && strcmp(text + len - strlen(word), word) == 0;
    char *number CLEANUP(free_ptr) = xstrndup(text, relative ? len - strlen(word) : len);
    char *bound = canonical_number(number);
    if (bound == NULL || *bound == '-') {
        free(bound);
        return false;
    }
    *ret = (struct lenient){
        .kind = LENIENT_NUMBER, .absolute = relative ? NULL : bound, .relative = relative ? bound : NULL};
    return true;
}
