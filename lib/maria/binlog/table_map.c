/* Owns: reading TABLE_MAP events. See table_map.h. */
#include "maria/binlog/table_map.h"

#include <string.h>

#include "maria/binlog/bytes.h"

enum optional { /* kinds of optional metadata */
                OPT_SIGNS = 1,
                OPT_DEFAULT_CHARSET,
                OPT_COLUMN_CHARSET,
                OPT_NAMES,
                OPT_SET_LABELS,
                OPT_ENUM_LABELS,
                OPT_GEOMETRY,
                OPT_KEY,
                OPT_KEY_PREFIX,
                OPT_LABEL_DEFAULT_CHARSET,
                OPT_LABEL_CHARSET
};

static bool broken(const struct table_map *map, const char *what, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "table=%.*s.%.*s: a broken TABLE_MAP event: %s", (int)map->database.len,
                   map->database.p, (int)map->table.len, map->table.p, what);
}

bool column_is_number(enum column_kind kind)
{
    return kind == COLUMN_TINY || kind == COLUMN_SHORT || kind == COLUMN_INT24 || kind == COLUMN_LONG ||
           kind == COLUMN_LONGLONG || kind == COLUMN_DECIMAL || kind == COLUMN_FLOAT ||
           kind == COLUMN_DOUBLE || kind == COLUMN_YEAR;
}

bool column_is_text(enum column_kind kind)
{
    return kind == COLUMN_STRING || kind == COLUMN_VARCHAR || kind == COLUMN_VAR_STRING ||
           kind == COLUMN_BLOB || kind == COLUMN_GEOMETRY;
}

static bool is_labels(enum column_kind kind)
{
    return kind == COLUMN_ENUM || kind == COLUMN_SET;
}

/* Two bytes: the real type and the length. A CHAR of more than 255 bytes has bits 8 and 9 of its length, inverted, in the first. */
static void read_string(struct bytes *meta, struct map_column *col)
{
    uint64_t real = bytes_le(meta, 1), len = bytes_le(meta, 1);
    if ((real & 0x30) != 0x30) {
        len |= ((real & 0x30) ^ 0x30) << 4;
        real |= 0x30;
    }
    col->kind = (enum column_kind)real;
    col->length = (uint32_t)len;
    if (col->kind != COLUMN_STRING && !is_labels(col->kind))
        meta->failed = true;
    if (is_labels(col->kind) && (len < 1 || len > (col->kind == COLUMN_ENUM ? 2 : 8)))
        meta->failed = true;
}

static void read_digits(struct bytes *meta, struct map_column *col)
{
    col->scale = (uint8_t)bytes_le(meta, 1);
    meta->failed = meta->failed || col->scale > 6;
}

static void read_fixed(struct bytes *meta, struct map_column *col, uint32_t size)
{
    col->length = (uint32_t)bytes_le(meta, 1);
    meta->failed = meta->failed || col->length != size;
}

static void read_decimal(struct bytes *meta, struct map_column *col)
{
    col->precision = (uint8_t)bytes_le(meta, 1);
    col->scale = (uint8_t)bytes_le(meta, 1);
    if (col->precision < 1 || col->precision > 65 || col->scale > 38 || col->scale > col->precision)
        meta->failed = true;
}

static void read_bits(struct bytes *meta, struct map_column *col)
{
    uint64_t over = bytes_le(meta, 1), whole = bytes_le(meta, 1);
    col->precision = (uint8_t)(whole * 8 + over);
    col->length = (uint32_t)(whole + (over > 0));
    if (over > 7 || whole > 8 || whole * 8 + over < 1 || whole * 8 + over > 64)
        meta->failed = true;
}

static bool unsupported(const struct table_map *map, size_t i, struct err *err)
{
    enum column_kind kind = map->columns[i].kind;
    const char *why =
        kind == COLUMN_BLOB_COMPRESSED || kind == COLUMN_VARCHAR_COMPRESSED
            ? "it has the attribute COMPRESSED. Hint: ALTER TABLE … MODIFY it without COMPRESSED"
        : kind == COLUMN_TIMESTAMP || kind == COLUMN_DATETIME || kind == COLUMN_TIME
            ? "its time is stored as servers before 10.1 did. Hint: ALTER TABLE … FORCE, with "
              "mysql56_temporal_format=ON"
            : "its type is not read";
    return err_set(err, ERR_UNSUPPORTED, "table=%.*s.%.*s: column %zu (type %d): %s", (int)map->database.len,
                   map->database.p, (int)map->table.len, map->table.p, i + 1, (int)kind, why);
}

