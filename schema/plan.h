/*
 * The plan: what of the source is made on the target, how, and what a person has to know or to decide; and the statements that
 * make it. Private to this module.
 */
#ifndef SCHEMA_PLAN_H
#define SCHEMA_PLAN_H

#include "config/config.h"
#include "model.h"
#include "name_set.h"

enum schema_dialect { DIALECT_UNKNOWN = 0, DIALECT_POSTGRES, DIALECT_MARIADB };

enum item_state {
    ITEM_UNKNOWN = 0,
    ITEM_CARRIED,  /* made on the target */
    ITEM_CHANGED,  /* made, but not as it is on the source: the text says how */
    ITEM_REPORTED, /* not made: for a person */
    ITEM_LEFT_OUT, /* by the configuration, or because what it needs is */
    ITEM_DECIDE    /* nothing is made until somebody decides */
};

struct plan_item {
    enum item_state state;
    const char *kind; /* "view", "index", "column" … */
    const char *name;
    const char *text;
    const char *line; /* DECIDE: what to put into the configuration; NULL = something else is to be done */
};

/* When a step is taken. */
enum step_phase {
    PHASE_UNKNOWN = 0,
    PHASE_TABLES,
    PHASE_INDEXES,
    PHASE_ATTACH,
    PHASE_FOREIGN_KEYS,
    PHASE_LAST
};

/* One statement on the target, or several that belong together. */
struct plan_step {
    enum step_phase phase;
    const char *kind; /* "database", "table", "index", "foreign key"; PostgreSQL: pg_dump's, in lower case */
    const char *name; /* for people */
    const char *sql;
    const char *validate; /* PostgreSQL, foreign keys: what follows once all are there; NULL = nothing */
    /* MariaDB: */
    const char *database, *table;
    const char *object;  /* name of index or foreign key */
    const char *columns; /* of it, as the catalog lists them, "`a`,`b`(191)" or "`a`>`db`.`t`.`b`" */
    /* PostgreSQL: where it stands on the source; 0 = not an object of its own. */
    uint32_t class_oid, object_oid;
    bool again; /* saying it twice does no harm */
};

struct schema_plan {
    struct schema_model model; /* owns all texts */
    const char *pipeline;
    enum schema_dialect dialect;
    const char *source_text, *target_text; /* "PostgreSQL 15.20, database shop" */
    const char *url_database;              /* MariaDB */
    bool folds_names;                      /* MariaDB: lower_case_table_names */
    struct name_set foreign_keys;          /* MariaDB: "database.name", in lower case */
    struct plan_item *items;
    size_t item_count;
    struct plan_step *steps;
    size_t step_count;
    struct source_object
        *objects; /* PostgreSQL: what the steps make, on the source (side.h); parallel to them */
};

struct source_object;

/* Texts are kept by pointer: the model's, or constant. */
void plan_add_item(struct schema_plan *plan, enum item_state state, const char *kind, const char *name,
                   const char *text, const char *line);
struct plan_step *plan_add_step(struct schema_plan *plan, enum step_phase phase, const char *kind,
                                const char *name, const char *sql);
void sch_plan_release(struct schema_plan *plan);
size_t plan_count(const struct schema_plan *plan, enum item_state state);
size_t plan_count_columns(const struct schema_plan *plan, enum map_kind kind);
/* The statement as people may see it: without the options of foreign servers and their users, which hold passwords. malloc'd. */
char *plan_shown_sql(const char *sql);
/* What a person has to know of large objects, whatever the target. */
extern const char plan_large_objects_text[];
const char *map_kind_name(enum map_kind kind);
const char *item_state_name(enum item_state state);

/* "schema.table" and, with a column, "schema.table.column", as keys of `types`: parts with a dot or a quote stand in quotes. */
const char *plan_key(struct schema_plan *plan, const struct sch_table *t, const char *column);

/* Maps all columns and makes items and steps. `types`: "schema.table.column=type". */
bool plan_mariadb(struct schema_plan *plan, const char *const *types, size_t type_count, bool indexes_later,
                  struct err *err) MUST_CHECK;
/* `types`: columns(lower,upper) for a range. False: that is not what `type` says. A decision where it cannot be. */
bool range_columns(struct schema_plan *plan, const struct sch_table *t, struct sch_column *c,
                   const char *type);
/* ", `lower` … AS (…) VIRTUAL, `upper` …" */
void range_add_columns(const struct sch_column *c, struct strbuf *sql);
/* Steps and items of keys, checks, indexes and foreign keys of a table whose columns are mapped. */
void plan_mariadb_table(struct schema_plan *plan, const struct sch_table *t, bool indexes_later);
void plan_mariadb_foreign_keys(struct schema_plan *plan, const struct sch_table *t, bool indexes_later);

#endif
