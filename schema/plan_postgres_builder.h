/*
 * What the files of plan_postgres_*.c share while a plan for PostgreSQL is made. Private to them.
 */
#ifndef SCHEMA_PLAN_POSTGRES_BUILDER_H
#define SCHEMA_PLAN_POSTGRES_BUILDER_H

#include "plan_postgres.h"

#define CLASS_RELATION 1259 /* pg_class: the numbers of system catalogs never change */

struct lost_object {
    uint32_t class_oid, object_oid;
    int column; /* 0 = all of it */
};

struct partition_pair {
    uint32_t partition, root;
};

struct builder {
    struct schema_plan *plan;
    const struct postgres_request *req;
    struct lost_object *lost;
    size_t lost_count;
    struct partition_pair *partitions; /* by partition */
    size_t partition_count;
    const char **roles; /* of the target, sorted; NULL = not known */
    size_t role_count;
    const char **missing; /* extensions */
    size_t missing_count;
    bool *left_out; /* parallel to the dump's entries */
    size_t left_out_count;
    size_t *by_id; /* index + 1 of the dump's entry with this id; 0 = none */
    size_t id_count;
    bool *needed;         /* by id: something that is made with the tables needs it */
    bool attaches;        /* some index is attached to another */
    struct name_set keys; /* "schema.name" of indexes and constraints that come with the tables */
};

/* By schema.exclude. */
bool plan_pg_excluded(const struct postgres_request *req, const char *kind, const char *name);

/* plan_postgres_lost.c */
bool plan_pg_read_partitions(struct builder *b, struct err *err) MUST_CHECK;
/* Rows of class, oid and column (0 = all of it) of what cannot be made. params, arrays as text: oids of tables that are left out; oids and numbers of columns that
 * are; names of extensions that are. */
bool plan_pg_ask_lost(struct pg_conn *source, const char *const params[4], struct pg_result **ret,
                      struct err *err) MUST_CHECK;
bool plan_pg_read_lost(struct builder *b, struct err *err) MUST_CHECK;
bool plan_pg_is_lost(const struct builder *b, const struct dump_entry *e);
void plan_pg_report_lost_columns(struct builder *b);
/* The model's table, or that which the table is a partition of; NULL = not moved. */
const struct sch_table *plan_pg_table(const struct builder *b, uint32_t oid);

/* plan_database.c: settings, roles, rights and comment of the database; large objects. */
bool plan_pg_database(struct builder *b, struct err *err) MUST_CHECK;

#endif