/* False: a type that is not read. */
static bool read_column(struct bytes *meta, struct map_column *col)
{
    switch (col->kind) {
    case COLUMN_TINY:
    case COLUMN_SHORT:
    case COLUMN_INT24:
    case COLUMN_LONG:
    case COLUMN_LONGLONG:
    case COLUMN_YEAR:
    case COLUMN_DATE:
    case COLUMN_NEWDATE:
        return true;
    case COLUMN_FLOAT:
        read_fixed(meta, col, 4);
        return true;
    case COLUMN_DOUBLE:
        read_fixed(meta, col, 8);
        return true;
    case COLUMN_TIMESTAMP2:
    case COLUMN_DATETIME2:
    case COLUMN_TIME2:
        read_digits(meta, col);
        return true;
    case COLUMN_BLOB:
    case COLUMN_GEOMETRY:
        col->length = (uint32_t)bytes_le(meta, 1);
        meta->failed = meta->failed || col->length < 1 || col->length > 4;
        return true;
    case COLUMN_VARCHAR:
    case COLUMN_VAR_STRING:
        col->length = (uint32_t)bytes_le(meta, 2);
        return true;
    case COLUMN_STRING:
    case COLUMN_ENUM:
    case COLUMN_SET:
        read_string(meta, col);
        return true;
    case COLUMN_DECIMAL:
        read_decimal(meta, col);
        return true;
    case COLUMN_BIT:
        read_bits(meta, col);
        return true;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
    case COLUMN_TIME:
    case COLUMN_BLOB_COMPRESSED:
    case COLUMN_VARCHAR_COMPRESSED:
        break;
    }
    return false;
}

/* --- optional metadata --- */

static void read_signs(struct bytes *b, struct table_map *map)
{
    unsigned mask = 0, byte = 0;
    for (size_t i = 0; i < map->count; i++) {
        if (!column_is_number(map->columns[i].kind))
            continue;
        if (mask == 0) {
            byte = (unsigned)bytes_le(b, 1);
            mask = 0x80;
        }
        map->columns[i].is_unsigned = (byte & mask) != 0;
        mask >>= 1;
    }
    map->has_signs = true;
}

typedef bool of_kind(enum column_kind kind);

/* Each of these columns in turn. */
static void read_charsets(struct bytes *b, struct table_map *map, of_kind *is)
{
    for (size_t i = 0; i < map->count; i++) {
        if (is(map->columns[i].kind))
            map->columns[i].collation = (uint32_t)bytes_packed(b);
    }
}

/* One for all, and pairs of (ordinal among these columns, another one). */
static void read_default_charset(struct bytes *b, struct table_map *map, of_kind *is)
{
    uint32_t most = (uint32_t)bytes_packed(b);
    uint64_t next = bytes_left(b) > 0 ? bytes_packed(b) : UINT64_MAX, ordinal = 0;
    for (size_t i = 0; i < map->count && !b->failed; i++) {
        if (!is(map->columns[i].kind))
            continue;
        map->columns[i].collation = most;
        if (ordinal++ == next) {
            map->columns[i].collation = (uint32_t)bytes_packed(b);
            next = bytes_left(b) > 0 ? bytes_packed(b) : UINT64_MAX;
        }
    }
    b->failed = b->failed || next != UINT64_MAX;
}

static struct binlog_span packed_text(struct bytes *b)
{
    uint64_t len = bytes_packed(b);
    const uint8_t *p = bytes_take(b, len);
    return (struct binlog_span){.p = (const char *)p, .len = p != NULL ? (size_t)len : 0};
}

static void read_names(struct bytes *b, struct table_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        map->columns[i].name = packed_text(b);
        b->failed = b->failed || map->columns[i].name.len == 0;
    }
    map->has_names = true;
}

static bool read_label_list(struct bytes *b, struct arena *arena, struct labels *ret)
{
    uint64_t count = bytes_packed(b);
    if (b->failed || count > 65535 || count > bytes_left(b)) { /* each takes a byte at least */
        b->failed = true;
        return true;
    }
    struct binlog_span *items = arena_alloc(arena, (size_t)count * sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        items[i] = packed_text(b);
    *ret = (struct labels){.items = items, .count = (size_t)count};
    return true;
}

static bool read_labels(struct bytes *b, struct arena *arena, struct table_map *map, enum column_kind kind)
{
    for (size_t i = 0; i < map->count && !b->failed; i++) {
        if (map->columns[i].kind == kind && !read_label_list(b, arena, &map->columns[i].labels))
            return false;
    }
    map->has_labels = true;
    return true;
}

static void read_geometry(struct bytes *b, struct table_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        if (map->columns[i].kind == COLUMN_GEOMETRY)
            map->columns[i].geometry = (uint8_t)bytes_packed(b);
    }
}

static void read_key(struct bytes *b, struct table_map *map, bool prefixes)
{
    while (bytes_left(b) > 0 && !b->failed) {
        uint64_t index = bytes_packed(b);
        if (prefixes && bytes_packed(b) != 0)
            map->key_prefix = true;
        if (index >= map->count || map->columns[index].key) {
            b->failed = true;
            return;
        }
        map->columns[index].key = true;
        map->key[map->key_count++] = (uint16_t)index;
    }
}

