/* Owns: where each column's bytes are in a row. See rows.h. */
#include "maria/binlog/rows.h"

#include <string.h>

static bool fail(const struct table_map *map, enum err_code code, const char *what, struct err *err)
{
    return err_set(err, code, "table=%.*s.%.*s: %s", (int)map->database.len, map->database.p,
                   (int)map->table.len, map->table.p, what);
}

static bool all_there(const uint8_t *bitmap, size_t columns)
{
    for (size_t i = 0; bitmap != NULL && i < columns; i++) {
        if ((bitmap[i / 8] & 1u << i % 8) == 0)
            return false;
    }
    return true;
}

bool rows_open(const struct table_map *map, const struct binlog_event *ev, struct rows *ret, struct err *err)
{
    if (ev->rows.columns != map->count)
        return fail(map, ERR_PROTOCOL, "a rows event has another count of columns than the table", err);
    if (!all_there(ev->rows.before, map->count) || !all_there(ev->rows.after, map->count))
        return fail(
            map, ERR_UNSUPPORTED,
            "a row in the binlog does not have all of its columns. Hint: set binlog_row_image=FULL (for "
            "all sessions: SET GLOBAL, and reconnect them); what was changed without it has to be copied "
            "again",
            err);
    *ret = (struct rows){.map = map,
                         .left = bytes_of(ev->rows.rows.p, ev->rows.rows.len),
                         .has_before = ev->rows.before != NULL,
                         .has_after = ev->rows.after != NULL};
    return true;
}

/* Groups of nine digits take four bytes, what is left over as few as hold it. */
static size_t decimal_bytes(unsigned digits)
{
    static const uint8_t over[] = {0, 1, 1, 2, 2, 3, 3, 4, 4};
    return digits / 9 * 4 + over[digits % 9];
}

static size_t fixed_size(const struct map_column *col)
{
    size_t fraction = ((size_t)col->scale + 1) / 2;
    switch (col->kind) {
    case COLUMN_TINY:
    case COLUMN_YEAR:
        return 1;
    case COLUMN_SHORT:
        return 2;
    case COLUMN_INT24:
    case COLUMN_DATE:
    case COLUMN_NEWDATE:
        return 3;
    case COLUMN_LONG:
    case COLUMN_FLOAT:
        return 4;
    case COLUMN_LONGLONG:
    case COLUMN_DOUBLE:
        return 8;
    case COLUMN_TIME2:
        return 3 + fraction;
    case COLUMN_TIMESTAMP2:
        return 4 + fraction;
    case COLUMN_DATETIME2:
        return 5 + fraction;
    case COLUMN_DECIMAL:
        return decimal_bytes((unsigned)col->precision - col->scale) + decimal_bytes(col->scale);
    case COLUMN_BIT:
    case COLUMN_ENUM:
    case COLUMN_SET:
        return col->length;
    default:
        return 0;
    }
}

static struct row_value take_value(struct bytes *b, const struct map_column *col)
{
    uint64_t len = fixed_size(col);
    switch (col->kind) {
    case COLUMN_BLOB:
    case COLUMN_GEOMETRY:
        len = bytes_le(b, col->length);
        break;
    case COLUMN_STRING:
    case COLUMN_VARCHAR:
    case COLUMN_VAR_STRING:
        len = bytes_le(b, col->length > 255 ? 2 : 1);
        b->failed = b->failed || len > col->length;
        break;
    default:
        break;
    }
    const uint8_t *p = bytes_take(b, len);
    return (struct row_value){.p = p, .len = p != NULL ? (uint32_t)len : 0};
}

static bool take_image(struct rows *rows, struct row_value *values, struct err *err)
{
    const struct table_map *map = rows->map;
    const uint8_t *nulls = bytes_take(&rows->left, (map->count + 7) / 8);
    for (size_t i = 0; i < map->count && !rows->left.failed; i++) {
        bool null = (nulls[i / 8] & 1u << i % 8) != 0;
        values[i] = null ? (struct row_value){0} : take_value(&rows->left, &map->columns[i]);
        if (null && !map->columns[i].nullable)
            rows->left.failed = true;
    }
    return !rows->left.failed || fail(map, ERR_PROTOCOL, "a broken row in the binlog", err);
}

bool rows_next(struct rows *rows, struct row_value *before, struct row_value *after, struct err *err)
{
    return (!rows->has_before || take_image(rows, before, err)) &&
           (!rows->has_after || take_image(rows, after, err));
}
