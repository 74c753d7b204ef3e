/* Owns: hashing of results. See rows_hash.h. */
#include "rows_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/strbuf.h"

#define ROW_BYTES_MAX ((size_t)256 << 20)
#define FLOAT_DIGITS                                                                                         \
    9 /* of a sum of doubles in another order, the first 9 digits are the same but once in a million */

void rows_hash_begin(struct rows_hash *h, size_t columns)
{
    *h = (struct rows_hash){.columns = columns};
}

void rows_hash_set_keys(struct rows_hash *h, const size_t *keys, size_t count)
{
    h->has_keys = count > 0 && count <= ROWS_KEYS_MAX;
    for (size_t i = 0; h->has_keys && i < count; i++)
        h->key_columns[i] = keys[i];
    h->key_count = h->has_keys ? count : 0;
}

static void sum_add(struct rows_sum *sum, const uint8_t hash[SHA256_BYTES])
{
    unsigned __int128 carry = 0;
    for (size_t i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, hash + i * 8, 8);
        carry += (unsigned __int128)sum->part[i] + word;
        sum->part[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

static void sum_add_sum(struct rows_sum *sum, const struct rows_sum *other)
{
    uint8_t bytes[SHA256_BYTES];
    memcpy(bytes, other->part, sizeof bytes);
    sum_add(sum, bytes);
}

static void add_cell(struct strbuf *sb, const char *bytes, size_t len)
{
    strbuf_add_be32(sb, bytes != NULL ? (uint32_t)len : UINT32_MAX);
    if (bytes != NULL)
        strbuf_add(sb, bytes, len);
}

static void add_rounded(struct strbuf *sb, const struct rows_cell *cell)
{
    char text[64];
    char *end = NULL;
    double v = cell->bytes != NULL && cell->kind == CELL_FLOAT ? strtod(cell->bytes, &end) : 0;
    if (end == NULL || *end != '\0') {
        add_cell(sb, cell->bytes, cell->len);
        return;
    }
    int n = snprintf(text, sizeof text, "%.*e", FLOAT_DIGITS - 1, v == 0 ? 0.0 : v);
    add_cell(sb, text, (size_t)n);
}

/* What sorts as equal is written alike: 1.50 as 1.5; floating-point numbers rounded, so that their last digits make no order. */
static void add_key_cell(struct strbuf *sb, const struct rows_cell *cell)
{
    size_t len = cell->len;
    if (cell->kind == CELL_FLOAT) {
        add_rounded(sb, cell);
        return;
    }
    if (cell->bytes != NULL && cell->kind == CELL_DECIMAL && memchr(cell->bytes, '.', len) != NULL) {
        while (len > 1 && cell->bytes[len - 1] == '0')
            len--;
        len -= cell->bytes[len - 1] == '.';
    }
    add_cell(sb, cell->bytes, len);
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static bool digest(const struct strbuf *sb, uint8_t out[SHA256_BYTES], char hex[SHA256_HEX], struct err *err)
{
    if (!strbuf_ok(sb, "a row", err))
        return false;
    if (!sha256_hex(sb->data, sb->len, hex))
        return err_set(err, ERR_NO_MEMORY, "SHA-256 failed");
    for (size_t i = 0; i < SHA256_BYTES; i++)
        out[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return true;
}

static bool chain(uint8_t state[SHA256_BYTES], const uint8_t next[SHA256_BYTES], struct err *err)
{
    char hex[SHA256_HEX];
    struct strbuf both = STRBUF_INIT(2 * SHA256_BYTES + 1);
    strbuf_add(&both, state, SHA256_BYTES);
    strbuf_add(&both, next, SHA256_BYTES);
    bool ok = digest(&both, state, hex, err);
    strbuf_release(&both);
    return ok;
}

/* The rows of a sort key are whole once the next key comes: then they are neither the last ones nor, from the second on, the first. */
static bool add_key(struct rows_hash *h, const struct rows_cell *cells, const uint8_t row[SHA256_BYTES],
                    struct err *err)
{
    struct strbuf sb = STRBUF_INIT(ROW_BYTES_MAX);
    uint8_t key[SHA256_BYTES];
    char hex[SHA256_HEX];
    for (size_t i = 0; i < h->key_count; i++)
        add_key_cell(&sb, &cells[h->key_columns[i]]);
    bool ok = digest(&sb, key, hex, err) && chain(h->keys, key, err);
    strbuf_release(&sb);
    if (!ok)
        return false;
    if (strcmp(hex, h->last_key) != 0) {
        if (h->groups == 1)
            h->first = h->group;
        else if (h->groups > 1)
            sum_add_sum(&h->middle, &h->group);
        h->group = (struct rows_sum){0};
        h->last_rows = 0;
        memcpy(h->last_key, hex, sizeof hex);
        h->groups++;
    }
    sum_add(&h->group, row);
    h->last_rows++;
    h->first_rows += h->groups == 1;
    return true;
}

bool rows_hash_add(struct rows_hash *h, const struct rows_cell *cells, struct err *err)
{
    struct strbuf exact = STRBUF_INIT(ROW_BYTES_MAX), rounded = STRBUF_INIT(ROW_BYTES_MAX);
    uint8_t row[SHA256_BYTES], rough[SHA256_BYTES];
    char hex[SHA256_HEX];
    bool floats = false;
    for (size_t i = 0; i < h->columns; i++) {
        add_cell(&exact, cells[i].bytes, cells[i].len);
        floats = floats || cells[i].kind == CELL_FLOAT;
    }
    for (size_t i = 0; floats && i < h->columns; i++)
        add_rounded(&rounded, &cells[i]);
    bool ok = digest(&exact, row, hex, err) && chain(h->sequence, row, err) &&
              (h->key_count == 0 || add_key(h, cells, row, err));
    if (ok && floats)
        ok = digest(&rounded, rough, hex, err);
    strbuf_release(&exact);
    strbuf_release(&rounded);
    if (!ok)
        return false;
    sum_add(&h->all, row);
    sum_add(&h->rounded, floats ? rough : row);
    h->rows++;
    return true;
}

static bool same_sum(const struct rows_sum *a, const struct rows_sum *b)
{
    return memcmp(a->part, b->part, sizeof a->part) == 0;
}

/* Rows differ: whether only those do that the limits may have chosen among others. Nothing is cut off before the first without OFFSET. */
static bool only_edges_differ(const struct rows_hash *a, const struct rows_hash *b,
                              const struct rows_query *query)
{
    return same_sum(&a->middle, &b->middle) &&
           (query->offset || a->groups < 2 || same_sum(&a->first, &b->first));
}

enum rows_relation rows_hash_compare(const struct rows_hash *a, const struct rows_hash *b,
                                     const struct rows_query *query)
{
    if (a->columns != b->columns || a->rows != b->rows)
        return ROWS_DIFFER;
    bool same_rows = same_sum(&a->all, &b->all);
    bool same_sequence = memcmp(a->sequence, b->sequence, SHA256_BYTES) == 0;
    bool keys = query->ordered && a->has_keys && b->has_keys, vague = a->vague_keys || b->vague_keys;
    bool same_keys = memcmp(a->keys, b->keys, SHA256_BYTES) == 0;
    if (same_rows && (same_sequence || !query->ordered))
        return ROWS_EQUAL;
    if (same_rows)
        return keys && same_keys ? ROWS_TIES : !keys || vague ? ROWS_ORDER : ROWS_DISORDER;
    if (same_sum(&a->rounded, &b->rounded))
        return !keys || same_keys || vague ? ROWS_FLOATS : ROWS_DISORDER;
    if (query->limited && keys && same_keys && only_edges_differ(a, b, query))
        return ROWS_EDGE;
    return ROWS_DIFFER;
}
