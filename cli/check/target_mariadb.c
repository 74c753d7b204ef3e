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
            "check target.url, the user's rights, the password (MARIADB_PWD, MYSQL_PWD or ~/.my.cnf) and TLS",
            "%s", why.text);
        return true;
    }
    char *user CLEANUP(free_ptr) = NULL;
    if (!maria_query_text(ck->maria, "SELECT CURRENT_USER()", 0, &user, err))
        return false;
    check_add(ck, SIDE, "reachable", CHECK_OK, NULL, "database %s as user %s", maria_database(ck->maria),
              user);
    check_version(ck);
    return check_mariadb_rights(ck, err) && check_settings(ck, err) && check_position(ck, err);
}
