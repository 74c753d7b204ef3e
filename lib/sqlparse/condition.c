/* Owns: what may be a condition. See condition.h. */
#include "sqlparse/condition.h"

#include <pg_query.h>
#include <string.h>

#include "core/strbuf.h"
#include "sqlparse_internal.h"

/* A SELECT that has a list, WHERE and nothing else: the parser leaves out what is not there. */
static bool is_plain(const json_t *root)
{
    const json_t *stmts = json_object_get(root, "stmts");
    const json_t *select = sql_node_of(json_object_get(json_array_get(stmts, 0), "stmt"), "SelectStmt");
    const char *key;
    json_t *value;
    if (json_array_size(stmts) != 1 || json_object_get(select, "whereClause") == NULL)
        return false;
    json_object_foreach((json_t *)select, key, value)
    {
        if (strcmp(key, "targetList") != 0 && strcmp(key, "whereClause") != 0 &&
            strcmp(key, "limitOption") != 0 && strcmp(key, "op") != 0)
            return false;
    }
    return strcmp(sql_text_of(select, "op"), "SETOP_NONE") == 0;
}

/* "true) OR (true" reads only inside of parentheses, "true ORDER BY 1" only without: an expression reads both ways. */
static bool reads_as(const char *head, const char *text, const char *tail)
{
    struct strbuf sql = STRBUF_INIT(2 * SQL_CONDITION_MAX);
    strbuf_addf(&sql, "%s%s%s", head, text, tail);
    PgQueryParseResult r = pg_query_parse(sql.data);
    json_t *root = r.error == NULL ? json_loads(r.parse_tree, 0, NULL) : NULL;
    bool plain = root != NULL && is_plain(root);
    json_decref(root);
    pg_query_free_parse_result(r);
    strbuf_release(&sql);
    return plain;
}

static bool check_statement(const struct sql_script *script, struct err *err)
{
    const struct sql_statement *st = &script->statements[0];
    if (st->kind != SQL_READ)
        return err_set(err, ERR_CONFIG, "does more than read: %s", st->why != NULL ? st->why : "");
    if (st->param_count > 0)
        return err_set(err, ERR_CONFIG, "has parameters ($1): write their values");
    if (st->open != 0)
        return err_set(err, ERR_CONFIG,
                       "its answer hangs on %s: the two sides would choose different rows; write the value",
                       sql_open_text(st->open));
    return true;
}

bool sql_condition_check(const char *text, struct err *err)
{
    struct sql_script script = {0};
    struct strbuf sql = STRBUF_INIT(2 * SQL_CONDITION_MAX);
    if (strlen(text) > SQL_CONDITION_MAX)
        return err_set(err, ERR_CONFIG, "longer than %d bytes", SQL_CONDITION_MAX);
    if (!reads_as("SELECT 1 WHERE ", text, "\n") || !reads_as("SELECT 1 WHERE (", text, "\n)"))
        return err_set(err, ERR_CONFIG,
                       "is not one expression of SQL (it stands behind WHERE, in parentheses)");
    strbuf_addf(&sql, "SELECT 1 WHERE (%s\n)", text);
    bool ok = sql_parse(sql.data, &script, err) && check_statement(&script, err);
    sql_script_release(&script);
    strbuf_release(&sql);
    return ok;
}
