/* A MariaDB target: the server and its settings, what our user may do there, whose position it holds. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/names.h"

#define SIDE          "target"
#define VERSION_LEAST 101100
#define PACKET_LEAST  (16L << 20)
#define CELLS_MAX     12
#define SQL_BYTES_MAX ((size_t)1 << 20)

/* The first row of an answer; malloc'd texts, NULL for null. */
struct row {
    char *cells[CELLS_MAX];
    bool there;
};

static bool keep_row(void *ctx, char **cells, size_t count, struct err *err)
{
    struct row *row = ctx;
    (void)err;
    for (size_t i = 0; !row->there && i < count && i < CELLS_MAX; i++)
        row->cells[i] = cells[i] != NULL ? xstrdup(cells[i]) : NULL;
    row->there = true;
    return true;
}

static void row_release(struct row *row)
{
    for (size_t i = 0; i < CELLS_MAX; i++)
        free(row->cells[i]);
    *row = (struct row){0};
}

static const char *cell(const struct row *row, size_t i)
{
    return row->cells[i] != NULL ? row->cells[i] : "";
}

static bool is_on(const struct row *row, size_t i)
{
    return strcmp(cell(row, i), "1") == 0;
}

static void check_version(struct check *ck)
{
    unsigned long version = maria_version(ck->maria);
    const char *server = maria_server(ck->maria);
    if (strstr(server, "MariaDB") == NULL)
        check_add(ck, SIDE, "version", CHECK_FAIL,
                  "MySQL is not supported as a target: MariaDB 10.11 or later", "%s", server);
    else if (version < VERSION_LEAST)
        check_add(ck, SIDE, "version", CHECK_FAIL,
                  "MariaDB 10.11 is the oldest that works: upgrade the server", "%s", server);
    else
        check_add(ck, SIDE, "version", CHECK_OK, NULL, "%s", server);
}

static void check_mode(struct check *ck, const char *mode)
{
    if (strstr(mode, "STRICT_ALL_TABLES") != NULL || strstr(mode, "STRICT_TRANS_TABLES") != NULL)
        check_add(ck, SIDE, "sql_mode", CHECK_OK, NULL, "strict");
    else
        check_add(ck, SIDE, "sql_mode", CHECK_FAIL,
                  "set sql_mode = STRICT_TRANS_TABLES in the server's configuration (crossfade schema create "
                  "refuses "
                  "without; apply sets its own)",
                  "not strict: applications could write values that do not fit (\"%s\")", mode);
}

static void check_charset(struct check *ck, const char *charset, const char *collation)
{
    if (strcmp(charset, "utf8mb4") != 0)
        check_add(
            ck, SIDE, "collation", CHECK_WARN,
            "ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, or tables that name both, as "
            "crossfade schema create does",
            "the database is in %s: tables that name no character set take no emoji, or no letters beyond "
            "Latin",
            charset);
    else if (strstr(collation, "_bin") == NULL && strstr(collation, "_cs") == NULL)
        check_add(ck, SIDE, "collation", CHECK_WARN,
                  "ALTER DATABASE … COLLATE utf8mb4_nopad_bin, or tables that name it, as crossfade schema "
                  "create does",
                  "%s takes texts for equal that PostgreSQL tells apart, in tables that name no collation",
                  collation);
    else
        check_add(ck, SIDE, "collation", CHECK_OK, NULL, "%s", collation);
}

static void check_packet(struct check *ck, const char *bytes)
{
    long packet = strtol(bytes, NULL, 10);
    if (packet < PACKET_LEAST)
        check_add(ck, SIDE, "max_allowed_packet", CHECK_WARN,
                  "set max_allowed_packet = 64M, or more than the largest row",
                  "%ld bytes: a row that is longer halts apply", packet);
    else
        check_add(ck, SIDE, "max_allowed_packet", CHECK_OK, NULL, "%ld MiB: a row that is longer halts apply",
                  packet >> 20);
}

