/*
 * A connection to the target on which steps of a plan are looked for and taken. One dialect is one file. Private to this module.
 * @thread: one owner at a time; several may be open.
 */
#ifndef SCHEMA_SIDE_H
#define SCHEMA_SIDE_H

#include "plan.h"

enum step_state {
    STEP_UNKNOWN = 0,
    STEP_TODO,
    STEP_THERE,  /* as it should be */
    STEP_DIFFERS /* something else is there under the name */
};

/* Of the pipeline's copy, by its position on the target. */
enum copy_state {
    COPY_UNKNOWN = 0,
    COPY_NOT_BEGUN, /* no position: apply has not run, or rows come by another way */
    COPY_UNDER_WAY,
    COPY_COMPLETE /* every shard has passed a complete fence */
};

struct side;

struct side_ops {
    void (*close)(struct side *side);
    /* why: for DIFFERS; malloc'd. */
    bool (*look)(struct side *side, const struct plan_step *step, enum step_state *ret, char **ret_why,
                 struct err *err);
    bool (*take)(struct side *side, const struct plan_step *step, struct err *err);
    /* Several at once, in their order: all are made, or none. NULL: there is no such thing. */
    bool (*take_some)(struct side *side, const struct plan_step *const *steps, size_t count, struct err *err);
    /* What a foreign key still has to prove. */
    bool (*validate)(struct side *side, const struct plan_step *step, struct err *err);
    bool (*copied)(struct side *side, enum copy_state *ret, struct err *err);
};

struct side {
    const struct side_ops *ops;
};

/* rows: of the position table; of: the greatest number of shards that one of them names ("2/3": 3); open: not complete. */
enum copy_state side_copy_state(int64_t rows, int64_t of, int64_t open);

/* What is not the same in two definitions as schemas/sql/catalog_definition.sql writes them, in words; malloc'd, NULL = nothing.
 * @thread any */
char *definition_difference(const char *source, const char *target);

/* What steps are on the source, for comparing: parallel to the plan's steps. PostgreSQL only. */
struct source_object {
    const char *type, *names,
        *args;       /* pg_identify_object_as_address(), arrays as text; NULL = nothing to look for */
    const char *def; /* NULL = cannot be compared */
};

/* Asks the source once; the list is the caller's (free()), its texts are the model's. */
bool side_postgres_source(struct pg_conn *source, struct schema_plan *plan, struct source_object **ret,
                          struct err *err) MUST_CHECK;
/* writes: control tables are made where they are missing. */
bool side_postgres_open(const char *url, const struct schema_plan *plan, const struct source_object *objects,
                        bool writes, struct side **ret, struct err *err) MUST_CHECK;
/* The server does not tell names of tables and databases apart by case. */
bool side_mariadb_folds_names(const struct side *side);
bool side_mariadb_open(const char *url, const struct schema_plan *plan, struct side **ret,
                       struct err *err) MUST_CHECK;

#endif
