/*
 * What the source's catalog says of the tables that are to be made elsewhere, and of everything beside them that a person has
 * to know of. Read in one transaction; immutable afterwards but for `map` of the columns and the tables' target names, which
 * rules.c and plan.c fill. All memory is the model's arena. Private to this module.
 */
#ifndef SCHEMA_MODEL_H
#define SCHEMA_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/table_filter.h"
#include "config/table_rules.h"
#include "core/arena.h"
#include "pg/conn.h"

/* How sure a translation is. */
enum map_kind {
    MAP_UNKNOWN = 0,
    MAP_EXACT,  /* every value that the column takes comes back as it was */
    MAP_LOSSY,  /* values are kept, something of the type is not: `note` says what */
    MAP_DECIDE, /* no rule: a person decides, in `types` of the configuration */
    MAP_CHOSEN, /* a person has decided */
    MAP_LEFT_OUT
};

struct mapping {
    enum map_kind kind;
    const char *
        type; /* as it stands in CREATE TABLE, NOT NULL and the like excepted; NULL for DECIDE and LEFT_OUT */
    const char *rule; /* short name */
    const char *note; /* what may be lost, what is refused, what to decide; NULL = nothing */
};

struct sch_column {
    int number; /* attnum */
    const char *name;
    const char *target; /* its name on the target */
    const char *type;   /* as SQL writes it */
    const char
        *base; /* name of the base type of a domain, of the element of an array; else of the type itself */
    char kind; /* pg_type.typtype of that: b e c r m p */
    const char *extension; /* that the type belongs to; NULL = none */
    bool array;
    bool domain;
    int32_t typmod;
    bool not_null;
    const char *def;      /* default, or generation expression; NULL = none */
    char generated;       /* 's' 'v', 0 = not */
    char identity;        /* 'a' 'd', 0 = not */
    bool serial;          /* the default is nextval() of a sequence that the column owns */
    const char *sequence; /* what of its sequence is unusual, in words: "steps of 7"; NULL = nothing */
    const char *range_of; /* subtype of a range; NULL = none */
    bool ignores_case;    /* nondeterministic collation or citext */
    const char **labels;  /* of an enum */
    size_t label_count;
    const char *comment;
    bool left_out; /* by source.filters */
    const char *lower,
        *upper; /* MariaDB: columns of its own for the bounds of a range, by `types`; NULL = none */
    struct mapping map;
};

struct sch_table;

struct sch_constraint {
    uint32_t oid;
    const char *name;
    char type; /* p u f c x t */
    const char *def;
    size_t *columns; /* indexes into the table's columns, in the constraint's order */
    size_t column_count;
    const char *ref_schema, *ref_table; /* f */
    const char **ref_columns;
    char on_update, on_delete, match; /* f: as in pg_constraint */
    bool deferrable;
    bool not_valid; /* rows that break it may be there */
    const char *comment;
};

struct sch_index {
    const char *name;
    const char *def;
    const char *method;
    bool unique;
    bool nulls_not_distinct;
    bool partial;
    bool expression;
    bool includes;   /* has columns that are no key */
    size_t *columns; /* keys; none with an expression */
    int *options;    /* parallel to them: INDEX_DESC, INDEX_NULLS_FIRST */
    size_t column_count;
    const char *classes; /* operator classes that are not the default; NULL = none */
};

enum { INDEX_DESC = 1, INDEX_NULLS_FIRST = 2 }; /* pg_index.indoption */

struct sch_table {
    uint32_t oid;
    const char *schema, *name;
    const char *partitioned_by; /* NULL = not */
    size_t partition_count;
    bool unlogged;
    const char *tablespace, *comment, *owner;
    struct sch_column *columns;
    size_t column_count;
    struct sch_constraint *constraints;
    size_t constraint_count;
    struct sch_index *indexes; /* those that back no constraint */
    size_t index_count;
    /* Where it goes (MariaDB). */
    const char *target_database, *target_name;
};

/* Whatever is not one of the above: views, functions, triggers, sequences, types … */
struct sch_object {
    const char *kind; /* "view", "function" … */
    const char *name; /* with schema, as SQL writes it */
    const char *detail;
    const char *value;  /* of facts; else NULL */
    uint32_t table_oid; /* that it belongs to; 0 = none */
};

struct schema_model {
    struct arena mem;
    bool failed; /* memory ran out */
    const char *database;
    int server_version;
    struct sch_table *tables; /* by schema and name */
    size_t table_count;
    struct sch_table **by_oid;
    uint32_t *other_tables; /* not part of the pipeline: tables and their partitions, sorted */
    size_t other_count;
    size_t other_root_count; /* of them no partitions */
    struct sch_object *objects;
    size_t object_count;
    struct sch_object *facts; /* of the database: schemas/sql/catalog_database.sql */
    size_t fact_count;
};

/* The caller's transaction is what it sees. rules may be NULL. */
bool model_read(struct pg_conn *conn, const struct table_filter *filter, const struct table_rules *rules,
                struct schema_model *ret, struct err *err) MUST_CHECK;
void model_release(struct schema_model *model);

const struct sch_table *model_find(const struct schema_model *model, const char *schema, const char *name);
const struct sch_table *model_find_oid(const struct schema_model *model, uint32_t oid);
/* A table, or a partition of one, that is not moved. */
bool model_is_other(const struct schema_model *model, uint32_t oid);
/* Index of a column, or SIZE_MAX. */
size_t sch_table_column(const struct sch_table *t, const char *name);
/* The primary key, else NULL. */
const struct sch_constraint *sch_table_primary(const struct sch_table *t);

/* Text in the model's memory. Never NULL; past its bound model->failed is set. */
const char *model_text(struct schema_model *model, const char *text);
const char *model_textf(struct schema_model *model, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
