/* Owns: the pull reader. See json_read.h. */
#include "change/json_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

void json_reader_init(struct json_reader *jr, const void *text, size_t len, struct arena *arena)
{
    *jr = (struct json_reader){.p = text, .end = (const char *)text + len, .arena = arena};
}

void json_fail(struct json_reader *jr, const char *why)
{
    if (jr->failed == NULL)
        jr->failed = why;
    jr->p = jr->end;
}

static void skip_blanks(struct json_reader *jr)
{
    while (jr->p < jr->end && (*jr->p == ' ' || *jr->p == '\n' || *jr->p == '\r' || *jr->p == '\t'))
        jr->p++;
}

/* Next byte after blanks, '\0' at the end. */
static char peek(struct json_reader *jr)
{
    if (jr->p<jr->end && * jr->p> ' ')
        return *jr->p;
    skip_blanks(jr);
    return jr->p < jr->end ? *jr->p : '\0';
}

static bool take_literal(struct json_reader *jr, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(jr->end - jr->p) < len || memcmp(jr->p, word, len) != 0)
        return false;
    jr->p += len;
    return true;
}

bool json_take_null(struct json_reader *jr)
{
    return peek(jr) == 'n' && take_literal(jr, "null");
}

bool json_take_bool(struct json_reader *jr)
{
    (void)peek(jr);
    if (take_literal(jr, "true"))
        return true;
    if (!take_literal(jr, "false"))
        json_fail(jr, "true or false expected");
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hex digits; UINT32_MAX if they are not there. */
static uint32_t take_hex4(const char **p, const char *end)
{
    uint32_t v = 0;
    if (end - *p < 4)
        return UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit((*p)[i]);
        if (digit < 0)
            return UINT32_MAX;
        v = v << 4 | (uint32_t)digit;
    }
    *p += 4;
    return v;
}

/* After "\u": one code point, surrogate pairs joined; UINT32_MAX when it is none. Zero is one: others' databases have
 * it in their texts, and who writes the value knows what its column takes. */
static uint32_t take_code_point(const char **p, const char *end)
{
    uint32_t v = take_hex4(p, end);
    if (v == UINT32_MAX || (v >= 0xdc00 && v <= 0xdfff))
        return UINT32_MAX;
    if (v < 0xd800 || v > 0xdbff)
        return v;
    if (end - *p < 2 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return UINT32_MAX;
    *p += 2;
    uint32_t low = take_hex4(p, end);
    if (low < 0xdc00 || low > 0xdfff)
        return UINT32_MAX;
    return 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
}

static char *put_utf8(char *to, uint32_t v)
{
    if (v < 0x80) {
        *to++ = (char)v;
    } else if (v < 0x800) {
        *to++ = (char)(0xc0 | v >> 6);
        *to++ = (char)(0x80 | (v & 63));
    } else if (v < 0x10000) {
        *to++ = (char)(0xe0 | v >> 12);
        *to++ = (char)(0x80 | (v >> 6 & 63));
        *to++ = (char)(0x80 | (v & 63));
    } else {
        *to++ = (char)(0xf0 | v >> 18);
        *to++ = (char)(0x80 | (v >> 12 & 63));
        *to++ = (char)(0x80 | (v >> 6 & 63));
        *to++ = (char)(0x80 | (v & 63));
    }
    return to;
}

static char simple_escape(char c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = c != '\0' ? strchr(from, c) : NULL;
    return at != NULL ? to[at - from] : '\0';
}

/* The unescaped text is never longer than the escaped one. */
static bool unescape(struct json_reader *jr, const char *from, const char *end, const char **ret,
                     size_t *ret_len)
{
    char *text = arena_alloc(jr->arena, (size_t)(end - from) + 1);
    if (text == NULL)
        return false;
    char *to = text;
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        from++; /* a backslash is never last: the string's end was found past it */
        if (*from == 'u') {
            from++;
            uint32_t v = take_code_point(&from, end);
            if (v == UINT32_MAX)
                return false;
            to = put_utf8(to, v);
            continue;
        }
        char c = simple_escape(*from++);
        if (c == '\0')
            return false;
        *to++ = c;
    }
    *ret = text;
    *ret_len = (size_t)(to - text);
    return true;
}

