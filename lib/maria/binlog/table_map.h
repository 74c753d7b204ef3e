/*
 * A TABLE_MAP event: what the rows behind it are made of. Names, keys, labels come with binlog_row_metadata=FULL, signedness and
 * character sets with MINIMAL as well; without, they are asked of the catalog (catalog.h). A pure decoder of bytes that are not trusted.
 */
#ifndef MARIA_BINLOG_TABLE_MAP_H
#define MARIA_BINLOG_TABLE_MAP_H

#include "core/arena.h"
#include "maria/binlog/event.h"

#define TABLE_MAP_COLUMNS_MAX 4096 /* of a table on MariaDB */

/* The type as it is stored: numbers of the protocol's enum_field_types. */
enum column_kind {
    COLUMN_TINY = 1,
    COLUMN_SHORT = 2,
    COLUMN_LONG = 3,
    COLUMN_FLOAT = 4,
    COLUMN_DOUBLE = 5,
    COLUMN_TIMESTAMP = 7, /* those without a 2: of tables older than mysql56_temporal_format */
    COLUMN_LONGLONG = 8,
    COLUMN_INT24 = 9,
    COLUMN_DATE = 10,
    COLUMN_TIME = 11,
    COLUMN_DATETIME = 12,
    COLUMN_YEAR = 13,
    COLUMN_NEWDATE = 14,
    COLUMN_VARCHAR = 15,
    COLUMN_BIT = 16,
    COLUMN_TIMESTAMP2 = 17,
    COLUMN_DATETIME2 = 18,
    COLUMN_TIME2 = 19,
    COLUMN_BLOB_COMPRESSED = 140,
    COLUMN_VARCHAR_COMPRESSED = 141,
    COLUMN_DECIMAL = 246,
    COLUMN_ENUM = 247,
    COLUMN_SET = 248,
    COLUMN_BLOB = 252,
    COLUMN_VAR_STRING = 253,
    COLUMN_STRING = 254,
    COLUMN_GEOMETRY = 255
};

struct labels {
    const struct binlog_span *items; /* in the column's character set */
    size_t count;
};

struct map_column {
    enum column_kind kind;
    uint32_t
        length; /* most bytes of a STRING, VARCHAR; of the length in front of a BLOB; of an ENUM, SET, BIT */
    uint8_t precision; /* DECIMAL; BIT: bits */
    uint8_t scale;     /* DECIMAL; digits behind the second */
    bool nullable, is_unsigned;
    uint32_t collation;      /* 0 = not told, 63 = bytes */
    struct binlog_span name; /* p NULL = not told */
    struct labels labels;
    uint8_t geometry; /* 0 = any, 1 = point, … */
    bool key;
};

struct table_map {
    struct binlog_span database, table;
    struct map_column *columns;
    size_t count;
    uint16_t *key; /* indexes, in the key's order */
    size_t key_count;
    bool has_signs, has_charsets, has_names, has_labels; /* has_names: FULL, so that keys are told as well */
    bool key_prefix;                                     /* the primary key is over beginnings of columns */
};

/* In the arena, with spans into `body`. ERR_PROTOCOL: broken; ERR_UNSUPPORTED: a type that is not read, with the table's name and the
 * column's place. */
bool table_map_decode(struct binlog_span body, struct arena *arena, struct table_map *ret,
                      struct err *err) MUST_CHECK;
/* Numbers that may be signed or not: those have a bit in the metadata. */
bool column_is_number(enum column_kind kind);
bool column_is_text(enum column_kind kind); /* has a character set, or 63 */

#endif
