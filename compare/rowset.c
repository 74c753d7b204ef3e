/* Owns: the rows of one statement, whatever server they came from. See session.h. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "session_impl.h"

struct rowset *rowset_new(int rows, int columns, void *owner, void (*free_owner)(void *owner))
{
    struct rowset *rs = xcalloc(1, sizeof *rs);
    *rs = (struct rowset){.rows = rows, .columns = columns, .owner = owner, .free_owner = free_owner};
    rs->cells = xcalloc((size_t)rows * (size_t)columns + 1, sizeof *rs->cells);
    rs->names = xcalloc((size_t)columns + 1, sizeof *rs->names);
    rs->kinds = xcalloc((size_t)columns + 1, sizeof *rs->kinds);
    return rs;
}

int rowset_rows(const struct rowset *rs)
{
    return rs->rows;
}

int rowset_columns(const struct rowset *rs)
{
    return rs->columns;
}

const char *rowset_column_name(const struct rowset *rs, int column)
{
    return rs->names[column];
}

enum column_kind rowset_column_kind(const struct rowset *rs, int column)
{
    return rs->kinds[column];
}

static const struct rowset_cell *cell_at(const struct rowset *rs, int row, int column)
{
    if (row < 0 || row >= rs->rows || column < 0 || column >= rs->columns)
        BUG("a cell outside of its rows");
    return &rs->cells[(size_t)row * (size_t)rs->columns + (size_t)column];
}

bool rowset_is_null(const struct rowset *rs, int row, int column)
{
    return cell_at(rs, row, column)->text == NULL;
}

const char *rowset_cell(const struct rowset *rs, int row, int column)
{
    const struct rowset_cell *cell = cell_at(rs, row, column);
    return cell->text != NULL ? cell->text : "";
}

size_t rowset_cell_len(const struct rowset *rs, int row, int column)
{
    return cell_at(rs, row, column)->len;
}

int64_t rowset_int64(const struct rowset *rs, int row, int column)
{
    return strtoll(rowset_cell(rs, row, column), NULL, 10);
}

bool rowset_bool(const struct rowset *rs, int row, int column)
{
    const char *text = rowset_cell(rs, row, column);
    return text[0] == 't' || strcmp(text, "1") == 0;
}

void rowset_free(struct rowset *rs)
{
    if (rs == NULL)
        return;
    for (int i = 0; i < rs->columns; i++)
        free(rs->names[i]);
    free(rs->names);
    free(rs->kinds);
    free(rs->cells);
    if (rs->free_owner != NULL)
        rs->free_owner(rs->owner);
    free(rs);
}

void rowset_cleanup(struct rowset **rs)
{
    rowset_free(*rs);
}
