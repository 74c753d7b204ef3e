/* Owns: how values look as JSON text. See json_write.h. */
#include "change/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put_escaped(struct strbuf *out, unsigned char c)
{
    static const char short_form[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (c >= 32 || short_form[c] != 0) {
        text[1] = c >= 32 ? (char)c : short_form[c];
        strbuf_add(out, text, 2);
    } else {
        strbuf_add(out, text, sizeof text);
    }
}

static bool must_escape(unsigned char c)
{
    return c < 32 || c == '"' || c == '\\';
}

/* Length of the leading part that needs no escape; eight bytes at once while they are all plain. */
static size_t plain_run(const char *text, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t w;
        memcpy(&w, text + i, sizeof w);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        uint64_t hit = ((w - ones * 32) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
        if ((hit & high) != 0)
            break;
    }
    while (i < len && !must_escape((unsigned char)text[i]))
        i++;
    return i;
}

void json_put_string(struct strbuf *out, const char *text, size_t len)
{
    strbuf_addc(out, '"');
    while (len != 0) {
        size_t run = plain_run(text, len);
        if (run != 0)
            strbuf_add(out, text, run);
        text += run;
        len -= run;
        if (len != 0) {
            put_escaped(out, (unsigned char)*text++);
            len--;
        }
    }
    strbuf_addc(out, '"');
}

void json_put_int(struct strbuf *out, int64_t v)
{
    char digits[21];
    char *p = digits + sizeof digits;
    uint64_t n = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    if (v < 0)
        *--p = '-';
    strbuf_add(out, p, (size_t)(digits + sizeof digits - p));
}

/* As few digits as read back to the same value. */
static void shortest(char *text, size_t size, double v, bool single)
{
    int least = single ? 6 : 15, most = single ? 9 : 17;
    for (int digits = least; digits <= most; digits++) {
        (void)snprintf(text, size, "%.*g", digits, v);
        if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            break;
    }
}

void json_put_float(struct strbuf *out, double v, bool single)
{
    char text[40];
    if (isnan(v) || isinf(v)) {
        strbuf_adds(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (v != 0 && v > -1e6 && v < 1e6 && v == (double)(int64_t)v) { /* common, and exact in six digits */
        json_put_int(out, (int64_t)v);
        strbuf_adds(out, ".0");
        return;
    }
    shortest(text, sizeof text, v, single);
    char *comma = strchr(text, ','); /* a locale's decimal point */
    if (comma != NULL)
        *comma = '.';
    strbuf_adds(out, text);
    if (strpbrk(text, ".e") == NULL)
        strbuf_adds(out, ".0");
}

void json_put_base64(struct strbuf *out, const void *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = bytes;
    char *to = strbuf_reserve(out, (len / 3 + 1) * 4 + 2);
    if (to == NULL)
        return;
    char *start = to;
    *to++ = '"';
    for (; len >= 3; len -= 3, s += 3) {
        unsigned v = (unsigned)s[0] << 16 | (unsigned)s[1] << 8 | s[2];
        *to++ = digits[v >> 18];
        *to++ = digits[(v >> 12) & 63];
        *to++ = digits[(v >> 6) & 63];
        *to++ = digits[v & 63];
    }
    if (len != 0) {
        unsigned v = (unsigned)s[0] << 16 | (len == 2 ? (unsigned)s[1] << 8 : 0);
        *to++ = digits[v >> 18];
        *to++ = digits[(v >> 12) & 63];
        *to++ = len == 2 ? digits[(v >> 6) & 63] : '=';
        *to++ = '=';
    }
    *to++ = '"';
    out->len += (size_t)(to - start);
    out->data[out->len] = '\0';
}
