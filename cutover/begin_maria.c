/*
 * Owns: may a way back from MariaDB begin? What could be seen too late is asked here: that changes of the pipeline itself are told from
 * an application's, and that every table of the one side is the table of that name on the other.
 */
#include "begin_maria.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/names.h"
#include "maria/quote.h"
#include "pg/conn.h"

struct beginning {
    const struct config *cfg; /* turned round */
    const char *other;        /* the pipeline that leads there */
    struct maria_conn *maria;
    struct pg_conn *pg;
    struct table_filter *filter;
    struct strbuf schemas, tables; /* arrays: of MariaDB's tables, by PostgreSQL's names */
    size_t count;
};

static bool ask(struct beginning *b, const char *sql, const char *pipeline, char **ret, struct err *err)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_adds(&text, sql);
    if (pipeline != NULL)
        maria_quote_literal(&text, pipeline);
    bool ok = strbuf_ok(&text, "statement", err) && maria_query_text(b->maria, text.data, 0, ret, err);
    strbuf_release(&text);
    return ok;
}

static bool is_there(struct beginning *b, const char *table, bool *ret, struct err *err)
{
    char *found = NULL;
    bool ok = ask(
        b, "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ", table,
        &found, err);
    *ret = found != NULL;
    free(found);
    return ok;
}

static bool has_begun(struct beginning *b, bool *ret, struct err *err)
{
    char *found = NULL;
    bool there = false;
    *ret = false;
    if (!is_there(b, "crossfade_marker", &there, err))
        return false;
    if (!there)
        return true;
    bool ok = ask(b, "SELECT 1 FROM crossfade_marker WHERE kind = '" MARIA_MARKER_BEGUN "' AND pipeline = ",
                  config_text(b->cfg, "pipeline"), &found, err);
    *ret = found != NULL;
    free(found);
    return ok;
}

static bool is_copied(struct beginning *b, struct err *err)
{
    char *complete = NULL;
    bool there = false;
    if (!is_there(b, "crossfade_position", &there, err) ||
        (there &&
         !ask(b, "SELECT MIN(complete) FROM crossfade_position WHERE pipeline = ", b->other, &complete, err)))
        return false;
    bool copied = complete != NULL && strcmp(complete, "1") == 0;
    free(complete);
    return copied || err_set(err, ERR_REFUSED,
                             "pipeline %s has not copied all rows yet: its way back begins behind that. "
                             "Hint: `crossfade status --wait caught-up`",
                             b->other);
}

/* What comes back would go there again, an older row over a newer one. */
static bool leaves_out_what_comes_back(struct beginning *b, struct err *err)
{
    struct config *forward = NULL;
    if (!config_reversed(b->cfg, &forward, err))
        return false;
    bool all = strcmp(config_text(forward, "capture.origin"), "any") == 0;
    config_free(forward);
    return !all || err_set(err, ERR_REFUSED,
                           "capture.origin: any: pipeline %s would send there again what comes back. Hint: "
                           "capture.origin: not_crossfade, and start its capture anew",
                           b->other);
}

/* --- tables --- */

static const char *called(const struct beginning *b, const char *database)
{
    return maria_schema_of(maria_database(b->maria), database);
}

