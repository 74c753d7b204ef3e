/*
 * Owns: steps on a MariaDB target. Its definitions commit by themselves and are atomic, so what is there is the note of what was done;
 * a table is compared with a temporary one of the same statement, both as the server itself prints them.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "maria/conn.h"
#include "side.h"

#define SQL_BYTES_MAX ((size_t)8 << 20)

struct mariadb_side {
    struct side base;
    struct maria_conn *conn;
    const char *pipeline;
    bool folds_names;
};

static bool there_is(struct mariadb_side *ms, const char *sql, bool *ret, struct err *err)
{
    char *count CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(ms->conn, sql, 0, &count, err))
        return false;
    *ret = count != NULL && strcmp(count, "0") != 0;
    return true;
}

static void add_where(struct strbuf *sql, const char *column, const char *value)
{
    strbuf_adds(sql, column);
    strbuf_adds(sql, " = ");
    maria_quote_literal(sql, value);
}

static bool look_database(struct mariadb_side *ms, const struct plan_step *step, enum step_state *ret,
                          struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    bool there = false;
    strbuf_adds(&sql, "SELECT count(*) FROM information_schema.schemata WHERE ");
    add_where(&sql, "schema_name", step->database);
    bool ok = there_is(ms, sql.data, &there, err);
    strbuf_release(&sql);
    *ret = there ? STEP_THERE : STEP_TODO;
    return ok;
}

/* --- tables --- */

/* The lines of SHOW CREATE TABLE that belong to the table itself: further keys come and go by steps of their own. */
static void add_lines(const char *shown, const char *wanted, struct strbuf *out)
{
    for (const char *line = strchr(shown, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        size_t len = strcspn(line, "\n");
        bool last = *line == ')';
        size_t text = last ? strcspn(line, "\n") : len - (len > 0 && line[len - 1] == ',');
        char *copy CLEANUP(free_ptr) = xstrndup(line, text);
        char *counter = last ? strstr(copy, " AUTO_INCREMENT=") : NULL;
        if (counter != NULL)
            memmove(counter, counter + 16 + strspn(counter + 16, "0123456789"),
                    strlen(counter + 16 + strspn(counter + 16, "0123456789")) + 1);
        bool key = strncmp(copy, "  KEY ", 6) == 0 || strncmp(copy, "  UNIQUE KEY ", 13) == 0 ||
                   (strncmp(copy, "  CONSTRAINT ", 13) == 0 && strstr(copy, " FOREIGN KEY ") != NULL);
        if (key && wanted != NULL && strstr(wanted, copy) == NULL)
            continue;
        strbuf_adds(out, copy);
        strbuf_addc(out, '\n');
    }
}

static void add_table(struct strbuf *sql, const struct plan_step *step)
{
    maria_quote_ident(sql, step->database);
    strbuf_addc(sql, '.');
    maria_quote_ident(sql, step->table);
}

static bool show_table(struct mariadb_side *ms, const struct plan_step *step, char **ret, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "SHOW CREATE TABLE ");
    add_table(&sql, step);
    bool ok = maria_query_text(ms->conn, sql.data, 1, ret, err);
    strbuf_release(&sql);
    return ok;
}

/* A temporary table hides the one of the same name, and is made by the same statement. */
static bool show_wanted(struct mariadb_side *ms, const struct plan_step *step, char **ret, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "CREATE TEMPORARY TABLE ");
    strbuf_adds(&sql, step->sql + strlen("CREATE TABLE "));
    bool ok = maria_exec(ms->conn, sql.data, err) && show_table(ms, step, ret, err);
    strbuf_clear(&sql);
    strbuf_adds(&sql, "DROP TEMPORARY TABLE IF EXISTS ");
    add_table(&sql, step);
    (void)!maria_exec(ms->conn, sql.data, &ignored);
    strbuf_release(&sql);
    return ok || err_wrap(err, "comparing table %s with what is there", step->name);
}

