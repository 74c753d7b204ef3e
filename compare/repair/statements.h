/*
 * The statements of a repair, by the target's dialect. A row that was read has: its place in the list of keys (from 1), the text of each
 * column of the plan, and the guard: a hash of all these texts, by which a statement leaves a row alone that has changed since. What
 * follows is the dialect's own.
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

struct repair_statements {
    const char *begin; /* opens the transaction of the statements, with its settings */
    /* For a session that carries them out: what has to stand before a transaction. */
    bool (*prepare)(struct session *writer, struct err *err) MUST_CHECK;
    /* No batch of apply is committed before the transaction's end. */
    bool (*lock_position)(struct session *writer, const char *pipeline, struct err *err) MUST_CHECK;
    /* One statement; *ret: how many rows it has changed. */
    bool (*carry_out)(struct session *writer, const char *sql, int64_t *ret, struct err *err) MUST_CHECK;
    /* What stands in a file before the statements of one transaction. */
    void (*head)(const struct repair_columns *columns, uint64_t fence_id, lsn_t lsn, struct strbuf *out);
    void (*read_rows)(const struct repair_columns *columns, enum side side, const struct key_list *keys,
                      struct strbuf *out);
    void (*insert_row)(const struct repair_columns *columns, const struct repair_cells *source,
                       struct strbuf *out);
    /* False: nothing differs. */
    bool (*update_row)(const struct repair_columns *columns, const struct repair_cells *source,
                       const struct repair_cells *target, struct strbuf *out);
    void (*delete_row)(const struct repair_columns *columns, const struct repair_cells *target,
                       struct strbuf *out);
};

extern const struct repair_statements repair_statements_postgres, repair_statements_mariadb;

#endif