static bool each_table(void *ctx, char **cells, size_t count, struct err *err)
{
    struct beginning *b = ctx;
    if (count != 2 || cells[0] == NULL || cells[1] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of tables");
    const char *schema = called(b, cells[0]);
    if (maria_is_nobodys_database(maria_database(b->maria), cells[0]) ||
        maria_is_own_table(maria_database(b->maria), cells[0], cells[1]) ||
        !table_filter_matches(b->filter, schema, cells[1]))
        return true;
    pg_array_text(&b->schemas, b->count, schema);
    pg_array_text(&b->tables, b->count++, cells[1]);
    return true;
}

/* Apply would halt at the first row of one, with the applications on MariaDB by then. */
static bool all_have_a_twin(struct beginning *b, struct err *err)
{
    char *missing CLEANUP(free_ptr) = NULL;
    strbuf_init(&b->schemas, STRBUF_SQL_MAX);
    strbuf_init(&b->tables, STRBUF_SQL_MAX);
    if (!maria_query(b->maria,
                     "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN "
                     "('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2",
                     each_table, b, err))
        return false;
    pg_array_end(&b->schemas, b->count);
    pg_array_end(&b->tables, b->count);
    const char *params[] = {b->schemas.data, b->tables.data};
    if (!strbuf_ok(&b->schemas, "tables", err) || !strbuf_ok(&b->tables, "tables", err) ||
        !pg_query_text(
            b->pg,
            "SELECT pg_catalog.min(w.s || '.' || w.t) FROM ROWS FROM (pg_catalog.unnest($1::text[]), "
            "pg_catalog.unnest($2::text[])) w (s, t) WHERE NOT EXISTS (SELECT FROM "
            "pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace AND "
            "n.nspname = w.s AND c.relname = w.t AND c.relkind IN ('r', 'p'))",
            2, params, &missing, err))
        return false;
    return missing == NULL ||
           err_set(err, ERR_REFUSED,
                   "table=%s: MariaDB has it and PostgreSQL has not, so its rows could not come back. Hint: "
                   "leave it out (source.tables: \"!%s\"), or make it on PostgreSQL",
                   missing, missing);
}

/* InnoDB writes what foreign keys change by themselves into no binlog, and PostgreSQL's own do nothing in apply's session. */
static bool each_cascade(void *ctx, char **cells, size_t count, struct err *err)
{
    const struct beginning *b = ctx;
    if (count != 3 || cells[0] == NULL || cells[1] == NULL || cells[2] == NULL)
        return err_set(err, ERR_PROTOCOL, "an unexpected row of foreign keys");
    return maria_is_nobodys_database(maria_database(b->maria), cells[0]) ||
           !table_filter_matches(b->filter, called(b, cells[0]), cells[1]) ||
           err_set(
               err, ERR_REFUSED,
               "table=%s.%s: foreign key %s cascades (or sets null) on MariaDB, and what it changes is in no "
               "binlog: it would not come back. Hint: make it ON DELETE RESTRICT ON UPDATE RESTRICT there, "
               "and let the application do it",
               called(b, cells[0]), cells[1], cells[2]);
}

static bool nothing_cascades(struct beginning *b, struct err *err)
{
    return maria_query(
        b->maria,
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM "
        "information_schema.REFERENTIAL_CONSTRAINTS "
        "WHERE DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION') "
        "ORDER BY 1, 2, 3",
        each_cascade, b, err);
}

static bool has_capitals(const char *name)
{
    while (*name != '\0' && !isupper((unsigned char)*name))
        name++;
    return *name != '\0';
}

static bool name_comes_back(const char *schema, const char *table, bool folded, struct err *err)
{
    if (maria_is_own_table("public", schema, table)) /* by PostgreSQL's names */
        return err_set(err, ERR_REFUSED,
                       "table=%s.%s: on MariaDB names with " MARIA_OWN_PREFIX
                       " are Crossfade's own, and their rows "
                       "do not come back. Hint: leave it out (source.tables), or rename it",
                       schema, table);
    return !folded || (!has_capitals(schema) && !has_capitals(table)) ||
           err_set(err, ERR_REFUSED,
                   "table=%s.%s: this MariaDB keeps names in small letters (lower_case_table_names), so its "
                   "rows would come back under another name. Hint: leave it out (source.tables)",
                   schema, table);
}

static bool all_names_come_back(struct beginning *b, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char *folds CLEANUP(free_ptr) = NULL;
    if (!ask(b, "SELECT @@global.lower_case_table_names", NULL, &folds, err) ||
        !pg_query(b->pg,
                  "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON "
                  "n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2",
                  0, NULL, &res, err))
        return false;
    bool folded = folds != NULL && strcmp(folds, "1") == 0, ok = true;
    for (int i = 0; ok && i < pg_rows(res); i++) {
        const char *schema = pg_cell(res, i, 0), *table = pg_cell(res, i, 1);
        ok = !table_filter_matches(b->filter, schema, table) || name_comes_back(schema, table, folded, err);
    }
    return ok;
}

static bool look(struct beginning *b, struct err *err)
{
    bool begun = false;
    struct pg_options options = {.application_name = "crossfade capture"};
    if (!maria_open_as(config_text(b->cfg, "source.url"), "crossfade capture", &b->maria, err))
        return err_wrap(err, "source.url");
    if (!leaves_out_what_comes_back(b, err) || !has_begun(b, &begun, err))
        return false;
    if (begun)
        return true;
    if (!is_copied(b, err) || !table_filter_from_config(b->cfg, &b->filter, err))
        return false;
    if (!pg_open(config_text(b->cfg, "target.url"), &options, &b->pg, err))
        return err_wrap(err, "target.url");
    return all_have_a_twin(b, err) && nothing_cascades(b, err) && all_names_come_back(b, err);
}

bool maria_way_back_may_begin(const struct config *cfg, const char *other, struct err *err)
{
    struct beginning b = {.cfg = cfg, .other = other};
    bool ok = look(&b, err);
    table_filter_free(b.filter);
    strbuf_release(&b.schemas);
    strbuf_release(&b.tables);
    pg_close(b.pg);
    maria_close(b.maria);
    return ok;
}