static char *first_difference(const char *wanted, const char *found)
{
    while (*wanted != '\0' && *found != '\0') {
        size_t w = strcspn(wanted, "\n"), f = strcspn(found, "\n");
        if (w != f || strncmp(wanted, found, w) != 0)
            return xasprintf("is there and is another: \"%.*s\" where \"%.*s\" should be",
                             (int)MIN_OF(f, 300), found, (int)MIN_OF(w, 300), wanted);
        wanted += w + (wanted[w] != '\0');
        found += f + (found[f] != '\0');
    }
    return *wanted == *found ? NULL : xstrdup("is there and has other columns or keys");
}

static bool look_table(struct mariadb_side *ms, const struct plan_step *step, enum step_state *ret,
                       char **ret_why, struct err *err)
{
    char *found CLEANUP(free_ptr) = NULL, *wanted CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX), a = STRBUF_INIT(SQL_BYTES_MAX),
                  b = STRBUF_INIT(SQL_BYTES_MAX);
    bool there = false;
    strbuf_adds(&sql, "SELECT count(*) FROM information_schema.tables WHERE ");
    add_where(&sql, "table_schema", step->database);
    add_where(&sql, " AND table_name", step->table);
    bool ok = there_is(ms, sql.data, &there, err);
    *ret = STEP_TODO;
    if (ok && there)
        ok = show_table(ms, step, &found, err) && show_wanted(ms, step, &wanted, err);
    if (ok && there) {
        add_lines(wanted, NULL, &a);
        add_lines(found, a.data, &b);
        *ret_why = first_difference(a.data, b.data);
        *ret = *ret_why != NULL ? STEP_DIFFERS : STEP_THERE;
    }
    strbuf_release(&sql);
    strbuf_release(&a);
    strbuf_release(&b);
    return ok;
}

/* --- indexes and foreign keys: by name, and by what they are on --- */

#define QUOTED(column) "concat('`', replace(" column ", '`', '``'), '`')"

static bool look_named(struct mariadb_side *ms, const char *sql, const struct plan_step *step,
                       enum step_state *ret, char **ret_why, struct err *err)
{
    char *found CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(ms->conn, sql, 0, &found, err))
        return false;
    *ret = found == NULL ? STEP_TODO : strcasecmp(found, step->columns) == 0 ? STEP_THERE : STEP_DIFFERS;
    if (*ret == STEP_DIFFERS)
        *ret_why = xasprintf("is there on %s, not on %s", found, step->columns);
    return true;
}

static bool look_index(struct mariadb_side *ms, const struct plan_step *step, enum step_state *ret,
                       char **ret_why, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql,
                "SELECT group_concat(" QUOTED(
                    "column_name") ", coalesce(concat('(', sub_part, ')'), ''), if(collation = 'D', ' DESC', "
                                   "'') ORDER BY"
                                   " seq_in_index SEPARATOR ',') FROM information_schema.statistics WHERE ");
    add_where(&sql, "table_schema", step->database);
    add_where(&sql, " AND table_name", step->table);
    add_where(&sql, " AND index_name", step->object);
    bool ok = look_named(ms, sql.data, step, ret, ret_why, err);
    strbuf_release(&sql);
    return ok;
}

static bool look_foreign_key(struct mariadb_side *ms, const struct plan_step *step, enum step_state *ret,
                             char **ret_why, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    strbuf_adds(&sql, "SELECT group_concat(" QUOTED("column_name") ", '>', ");
    strbuf_adds(&sql, QUOTED("referenced_table_schema") ", '.', " QUOTED("referenced_table_name") ", '.', ");
    strbuf_adds(&sql, QUOTED("referenced_column_name") " ORDER BY ordinal_position SEPARATOR ',')");
    strbuf_adds(&sql,
                " FROM information_schema.key_column_usage WHERE referenced_table_name IS NOT NULL AND ");
    add_where(&sql, "table_schema", step->database);
    add_where(&sql, " AND table_name", step->table);
    add_where(&sql, " AND constraint_name", step->object);
    bool ok = look_named(ms, sql.data, step, ret, ret_why, err);
    strbuf_release(&sql);
    return ok;
}

