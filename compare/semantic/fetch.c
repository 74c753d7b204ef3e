/* Owns: running statements of checks, and copying their rows. See fetch.h. */
#include "compare/semantic/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "core/clock.h"

const struct phrases *phrases_of_dialect(enum dialect_kind dialect)
{
    return dialect == DIALECT_MARIADB ? &phrases_mariadb : &phrases_postgres;
}

const struct phrases *phrases_of(const struct session *session)
{
    return phrases_of_dialect(session_dialect(session));
}

static enum value_class class_of(enum column_kind kind)
{
    static const enum value_class classes[] = {
        [COLUMN_OTHER] = VALUE_OTHER,   [COLUMN_TEXT] = VALUE_TEXT,   [COLUMN_CHAR] = VALUE_CHAR,
        [COLUMN_NUMBER] = VALUE_NUMBER, [COLUMN_FLOAT] = VALUE_FLOAT, [COLUMN_SINGLE] = VALUE_SINGLE,
        [COLUMN_BOOL] = VALUE_BOOL,     [COLUMN_TIME] = VALUE_TIME,   [COLUMN_BYTES] = VALUE_BYTES,
    };
    return classes[kind];
}

/* As PostgreSQL prints bytea: what MariaDB gives are the bytes themselves. */
static char *bytes_text(const char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *text = xmalloc(2 * len + 3), *p = text;
    *p++ = '\\';
    *p++ = 'x';
    for (size_t i = 0; i < len; i++) {
        *p++ = digits[(unsigned char)bytes[i] >> 4];
        *p++ = digits[(unsigned char)bytes[i] & 15];
    }
    *p = '\0';
    return text;
}

static void copy_rows(const struct session *session, const struct rowset *rs, size_t max_rows,
                      struct grid *grid)
{
    bool raw = session_dialect(session) == DIALECT_MARIADB;
    int rows = rowset_rows(rs), columns = rowset_columns(rs);
    for (int c = 0; c < columns; c++)
        grid_add_column(grid, rowset_column_name(rs, c), class_of(rowset_column_kind(rs, c)));
    grid->more = (size_t)rows > max_rows;
    for (int r = 0; r < rows && (size_t)r < max_rows; r++) {
        size_t at = grid_add_row(grid);
        for (int c = 0; c < columns; c++) {
            if (rowset_is_null(rs, r, c))
                continue;
            const char *cell = rowset_cell(rs, r, c);
            size_t len = rowset_cell_len(rs, r, c);
            bool bytes = raw && grid->classes[c] == VALUE_BYTES;
            if (!grid_set(grid, at + (size_t)c, bytes ? bytes_text(cell, len) : xstrndup(cell, len)))
                return;
        }
    }
}

bool fetch_pair(struct pair *pair, struct strbuf sql[SIDE_COUNT], size_t max_rows,
                struct grid ret[SIDE_COUNT], int64_t *duration_us, struct err *err)
{
    struct statement st[SIDE_COUNT] = {{.sql = sql[SIDE_SOURCE]}, {.sql = sql[SIDE_TARGET]}};
    struct rowset *rows[SIDE_COUNT] = {NULL};
    int64_t began_us = clock_mono_us();
    if (!pair_query(pair, st, rows, err))
        return false;
    *duration_us += clock_mono_us() - began_us;
    for (int side = 0; side < SIDE_COUNT; side++)
        copy_rows(pair->session[side], rows[side], max_rows, &ret[side]);
    pair_results_free(rows);
    return true;
}

bool fetch_side(struct pair *pair, enum side side, struct strbuf *sql, size_t max_rows, struct grid *ret,
                int64_t *duration_us, struct err *err)
{
    struct statement st = {.sql = *sql};
    ROWSET_AUTO rows = NULL;
    int64_t began_us = clock_mono_us();
    if (!strbuf_ok(sql, "statement", err) || !session_query(pair->session[side], &st, &rows, err)) {
        if (err->code != ERR_CONNECT && !session_recover(pair->session[side], NULL))
            err->code = ERR_CONNECT;
        return err_wrap(err, "%s", side_name(side));
    }
    *duration_us += clock_mono_us() - began_us;
    copy_rows(pair->session[side], rows, max_rows, ret);
    return true;
}

size_t grid_column(const struct grid *grid, const char *name)
{
    for (size_t i = 0; i < grid->column_count; i++) {
        if (strcmp(grid->names[i], name) == 0)
            return i;
    }
    for (size_t i = 0; i < grid->column_count; i++) {
        if (strcasecmp(grid->names[i], name) == 0)
            return i;
    }
    return NO_COLUMN;
}

uint64_t grid_count(const struct grid *grid, size_t row, size_t column)
{
    const char *text = row < grid->row_count ? grid_cell(grid, row, column) : NULL;
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}
