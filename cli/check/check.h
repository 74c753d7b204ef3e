/*
 * `crossfade check`: a list of results, filled side by side by the files of this folder. All reads only. A
 * problem of the other side is a result, never an error; false + err means that a check could not be made.
 */
#ifndef CLI_CHECK_CHECK_H
#define CLI_CHECK_CHECK_H

#include "change/fence.h"
#include "change/table.h"
#include "cli.h"
#include "config/table_filter.h"
#include "config/table_rules.h"
#include "config/topic_routing.h"
#include "core/lsn.h"
#include "maria/conn.h"
#include "pg/conn.h"
#include "pg/source.h"
#include "pg/types/catalog.h"

enum check_state { CHECK_UNKNOWN = 0, CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct check_result {
    const char *side; /* "source", "journal", "target", "tables" */
    const char *name; /* stable: "wal_level" */
    enum check_state state;
    char *found; /* what was found, or what is wrong */
    char *hint;  /* what to do; NULL if nothing */
};

/* A table of the pipeline, as the source has it. */
struct check_table {
    struct source_table source;
    struct table_schema *schema; /* as capture would write it; NULL if a column's type does not go */
    bool bad;                    /* something has failed for it */
};

struct maria_conn;

struct check {
    const struct config *cfg;
    struct check_result *results;
    size_t count;
    char slot[72];                   /* of the pipeline; the publication has the same name */
    struct pg_conn *source, *target; /* NULL = cannot be reached */
    struct maria_conn *maria;        /* the target, where that is MariaDB */
    struct table_filter *filter;
    struct table_rules *rules;
    struct topic_routing *routing;
    struct check_table *tables;
    size_t table_count;
    char *source_system_id; /* NULL = not known */
    bool slot_missing;      /* on a source that can be reached */
    bool has_position;      /* the target has been written by this pipeline */
};

/* Adds a result; hint may be NULL. */
void check_add(struct check *ck, const char *side, const char *name, enum check_state state, const char *hint,
               const char *fmt, ...) PRINTF_LIKE(6, 7);
/* As check_add, with a hint that is formatted by the caller (taken over, freed). */
void check_add_hint(struct check *ck, const char *side, const char *name, enum check_state state, char *hint,
                    const char *fmt, ...) PRINTF_LIKE(6, 7);

bool check_source(struct check *ck, struct err *err) MUST_CHECK;
/* The same, and of its tables, where that is MariaDB. */
bool check_source_mariadb(struct check *ck, struct err *err) MUST_CHECK;
/* Where its WAL is durable now; *ret stays when it does not say. */
bool check_source_lsn(struct check *ck, lsn_t *ret, struct err *err) MUST_CHECK;
bool check_source_tables(struct check *ck, struct err *err) MUST_CHECK;
bool check_target(struct check *ck, struct err *err) MUST_CHECK;
bool check_target_tables(struct check *ck, struct err *err) MUST_CHECK;
bool check_target_mariadb(struct check *ck, struct err *err) MUST_CHECK;
bool check_mariadb_table(struct check *ck, struct check_table *t, struct err *err) MUST_CHECK;
/* What our role may do: on the database of the URL (sets has_position: the table is there), on a table. */
bool check_mariadb_rights(struct check *ck, struct err *err) MUST_CHECK;
bool check_mariadb_table_rights(struct check *ck, struct check_table *t, struct err *err) MUST_CHECK;
bool check_journal(struct check *ck, struct err *err) MUST_CHECK;

/* Connects, and adds the results that both servers share (reachable, version, encoding, recovery). NULL in
 * *ret when it cannot be reached. */
bool check_server(struct check *ck, const char *side, const char *url_key, struct pg_conn **ret,
                  struct err *err) MUST_CHECK;

#endif