/* Where the text's closing quote is; notes escapes. NULL if there is none or a control character comes
 * before. */
static const char *string_end(const char *p, const char *end, bool *ret_escapes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    *ret_escapes = false;
    while (p < end) {
        while (end - p >= 8) {
            uint64_t w;
            memcpy(&w, p, sizeof w);
            uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
            uint64_t hit = ((w - ones * 32) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
            if ((hit & high) != 0)
                break;
            p += 8;
        }
        if (p == end)
            return NULL;
        if (*p == '"')
            return p;
        if ((unsigned char)*p < 32)
            return NULL;
        if (*p == '\\') {
            *ret_escapes = true;
            if (++p == end)
                return NULL;
        }
        p++;
    }
    return NULL;
}

void json_take_string(struct json_reader *jr, const char **ret, size_t *ret_len)
{
    bool escapes;
    *ret = "";
    *ret_len = 0;
    if (peek(jr) != '"') {
        json_fail(jr, "string expected");
        return;
    }
    const char *start = jr->p + 1, *close = string_end(start, jr->end, &escapes);
    if (close == NULL) {
        json_fail(jr, "string has no end or a control character");
        return;
    }
    size_t len = (size_t)(close - start);
    jr->p = close + 1;
    if (!utf8_valid(start, len))
        json_fail(jr, "text is not valid UTF-8");
    else if (!escapes) {
        *ret = start;
        *ret_len = len;
    } else if (!unescape(jr, start, close, ret, ret_len))
        json_fail(jr, "bad escape in a string");
}

int64_t json_take_int(struct json_reader *jr)
{
    bool negative = peek(jr) == '-';
    const char *p = jr->p + (negative ? 1 : 0), *start = p;
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    while (p < jr->end && *p >= '0' && *p <= '9') {
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (limit - digit) / 10) {
            json_fail(jr, "integer is larger than 64 bits");
            return 0;
        }
        v = v * 10 + digit;
        p++;
    }
    bool leading_zero = p - start > 1 && *start == '0';
    if (p == start || leading_zero || (p < jr->end && (*p == '.' || *p == 'e' || *p == 'E'))) {
        json_fail(jr, "integer expected");
        return 0;
    }
    jr->p = p;
    return negative ? (int64_t)(0 - v) : (int64_t)v;
}

/* A number by JSON's grammar: its length, 0 if it is none. */
static size_t number_len(const char *p, const char *end)
{
    const char *start = p;
#define DIGITS(least)                                                                                        \
    do {                                                                                                     \
        const char *first = p;                                                                               \
        while (p < end && *p >= '0' && *p <= '9')                                                            \
            p++;                                                                                             \
        if (p - first < (least))                                                                             \
            return 0;                                                                                        \
    } while (0)
    if (p < end && *p == '-')
        p++;
    if (p < end && *p == '0')
        p++;
    else
        DIGITS(1);
    if (p < end && *p == '.') {
        p++;
        DIGITS(1);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        DIGITS(1);
    }
#undef DIGITS
    return (size_t)(p - start);
}

static double special_float(struct json_reader *jr)
{
    const char *text;
    size_t len;
    json_take_string(jr, &text, &len);
    if (len == 3 && memcmp(text, "NaN", 3) == 0)
        return (double)NAN;
    if (len == 8 && memcmp(text, "Infinity", 8) == 0)
        return (double)INFINITY;
    if (len == 9 && memcmp(text, "-Infinity", 9) == 0)
        return -(double)INFINITY;
    json_fail(jr, "number expected");
    return 0;
}

