/* Owns: the common form of cells. See cell_text.h. */
#include "cell_text.h"

#include <ctype.h>
#include <string.h>

#include "core/alloc.h"

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static void add_bytea(struct strbuf *out, const char *bytes, size_t len)
{
    for (size_t i = 2; i + 1 < len; i += 2)
        strbuf_addc(out, (char)(hex_digit(bytes[i]) << 4 | hex_digit(bytes[i + 1])));
}

static size_t digits(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && isdigit((unsigned char)p[i]))
        i++;
    return i;
}

/* -12.500 and 1e+20: where the number's fraction begins and ends; false: no number, or a whole one. */
static bool find_fraction(const char *p, size_t n, size_t *ret_point, size_t *ret_end)
{
    size_t i = n > 0 && (*p == '-' || *p == '+'), whole = digits(p + i, n - i);
    if (whole == 0)
        return false;
    i += whole;
    *ret_point = i;
    if (i < n && p[i] == '.')
        i += 1 + digits(p + i + 1, n - i - 1);
    *ret_end = i;
    if (i < n && (p[i] == 'e' || p[i] == 'E')) {
        i += i + 1 < n && (p[i + 1] == '-' || p[i + 1] == '+') ? 2 : 1;
        size_t exponent = digits(p + i, n - i);
        return exponent > 0 && i + exponent == n;
    }
    return i == n && *ret_end > *ret_point;
}

/* 2026-01-31 10:00:00[.25][+00], 10:00:00.25 */
static bool find_seconds(const char *p, size_t n, size_t *ret_point, size_t *ret_end)
{
    const char *colon = n > 7 ? memchr(p, ':', MIN_OF(n, (size_t)14)) : NULL;
    size_t at = colon != NULL ? (size_t)(colon - p) : 0;
    if (colon == NULL || at + 6 > n || p[at + 3] != ':' || digits(p + at + 1, 2) != 2 ||
        digits(p + at + 4, 2) != 2)
        return false;
    *ret_point = at + 6;
    *ret_end = *ret_point;
    if (*ret_end < n && p[*ret_end] == '.')
        *ret_end += 1 + digits(p + *ret_end + 1, n - *ret_end - 1);
    return *ret_end == n || (n - *ret_end == 3 && memcmp(p + *ret_end, "+00", 3) == 0);
}

static void add_without_zeros(struct strbuf *out, const char *p, size_t point, size_t end)
{
    while (end > point && p[end - 1] == '0')
        end--;
    if (end == point + 1)
        end = point;
    strbuf_add(out, p, end);
}

static void add_number(struct strbuf *out, const char *p, size_t n, size_t point, size_t end)
{
    add_without_zeros(out, p, point, end);
    if (end < n) { /* 1e+20 is 1e20 */
        strbuf_addc(out, 'e');
        size_t skip = p[end + 1] == '+' ? 2 : 1;
        strbuf_add(out, p + end + skip, n - end - skip);
    }
}

static void add_plain(struct strbuf *out, const struct rows_cell *cell)
{
    const char *p = cell->bytes;
    size_t n = cell->len, point = 0, end = 0;
    bool number = cell->kind == CELL_DECIMAL || cell->kind == CELL_FLOAT;
    if (cell->kind == CELL_BOOL)
        strbuf_addc(out, *p == 't' ? '1' : '0');
    else if (cell->kind == CELL_BYTES)
        add_bytea(out, p, n);
    else if (number && find_fraction(p, n, &point, &end))
        add_number(out, p, n, point, end);
    else if (cell->kind == CELL_TIME && find_seconds(p, n, &point, &end))
        add_without_zeros(out, p, point, end);
    else
        strbuf_add(out, p, n);
}

bool cells_plain(struct rows_cell *cells, size_t count, struct strbuf *text, struct err *err)
{
    size_t *starts CLEANUP(free_ptr) = xcalloc(count + 1, sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        starts[i] = text->len;
        if (cells[i].bytes != NULL)
            add_plain(text, &cells[i]);
        cells[i].len = text->len - starts[i];
        strbuf_add(text, "", 1); /* rounded numbers are read up to here */
    }
    for (size_t i = 0; i < count; i++) {
        if (cells[i].bytes != NULL)
            cells[i].bytes = text->data + starts[i];
    }
    return strbuf_ok(text, "a row", err);
}