static bool look(struct side *side, const struct plan_step *step, enum step_state *ret, char **ret_why,
                 struct err *err)
{
    struct mariadb_side *ms = (struct mariadb_side *)side;
    if (strcmp(step->kind, "database") == 0)
        return look_database(ms, step, ret, err);
    if (strcmp(step->kind, "table") == 0)
        return look_table(ms, step, ret, ret_why, err);
    if (strcmp(step->kind, "index") == 0)
        return look_index(ms, step, ret, ret_why, err);
    return look_foreign_key(ms, step, ret, ret_why, err);
}

static bool take(struct side *side, const struct plan_step *step, struct err *err)
{
    struct mariadb_side *ms = (struct mariadb_side *)side;
    return maria_exec(ms->conn, step->sql, err) || err_wrap(err, "%s %s", step->kind, step->name);
}

static bool validate(struct side *side, const struct plan_step *step, struct err *err)
{
    (void)side, (void)step, (void)err; /* checked when it was made */
    return true;
}

static bool take_copied(void *ctx, char **cells, size_t count, struct err *err)
{
    (void)count, (void)err;
    *(enum copy_state *)ctx = side_copy_state(strtoll(cells[0], NULL, 10), strtoll(cells[1], NULL, 10),
                                              strtoll(cells[2], NULL, 10));
    return true;
}

static bool copied(struct side *side, enum copy_state *ret, struct err *err)
{
    struct mariadb_side *ms = (struct mariadb_side *)side;
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    bool there = false;
    *ret = COPY_NOT_BEGUN;
    strbuf_adds(&sql, "SELECT count(*), coalesce(max(CAST(substring_index(shard, '/', -1) AS int)), 1), "
                      "coalesce(sum(NOT complete), 0) FROM crossfade_position WHERE ");
    add_where(&sql, "pipeline", ms->pipeline);
    bool ok = there_is(ms,
                       "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND "
                       "table_name = 'crossfade_position'",
                       &there, err) &&
              (!there || maria_query(ms->conn, sql.data, take_copied, ret, err));
    strbuf_release(&sql);
    return ok;
}

static void close_side(struct side *side)
{
    struct mariadb_side *ms = (struct mariadb_side *)side;
    maria_close(ms->conn);
    free(ms);
}

static const struct side_ops ops = {
    .close = close_side, .look = look, .take = take, .validate = validate, .copied = copied};

#define VERSION_LEAST 101100 /* uuid, inet6, JSON checks, atomic definitions: tested with 10.11 */

static bool check_server(struct mariadb_side *ms, struct err *err)
{
    struct maria_conn *conn = ms->conn;
    char *mode CLEANUP(free_ptr) = NULL;
    if (maria_version(conn) < VERSION_LEAST)
        return err_set(err, ERR_UNSUPPORTED, "MariaDB %s: 10.11 or later is needed", maria_server(conn));
    if (!maria_query_text(conn, "SELECT @@GLOBAL.sql_mode", 0, &mode, err))
        return false;
    if (mode == NULL || strstr(mode, "STRICT_") == NULL)
        return err_set(err, ERR_REFUSED,
                       "the server's sql_mode is not strict, so that applications could write values that do "
                       "not fit: set "
                       "sql_mode=STRICT_TRANS_TABLES in its configuration");
    if (!there_is(ms, "SELECT @@lower_case_table_names", &ms->folds_names, err))
        return false;
    return maria_exec(conn, "SET SESSION group_concat_max_len = 1048576", err);
}

bool side_mariadb_folds_names(const struct side *side)
{
    return ((const struct mariadb_side *)side)->folds_names;
}

bool side_mariadb_open(const char *url, const struct schema_plan *plan, struct side **ret, struct err *err)
{
    struct mariadb_side *ms = xcalloc(1, sizeof *ms);
    ms->base.ops = &ops;
    ms->pipeline = plan->pipeline;
    if (!maria_open(url, &ms->conn, err) || !check_server(ms, err)) {
        close_side(&ms->base);
        return err_wrap(err, "target");
    }
    *ret = &ms->base;
    return true;
}
