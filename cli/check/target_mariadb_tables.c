/* The tables of a MariaDB target: are they there, with all columns and a key, without triggers? */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/names.h"

#define SQL_BYTES_MAX ((size_t)1 << 20)

static void fail_table(struct check *ck, struct check_table *t, const char *name, const char *hint,
                       const char *what, const char *more)
{
    t->bad = true;
    check_add(ck, "tables", name, CHECK_FAIL, hint, "%s.%s: %s%s%s", t->source.schema, t->source.name, what,
              more[0] != '\0' ? " " : "", more);
}

static void add_where(struct strbuf *sql, const struct check *ck, const struct check_table *t)
{
    strbuf_adds(sql, " WHERE table_schema = ");
    maria_quote_literal(sql, maria_database_of(maria_database(ck->maria), t->source.schema));
    strbuf_adds(sql, " AND table_name = ");
    maria_quote_literal(sql, t->source.name);
}

/* The first value of the first row; malloc'd, NULL: none. */
static bool ask_table(struct check *ck, const struct check_table *t, const char *select, const char *tail,
                      char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, select);
    add_where(&sql, ck, t);
    strbuf_adds(&sql, tail);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(ck->maria, sql.data, 0, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool find_table(struct check *ck, struct check_table *t, bool *ret_there, struct err *err)
{
    char *engine CLEANUP(free_ptr) = NULL;
    if (!ask_table(ck, t, "SELECT COALESCE(engine, table_type) FROM information_schema.tables", "", &engine,
                   err))
        return false;
    *ret_there = engine != NULL;
    if (maria_is_system_database(maria_database_of(maria_database(ck->maria), t->source.schema)))
        fail_table(ck, t, "exists", "leave it out (source.tables), or rename the schema on the source",
                   "its schema is called like a database that MariaDB keeps for itself", "");
    else if (engine == NULL)
        fail_table(ck, t, "exists", "crossfade schema create makes it",
                   "there is no such table on the target, or our role has no rights on it", "");
    else if (strcmp(engine, "InnoDB") != 0)
        fail_table(ck, t, "exists", "on the target: ALTER TABLE … ENGINE=InnoDB",
                   "on the target this is no table that takes part in transactions:", engine);
    return true;
}

static bool keep_name(void *ctx, char **cells, size_t count, struct err *err)
{
    struct strbuf *names = ctx;
    (void)count, (void)err;
    strbuf_addf(names, "%s\n", cells[0]);
    return true;
}

/* Names of columns have no case on MariaDB. */
static bool names_have(const struct strbuf *names, const char *name)
{
    char *line CLEANUP(free_ptr) = xasprintf("\n%s\n", name);
    return strcasestr(names->data, line) != NULL;
}

static bool check_columns(struct check *ck, struct check_table *t, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX), names = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&names, "\n");
    strbuf_adds(&sql, "SELECT column_name FROM information_schema.columns");
    add_where(&sql, ck, t);
    bool ok = maria_query(ck->maria, sql.data, keep_name, &names, err);
    for (size_t i = 0; ok && t->schema != NULL && i < t->schema->field_count; i++) {
        if (!names_have(&names, t->schema->fields[i].name))
            fail_table(ck, t, "columns",
                       "on the target: ALTER TABLE … ADD COLUMN (crossfade schema plan says the type)",
                       "the target lacks column", t->schema->fields[i].name);
    }
    strbuf_release(&sql);
    strbuf_release(&names);
    return ok;
}

static bool check_key(struct check *ck, struct check_table *t, struct err *err)
{
    char *count CLEANUP(free_ptr) = NULL;
    if (t->schema == NULL || t->schema->key_count == 0)
        return true;
    if (!ask_table(ck, t, "SELECT count(*) FROM information_schema.statistics", " AND non_unique = 0", &count,
                   err))
        return false;
    if (count != NULL && strcmp(count, "0") == 0)
        fail_table(ck, t, "key", "on the target: ALTER TABLE … ADD PRIMARY KEY",
                   "the target has no unique index", "");
    return true;
}

static bool check_triggers(struct check *ck, struct check_table *t, struct err *err)
{
    char *trigger CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = ");
    maria_quote_literal(&sql, maria_database_of(maria_database(ck->maria), t->source.schema));
    strbuf_adds(&sql, " AND event_object_table = ");
    maria_quote_literal(&sql, t->source.name);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(ck->maria, sql.data, 0, &trigger, err);
    if (ok && trigger != NULL)
        fail_table(ck, t, "triggers", "on the target: drop it until the cutover",
                   "a trigger would run for rows whose triggers the source has run already:", trigger);
    strbuf_release(&sql);
    return ok;
}

bool check_mariadb_table(struct check *ck, struct check_table *t, struct err *err)
{
    bool there = false;
    if (!find_table(ck, t, &there, err))
        return false;
    if (!there || t->bad)
        return check_mariadb_table_rights(ck, t, err);
    return check_mariadb_table_rights(ck, t, err) &&
           (check_columns(ck, t, err) && check_key(ck, t, err) && check_triggers(ck, t, err));
}
