/* Owns: what MariaDB says of a row that differs. See cause/target_look.h. It keeps neither who wrote a row nor when. */
#include "cause/target_look.h"

#include "maria/quote.h"

/* To a role without the right TRIGGER there are none. */
static const char *triggers(const struct session *s)
{
    (void)s;
    return "SELECT TRIGGER_NAME, EVENT_MANIPULATION = 'INSERT', EVENT_MANIPULATION = 'UPDATE', "
           "EVENT_MANIPULATION = 'DELETE', ACTION_TIMING = 'BEFORE' FROM information_schema.TRIGGERS WHERE "
           "EVENT_OBJECT_SCHEMA = $1 AND EVENT_OBJECT_TABLE = $2 ORDER BY 1";
}

static void compare_value(const struct plan_table *pt, const char *const *key,
                          const struct target_column *column, const char *value, struct strbuf *out)
{
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX), name = STRBUF_INIT(1024);
    maria_quote_literal(&text, value);
    maria_quote_ident(&name, column->name);
    if (column->is_text)
        strbuf_addf(out, "SELECT t.%s = %s, ", name.data, text.data);
    else
        strbuf_adds(out, "SELECT NULL, ");
    if (column->type[0] != '\0')
        strbuf_addf(out, "CAST(t.%s AS CHAR) = CAST(CAST(%s AS %s) AS CHAR)", name.data, text.data,
                    column->type);
    else
        strbuf_adds(out, "NULL");
    strbuf_addf(out, " FROM %s", pt->from[SIDE_TARGET]);
    cause_add_key(pt, SIDE_TARGET, key, maria_quote_literal, out);
    strbuf_adds(out, " LIMIT 1");
    out->failed = out->failed || text.failed || name.failed;
    strbuf_release(&text);
    strbuf_release(&name);
}

const struct cause_ops cause_mariadb = {
    .conflicts =
        "SELECT id, state, kind, decision, commit_lsn, `key` FROM crossfade_conflict WHERE pipeline = $1 "
        "AND schema_name = $2 AND table_name = $3 ORDER BY id DESC LIMIT 10000",
    .dead_letters =
        "SELECT id, stream, `partition`, record_offset, COALESCE(`sqlstate`, '') FROM "
        "crossfade_dead_letter WHERE pipeline = $1 AND schema_name = $2 AND table_name = $3 AND state = "
        "'held' ORDER BY id LIMIT 10000",
    .passed = "SELECT COALESCE(fence_id, 0), lsn FROM crossfade_verdict WHERE pipeline = $1 AND verdict = "
              "'PASS' AND scope = 'full' AND lsn IS NOT NULL ORDER BY id DESC LIMIT 1",
    .direct_loads = "SELECT COUNT(*) FROM crossfade_direct_load WHERE pipeline = $1",
    .columns =
        "SELECT COLUMN_NAME, CASE WHEN DATA_TYPE = 'decimal' THEN CONCAT('DECIMAL(', NUMERIC_PRECISION, ',', "
        "NUMERIC_SCALE, ')') WHEN DATA_TYPE IN ('datetime', 'timestamp') THEN CONCAT('DATETIME(', "
        "DATETIME_PRECISION, ')') WHEN DATA_TYPE = 'time' THEN CONCAT('TIME(', DATETIME_PRECISION, ')') WHEN "
        "DATA_TYPE IN ('date', 'float', 'double') THEN UPPER(DATA_TYPE) WHEN DATA_TYPE IN ('char', "
        "'varchar') "
        "THEN CONCAT('CHAR(', CHARACTER_MAXIMUM_LENGTH, ')') ELSE '' END, COLLATION_NAME IS NOT NULL FROM "
        "information_schema.COLUMNS WHERE TABLE_SCHEMA = $1 AND TABLE_NAME = $2",
    .triggers = triggers,
    .sees_triggers = "SELECT (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = "
                     "'TRIGGER') + (SELECT COUNT(*) FROM "
                     "information_schema.SCHEMA_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER' AND $1 LIKE "
                     "TABLE_SCHEMA) + (SELECT COUNT(*) FROM "
                     "information_schema.TABLE_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER' AND TABLE_SCHEMA "
                     "= $1 AND TABLE_NAME = $2) > 0",
    .compare_value = compare_value,
};