/* False: no memory. */
static bool read_optional(unsigned kind, struct bytes *b, struct arena *arena, struct table_map *map)
{
    switch (kind) {
    case OPT_SIGNS:
        read_signs(b, map);
        break;
    case OPT_DEFAULT_CHARSET:
        read_default_charset(b, map, column_is_text);
        map->has_charsets = true;
        break;
    case OPT_COLUMN_CHARSET:
        read_charsets(b, map, column_is_text);
        map->has_charsets = true;
        break;
    case OPT_LABEL_DEFAULT_CHARSET:
        read_default_charset(b, map, is_labels);
        break;
    case OPT_LABEL_CHARSET:
        read_charsets(b, map, is_labels);
        break;
    case OPT_NAMES:
        read_names(b, map);
        break;
    case OPT_SET_LABELS:
        return read_labels(b, arena, map, COLUMN_SET);
    case OPT_ENUM_LABELS:
        return read_labels(b, arena, map, COLUMN_ENUM);
    case OPT_GEOMETRY:
        read_geometry(b, map);
        break;
    case OPT_KEY:
    case OPT_KEY_PREFIX:
        read_key(b, map, kind == OPT_KEY_PREFIX);
        break;
    default: /* of a later server: what we need is not in it */
        b->p = b->end;
        break;
    }
    return true;
}

static bool read_all_optional(struct bytes *b, struct arena *arena, struct table_map *map, struct err *err)
{
    uint32_t seen = 0;
    while (bytes_left(b) > 0) {
        unsigned kind = (unsigned)bytes_le(b, 1);
        uint64_t len = bytes_packed(b);
        const uint8_t *p = bytes_take(b, len);
        if (p == NULL || (kind < 32 && (seen & 1u << kind) != 0))
            return broken(map, "its optional metadata", err);
        seen |= kind < 32 ? 1u << kind : 0;
        struct bytes part = bytes_of(p, (size_t)len);
        if (!read_optional(kind, &part, arena, map))
            return err_set(err, ERR_NO_MEMORY, "no memory for the labels of a table");
        if (part.failed || bytes_left(&part) > 0)
            return broken(map, "its optional metadata", err);
    }
    return true;
}

/* --- all of it --- */

static struct binlog_span name_of(struct bytes *b)
{
    uint64_t len = bytes_le(b, 1);
    const uint8_t *p = bytes_take(b, len + 1);
    if (p == NULL || p[len] != '\0' || memchr(p, '\0', (size_t)len) != NULL) {
        b->failed = true;
        return (struct binlog_span){.p = ""};
    }
    return (struct binlog_span){.p = (const char *)p, .len = (size_t)len};
}

static bool read_columns(struct bytes *b, const uint8_t *kinds, struct table_map *map, struct err *err)
{
    uint64_t meta_len = bytes_packed(b);
    const uint8_t *meta_bytes = bytes_take(b, meta_len);
    const uint8_t *nullable = bytes_take(b, (map->count + 7) / 8);
    if (meta_bytes == NULL || nullable == NULL)
        return broken(map, "it ends too early", err);
    struct bytes meta = bytes_of(meta_bytes, (size_t)meta_len);
    for (size_t i = 0; i < map->count; i++) {
        struct map_column *col = &map->columns[i];
        col->kind = (enum column_kind)kinds[i];
        col->nullable = (nullable[i / 8] & 1u << i % 8) != 0;
        if (!read_column(&meta, col))
            return unsupported(map, i, err);
    }
    return (!meta.failed && bytes_left(&meta) == 0) || broken(map, "the metadata of its columns", err);
}

bool table_map_decode(struct binlog_span body, struct arena *arena, struct table_map *ret, struct err *err)
{
    struct bytes b = bytes_of(body.p, body.len);
    struct table_map map = {.database = name_of(&b), .table = {.p = ""}};
    map.table = name_of(&b);
    uint64_t count = bytes_packed(&b);
    const uint8_t *kinds = count > 0 && count <= TABLE_MAP_COLUMNS_MAX ? bytes_take(&b, count) : NULL;
    if (b.failed || kinds == NULL)
        return broken(&map, "its head", err);
    map.count = (size_t)count;
    map.columns = arena_alloc(arena, map.count * sizeof *map.columns);
    map.key = arena_alloc(arena, map.count * sizeof *map.key);
    if (map.columns == NULL || map.key == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a table of %zu columns", map.count);
    memset(map.columns, 0, map.count * sizeof *map.columns);
    if (!read_columns(&b, kinds, &map, err) || !read_all_optional(&b, arena, &map, err))
        return false;
    *ret = map;
    return true;
}
