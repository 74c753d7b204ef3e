/*
 * What the target's server can say about a row that differs: conflicts, dead letters, triggers, who wrote it, and what its columns make of
 * a value. One table for each dialect (postgres/cause.c, mariadb/cause.c). Private to compare.
 */
#ifndef COMPARE_CAUSE_TARGET_LOOK_H
#define COMPARE_CAUSE_TARGET_LOOK_H

#include "plan.h"

/* A column as its server names its type. */
struct target_column {
    const char *name;
    const char *type; /* to cast to; "" = to none */
    bool is_text;     /* compared by a collation */
};

struct cause_ops {
    /* $1 pipeline, $2 schema, $3 table (as the source names them) → id, state, kind, decision, LSN, key as JSON; newest first. */
    const char *conflicts;
    /* … → id, stream, partition, offset, SQLSTATE: those that are held. */
    const char *dead_letters;
    /* $1 pipeline → fence id, LSN of the newest PASS of all rows of all tables. */
    const char *passed;
    /* $1 pipeline → how many direct loads there were. */
    const char *direct_loads;
    /* $1 schema, $2 table (as the target names them) → name, type, is it text. */
    const char *columns;
    /* Triggers that fire for what apply does: $1, $2 as above → name, on INSERT, on UPDATE, on DELETE, before it. A role may not be
     * allowed to see them. */
    const char *(*triggers)(const struct session *s);
    /* $1, $2 as above → is the role allowed to see them. NULL: every role is. */
    const char *sees_triggers;
    /* → equal by the column's collation, equal to what the column's type makes of `value`; null = cannot be told. */
    void (*compare_value)(const struct plan_table *pt, const char *const *key,
                          const struct target_column *column, const char *value, struct strbuf *out);
    /* → transaction, when it committed, its replication origin, is that apply's, has it none although apply's sessions had theirs by then;
     * what is not known is null. NULL: this server does not say. */
    void (*writer)(const char *pipeline, const struct plan_table *pt, const char *const *key,
                   struct strbuf *out);
};

extern const struct cause_ops cause_postgres, cause_mariadb;

/* For the dialects: " WHERE <key is this one>". */
void cause_add_key(const struct plan_table *pt, enum side side, const char *const *key,
                   void (*quote)(struct strbuf *sb, const char *text), struct strbuf *out);

#endif
