/*
 * The statements of a repair, by the target's dialect. A row that was read has: its place in the list of keys (from 1), the text of each
 * column of the plan, and the guard: a hash of all these texts, by which a statement leaves a row alone that has changed since. What
 * follows is the dialect's own. Statements have one skeleton (statements.c); where the dialects differ is the table.
 * Private to this folder.
 */
#ifndef COMPARE_REPAIR_STATEMENTS_H
#define COMPARE_REPAIR_STATEMENTS_H

#include "compare/plan.h"
#include "compare/sqlgen.h"

struct repair_columns {
    const struct plan_table *pt;
    const struct cat_table *source, *target;
};

struct repair_cells {
    const struct rowset *res;
    int row;
};

/* A session that carries the statements out. */
struct repair_writing {
    const char *begin; /* opens the transaction of the statements, with its settings */
    /* What has to stand before a transaction. */
    bool (*prepare)(struct session *writer, struct err *err) MUST_CHECK;
    /* No batch of apply is committed before the transaction's end. */
    bool (*lock_position)(struct session *writer, const char *pipeline, struct err *err) MUST_CHECK;
    /* One statement; *ret: how many rows it has changed. */
    bool (*carry_out)(struct session *writer, const char *sql, int64_t *ret, struct err *err) MUST_CHECK;
};

struct repair_statements {
    struct repair_writing writing;
    /* What stands in a file before the statements of one transaction. */
    void (*head)(const struct repair_columns *columns, uint64_t fence_id, lsn_t lsn, struct strbuf *out);
    void (*read_rows)(const struct repair_columns *columns, enum side side, const struct key_list *keys,
                      struct strbuf *out);
    void (*ident)(struct strbuf *out, const char *name);
    void (*literal)(struct strbuf *out, const char *text);
    /* A column's value of a row that was read on the source. */
    void (*put_value)(const struct repair_columns *columns, const struct repair_cells *source, size_t column,
                      struct strbuf *out);
    /* The guard of the row t, as it is now. */
    void (*put_guard)(const struct repair_columns *columns, struct strbuf *out);
    /* That the row t has the key of these cells. */
    void (*put_key_condition)(const struct repair_columns *columns, const struct repair_cells *cells,
                              struct strbuf *out);
    const char *insert_values; /* between the list of columns and the values */
    /* Behind the values: a row that has come by now stays as it is, and is no error. */
    void (*put_unless_there)(const struct repair_columns *columns, const struct repair_cells *source,
                             struct strbuf *out);
    const char *set_alias;   /* before a column that is set */
    const char *delete_from; /* before the table */
};

extern const struct repair_statements repair_statements_postgres, repair_statements_mariadb;

/* A cell of a row that was read: 0 is the place, then the columns in the plan's order, then the guard. */
bool repair_is_null(const struct repair_cells *cells, size_t cell);
const char *repair_text(const struct repair_cells *cells, size_t cell);

void repair_insert_row(const struct repair_statements *ops, const struct repair_columns *columns,
                       const struct repair_cells *source, struct strbuf *out);
/* False: nothing differs. */
bool repair_update_row(const struct repair_statements *ops, const struct repair_columns *columns,
                       const struct repair_cells *source, const struct repair_cells *target,
                       struct strbuf *out);
void repair_delete_row(const struct repair_statements *ops, const struct repair_columns *columns,
                       const struct repair_cells *target, struct strbuf *out);

#endif
