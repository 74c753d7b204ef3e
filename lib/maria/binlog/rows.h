/*
 * The rows of a WRITE, UPDATE or DELETE event, one after the other, as spans of each column's stored bytes. A pure decoder of bytes that
 * are not trusted.
 */
#ifndef MARIA_BINLOG_ROWS_H
#define MARIA_BINLOG_ROWS_H

#include "maria/binlog/bytes.h"
#include "maria/binlog/table_map.h"

/* A column's bytes without the length in front; p NULL = null. */
struct row_value {
    const uint8_t *p;
    uint32_t len;
};

struct rows {
    const struct table_map *map;
    struct bytes left;
    bool has_before, has_after;
};

/* ERR_PROTOCOL: columns that do not fit the table's; ERR_UNSUPPORTED: rows that are not whole (binlog_row_image). */
bool rows_open(const struct table_map *map, const struct binlog_event *ev, struct rows *ret,
               struct err *err) MUST_CHECK;
static inline bool rows_more(const struct rows *rows)
{
    return bytes_left(&rows->left) > 0;
}
/* The next change: map->count values each; an image that the event has not is left alone. */
bool rows_next(struct rows *rows, struct row_value *before, struct row_value *after,
               struct err *err) MUST_CHECK;

#endif
