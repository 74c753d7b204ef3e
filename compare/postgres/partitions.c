/* Owns: the leaves of partitioned tables, and which rows are theirs. */
#include <stdlib.h>

#include "catalog.h"
#include "core/alloc.h"
#include "postgres.h"

/* A leaf's constraint holds its ancestors'. PostgreSQL documentation: "System Information Functions"; NULL for a default partition that
 * is alone. */
static const char partitions_sql[] =
    "SELECT r.oid, c.oid, n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid),"
    "       coalesce(pg_get_partition_constraintdef(c.oid), 'true'), greatest(c.reltuples, 0)::bigint"
    "  FROM pg_class r CROSS JOIN LATERAL pg_partition_tree(r.oid) p"
    "  JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE r.relkind = 'p' AND NOT r.relispartition AND p.isleaf AND c.relkind = 'r'"
    " ORDER BY r.oid, n.nspname, c.relname";

bool postgres_read_partitions(struct session *s, struct catalog *cat, struct err *err)
{
    ROWSET_AUTO res = NULL;
    if (!session_ask(s, partitions_sql, 0, NULL, &res, err))
        return err_wrap(err, "reading partitions");
    cat->partitions = xcalloc((size_t)rowset_rows(res) + 1, sizeof *cat->partitions);
    for (int row = 0; row < rowset_rows(res); row++)
        cat->partitions[cat->partition_count++] =
            (struct cat_partition){.root = (uint32_t)rowset_int64(res, row, 0),
                                   .oid = (uint32_t)rowset_int64(res, row, 1),
                                   .schema = xstrdup(rowset_cell(res, row, 2)),
                                   .name = xstrdup(rowset_cell(res, row, 3)),
                                   .bound = xstrdup(rowset_cell(res, row, 4)),
                                   .constraint = xstrdup(rowset_cell(res, row, 5)),
                                   .rows_estimate = rowset_int64(res, row, 6)};
    return true;
}
