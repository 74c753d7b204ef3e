/* Owns: what a repair's statements have in common on all targets. See statements.h. */
#include "compare/repair/statements.h"

#include <string.h>

bool repair_is_null(const struct repair_cells *cells, size_t cell)
{
    return rowset_is_null(cells->res, cells->row, (int)cell);
}

const char *repair_text(const struct repair_cells *cells, size_t cell)
{
    return rowset_cell(cells->res, cells->row, (int)cell);
}

static bool same_text(const struct repair_cells *a, const struct repair_cells *b, size_t cell)
{
    return repair_is_null(a, cell) == repair_is_null(b, cell) &&
           strcmp(repair_text(a, cell), repair_text(b, cell)) == 0;
}

/* The row by its key, if it is still as it was read. */
static void put_guarded(const struct repair_statements *ops, const struct repair_columns *c,
                        const struct repair_cells *target, struct strbuf *out)
{
    strbuf_adds(out, " WHERE ");
    ops->put_key_condition(c, target, out);
    strbuf_adds(out, " AND ");
    ops->put_guard(c, out);
    strbuf_adds(out, " = ");
    ops->literal(out, repair_text(target, c->pt->column_count + 1));
}

void repair_insert_row(const struct repair_statements *ops, const struct repair_columns *c,
                       const struct repair_cells *source, struct strbuf *out)
{
    strbuf_adds(out, "INSERT INTO ");
    ops->ident(out, c->target->schema);
    strbuf_addc(out, '.');
    ops->ident(out, c->target->name);
    strbuf_adds(out, " (");
    for (size_t i = 0; i < c->pt->column_count; i++) {
        strbuf_adds(out, i > 0 ? ", " : "");
        ops->ident(out, c->pt->columns[i].name);
    }
    strbuf_adds(out, ops->insert_values);
    for (size_t i = 0; i < c->pt->column_count; i++) {
        strbuf_adds(out, i > 0 ? ", " : "");
        ops->put_value(c, source, i, out);
    }
    ops->put_unless_there(c, source, out);
}

bool repair_update_row(const struct repair_statements *ops, const struct repair_columns *c,
                       const struct repair_cells *source, const struct repair_cells *target,
                       struct strbuf *out)
{
    bool any = false;
    strbuf_addf(out, "UPDATE %s SET ", c->pt->from[SIDE_TARGET]);
    for (size_t i = 0; i < c->pt->column_count; i++) {
        if (same_text(source, target, i + 1))
            continue;
        strbuf_addf(out, "%s%s", any ? ", " : "", ops->set_alias);
        ops->ident(out, c->pt->columns[i].name);
        strbuf_adds(out, " = ");
        ops->put_value(c, source, i, out);
        any = true;
    }
    put_guarded(ops, c, target, out);
    return any;
}

void repair_delete_row(const struct repair_statements *ops, const struct repair_columns *c,
                       const struct repair_cells *target, struct strbuf *out)
{
    strbuf_addf(out, "%s%s", ops->delete_from, c->pt->from[SIDE_TARGET]);
    put_guarded(ops, c, target, out);
}