static bool check_settings(struct check *ck, struct err *err)
{
    static const char sql[] = "SELECT @@GLOBAL.sql_mode, @@GLOBAL.max_allowed_packet, @@GLOBAL.local_infile, "
                              "@@character_set_database, "
                              "@@collation_database, @@lower_case_table_names, @@GLOBAL.read_only";
    struct row row = {0};
    if (!maria_query(ck->maria, sql, keep_row, &row, err))
        return false;
    check_mode(ck, cell(&row, 0));
    check_packet(ck, cell(&row, 1));
    check_charset(ck, cell(&row, 3), cell(&row, 4));
    check_add(ck, SIDE, "local_infile", CHECK_OK, NULL, "%s",
              is_on(&row, 2) ? "on" : "off: rows cannot go by LOAD DATA LOCAL");
    if (strcmp(cell(&row, 5), "0") == 0)
        check_add(ck, SIDE, "lower_case_table_names", CHECK_OK, NULL, "0");
    else
        check_add(ck, SIDE, "lower_case_table_names", CHECK_WARN,
                  "no two tables may differ by the case of their names alone (crossfade schema plan says so)",
                  "%s: names of tables are kept or compared in lower case", cell(&row, 5));
    if (is_on(&row, 6))
        check_add(ck, SIDE, "primary", CHECK_FAIL, "connect to the primary, or SET GLOBAL read_only = 0",
                  "the server is read_only");
    row_release(&row);
    return true;
}

/* --- rights --- */

static const char *const wanted[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES",
                                     "TRIGGER"};

static bool keep_right(void *ctx, char **cells, size_t count, struct err *err)
{
    struct strbuf *list = ctx;
    (void)count, (void)err;
    strbuf_addf(list, "|%s|", cells[0]);
    return true;
}

static bool list_has(const struct strbuf *list, const char *right)
{
    char *bar CLEANUP(free_ptr) = xasprintf("|%s|", right);
    return strstr(list->data, bar) != NULL;
}

static void add_missing(struct check *ck, const struct strbuf *list, bool control_there)
{
    struct strbuf missing = STRBUF_INIT(1000);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (!list_has(list, wanted[i]))
            strbuf_addf(&missing, "%s%s", missing.len > 0 ? ", " : "", wanted[i]);
    }
    if (!control_there && !list_has(list, "CREATE"))
        check_add(ck, SIDE, "create", CHECK_FAIL,
                  "GRANT CREATE ON the database TO our user, until they are made",
                  "our user may not create the control tables crossfade_*");
    else
        check_add(ck, SIDE, "create", CHECK_OK, NULL, "control tables %s",
                  control_there ? "are there" : "can be made");
    if (missing.len > 0)
        check_add(ck, SIDE, "privileges", CHECK_WARN,
                  "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, TRIGGER ON the database TO "
                  "our user, or "
                  "on each of its tables",
                  "our user lacks %s on the database as a whole", missing.data);
    else
        check_add(ck, SIDE, "privileges", CHECK_OK, NULL, "on the database as a whole");
    strbuf_release(&missing);
}

/* Names in schema_privileges are patterns, as GRANT takes them. A role's rights are not listed there. */
static bool check_rights(struct check *ck, struct err *err)
{
#define ME                                                                                                   \
    "grantee = concat('''', replace(substring_index(current_user(), '@', 1), '''', '\\\\'''), '''@''', "     \
    "substring_index(current_user(), '@', -1), '''')"
    static const char sql[] = "SELECT privilege_type FROM information_schema.user_privileges WHERE " ME
                              " UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE "
                              "database() LIKE table_schema AND " ME;
    struct strbuf list = STRBUF_INIT(100000);
    struct row row = {0};
    bool ok = maria_query(ck->maria,
                          "SELECT database(), current_user(), current_role(), (SELECT count(*) FROM "
                          "information_schema.tables WHERE table_schema = database() AND table_name = "
                          "'crossfade_position')",
                          keep_row, &row, err) &&
              maria_query(ck->maria, sql, keep_right, &list, err);
    if (ok) {
        check_add(ck, SIDE, "reachable", CHECK_OK, NULL, "database %s as user %s", cell(&row, 0),
                  cell(&row, 1));
        ck->has_position = is_on(&row, 3);
        if (row.cells[2] != NULL)
            check_add(ck, SIDE, "privileges", CHECK_OK, NULL, "by role %s, whose rights are not listed",
                      row.cells[2]);
        else
            add_missing(ck, &list, ck->has_position);
    }
    row_release(&row);
    strbuf_release(&list);
    return ok;
}

