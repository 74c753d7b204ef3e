/* Owns: the shape of a table that no event has told of yet. See shape.h. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/binlog/shape.h"

bool shape_of_catalog(const char *database, const char *table, const struct catalog_table *cat,
                      struct charsets *sets, const struct shape_options *options, struct shape *ret,
                      struct err *err)
{
    struct map_column *columns = xcalloc(cat->count + 1, sizeof *columns);
    struct table_map map = {.database = {database, strlen(database)},
                            .table = {table, strlen(table)},
                            .columns = columns,
                            .count = cat->count};
    bool ok = true;
    for (size_t i = 0; ok && i < cat->count; i++)
        ok = shape_column_of(&cat->columns[i], &columns[i], err) ||
             err_wrap(err, "table=%s.%s", database, table);
    ok = ok && shape_make(&map, cat, sets, options, ret, err);
    free(columns);
    return ok;
}