double json_take_float(struct json_reader *jr, bool single)
{
    char text[400];
    if (peek(jr) == '"')
        return special_float(jr);
    size_t len = number_len(jr->p, jr->end);
    if (len == 0 || len >= sizeof text) {
        json_fail(jr, "number expected");
        return 0;
    }
    memcpy(text, jr->p, len);
    text[len] = '\0';
    double v = single ? (double)strtof(text, NULL) : strtod(text, NULL);
    if (isinf(v)) {
        json_fail(jr, "number is out of range");
        return 0;
    }
    jr->p += len;
    return v;
}

/* 0–63, or 64 for what is no digit. */
static unsigned base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

static bool decode_base64(const char *text, size_t len, char *out, size_t *ret_len)
{
    size_t n = 0, padding = 0;
    if (len % 4 != 0)
        return false;
    if (len != 0 && text[len - 1] == '=')
        padding = text[len - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < len; i += 4) {
        unsigned v = 0;
        size_t pad = i + 4 == len ? padding : 0;
        for (size_t k = 0; k < 4; k++) {
            unsigned digit = k >= 4 - pad ? 0 : base64_digit(text[i + k]);
            if (digit > 63)
                return false;
            v = v << 6 | digit;
        }
        for (size_t k = 0; k < 3 - pad; k++)
            out[n++] = (char)(v >> (16 - 8 * k));
    }
    *ret_len = n;
    return true;
}

void json_take_base64(struct json_reader *jr, const char **ret, size_t *ret_len)
{
    const char *text;
    size_t len;
    json_take_string(jr, &text, &len);
    *ret = "";
    *ret_len = 0;
    char *bytes = jr->failed == NULL ? arena_alloc(jr->arena, len / 4 * 3 + 1) : NULL;
    if (bytes == NULL || !decode_base64(text, len, bytes, ret_len))
        json_fail(jr, "base64 expected");
    else
        *ret = bytes;
}

void json_open(struct json_reader *jr, char bracket)
{
    if (peek(jr) != bracket || jr->depth >= JSON_DEPTH_MAX) {
        json_fail(jr, jr->depth >= JSON_DEPTH_MAX ? "nested too deeply" : "object or array expected");
        return;
    }
    jr->p++;
    jr->depth++;
}

/* Before a member or element: the comma, or the closing bracket (then false). */
static bool next_item(struct json_reader *jr, bool *first, char close)
{
    char c = peek(jr);
    if (jr->failed != NULL)
        return false;
    if (c == close) {
        jr->p++;
        jr->depth--;
        return false;
    }
    if (!*first) {
        if (c != ',') {
            json_fail(jr, "comma or closing bracket expected");
            return false;
        }
        jr->p++;
    }
    *first = false;
    return true;
}

bool json_member(struct json_reader *jr, bool *first, const char **ret_name, size_t *ret_len)
{
    if (!next_item(jr, first, '}'))
        return false;
    json_take_string(jr, ret_name, ret_len);
    if (peek(jr) != ':')
        json_fail(jr, "colon expected");
    else
        jr->p++;
    return jr->failed == NULL;
}

bool json_element(struct json_reader *jr, bool *first)
{
    return next_item(jr, first, ']');
}

static void skip_number(struct json_reader *jr)
{
    size_t len = number_len(jr->p, jr->end);
    if (len == 0)
        json_fail(jr, "value expected");
    else
        jr->p += len;
}

void json_skip(struct json_reader *jr)
{
    const char *text;
    size_t len;
    bool first = true;
    switch (peek(jr)) {
    case '{':
        json_open(jr, '{');
        while (json_member(jr, &first, &text, &len))
            json_skip(jr);
        return;
    case '[':
        json_open(jr, '[');
        while (json_element(jr, &first))
            json_skip(jr);
        return;
    case '"':
        json_take_string(jr, &text, &len);
        return;
    case 't':
    case 'f':
        (void)json_take_bool(jr);
        return;
    case 'n':
        if (!json_take_null(jr))
            json_fail(jr, "value expected");
        return;
    default:
        skip_number(jr);
    }
}

void json_end(struct json_reader *jr)
{
    skip_blanks(jr);
    if (jr->p != jr->end)
        json_fail(jr, "bytes are left over");
}