static bool check_position(struct check *ck, struct err *err)
{
    struct row row = {0};
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    if (!ck->has_position)
        return true;
    strbuf_adds(&sql,
                "SELECT fence_id, lsn, source_system_id, complete FROM crossfade_position WHERE pipeline = ");
    maria_quote_literal(&sql, config_text(ck->cfg, "pipeline"));
    strbuf_adds(&sql, " ORDER BY shard LIMIT 1");
    bool ok = maria_query(ck->maria, sql.data, keep_row, &row, err);
    strbuf_release(&sql);
    ck->has_position = ok && row.there;
    if (ck->has_position && ck->source_system_id != NULL && strcmp(ck->source_system_id, cell(&row, 2)) != 0)
        check_add(ck, SIDE, "position", CHECK_FAIL,
                  "the source was replaced or restored: name a new pipeline, or empty the target and "
                  "crossfade_position",
                  "this pipeline's rows here come from another source (system identifier %s, now %s)",
                  cell(&row, 2), ck->source_system_id);
    else if (ck->has_position)
        check_add(ck, SIDE, "position", CHECK_OK, NULL, "apply goes on at fence %s, %s%s", cell(&row, 0),
                  cell(&row, 1), is_on(&row, 3) ? "" : " (first copy under way)");
    row_release(&row);
    return ok;
}

bool check_target_mariadb(struct check *ck, struct err *err)
{
    struct err why = ERR_INIT;
    if (!maria_open(config_text(ck->cfg, "target.url"), &ck->maria, &why)) {
        check_add(
            ck, SIDE, "reachable", CHECK_FAIL,
            "check target.url, the user's rights and the password (MARIADB_PWD, MYSQL_PWD or ~/.my.cnf)",
            "%s", why.text);
        return true;
    }
    check_version(ck);
    return check_rights(ck, err) && check_settings(ck, err) && check_position(ck, err);
}

/* --- tables --- */

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

static bool ask_table(struct check *ck, const struct check_table *t, const char *select, const char *tail,
                      struct row *ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, select);
    add_where(&sql, ck, t);
    strbuf_adds(&sql, tail);
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query(ck->maria, sql.data, keep_row, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool find_table(struct check *ck, struct check_table *t, bool *ret_there, struct err *err)
{
    struct row row = {0};
    bool ok = ask_table(ck, t, "SELECT table_type, engine FROM information_schema.tables", "", &row, err);
    *ret_there = ok && row.there;
    if (ok && maria_is_system_database(maria_database_of(maria_database(ck->maria), t->source.schema)))
        fail_table(ck, t, "exists", "leave it out (source.tables), or rename the schema on the source",
                   "its schema is called like a database that MariaDB keeps for itself", "");
    else if (ok && !row.there)
        fail_table(ck, t, "exists", "crossfade schema create makes it",
                   "there is no such table on the target, or our user has no rights on it", "");
    else if (ok && strcmp(cell(&row, 1), "InnoDB") != 0)
        fail_table(ck, t, "exists", "on the target: ALTER TABLE … ENGINE=InnoDB",
                   "on the target this is no table that takes part in transactions:",
                   cell(&row, row.cells[1] != NULL ? 1 : 0));
    row_release(&row);
    return ok;
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
    struct row row = {0};
    bool ok = ask_table(ck, t, "SELECT count(*) FROM information_schema.statistics", " AND non_unique = 0",
                        &row, err);
    if (ok && t->schema != NULL && t->schema->key_count > 0 && strcmp(cell(&row, 0), "0") == 0)
        fail_table(ck, t, "key", "on the target: ALTER TABLE … ADD PRIMARY KEY",
                   "the target has no unique index", "");
    row_release(&row);
    return ok;
}

static bool check_triggers(struct check *ck, struct check_table *t, struct err *err)
{
    struct row row = {0};
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = ");
    maria_quote_literal(&sql, maria_database_of(maria_database(ck->maria), t->source.schema));
    strbuf_adds(&sql, " AND event_object_table = ");
    maria_quote_literal(&sql, t->source.name);
    bool ok = maria_query(ck->maria, sql.data, keep_row, &row, err);
    if (ok && row.there)
        fail_table(ck, t, "triggers", "on the target: drop it until the cutover",
                   "a trigger would run for rows whose triggers the source has run already:", cell(&row, 0));
    strbuf_release(&sql);
    row_release(&row);
    return ok;
}

bool check_mariadb_table(struct check *ck, struct check_table *t, struct err *err)
{
    bool there = false;
    if (!find_table(ck, t, &there, err))
        return false;
    return !there || t->bad ||
           (check_columns(ck, t, err) && check_key(ck, t, err) && check_triggers(ck, t, err));
}
