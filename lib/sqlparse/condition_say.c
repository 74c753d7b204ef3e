/* Owns: plain conditions in another server's words. See condition.h. */
#include <pg_query.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "sqlparse/condition.h"
#include "sqlparse_internal.h"

struct saying {
    const struct sql_words *words;
    struct strbuf *out;
    struct err *err;
    int depth;
};

#define DEPTH_MAX 200

static bool say(struct saying *s, const json_t *node);

static bool cannot(struct saying *s, const char *what)
{
    return err_set(s->err, ERR_DATA, "%.60s", what);
}

static bool say_list(struct saying *s, const json_t *list, const char *between)
{
    size_t i;
    json_t *item;
    strbuf_addc(s->out, '(');
    json_array_foreach((json_t *)list, i, item)
    {
        strbuf_adds(s->out, i > 0 ? between : "");
        if (!say(s, item))
            return false;
    }
    strbuf_addc(s->out, ')');
    return true;
}

static bool say_bool(struct saying *s, const json_t *expr)
{
    const char *op = sql_text_of(expr, "boolop");
    const json_t *args = json_object_get(expr, "args");
    if (strcmp(op, "NOT_EXPR") == 0)
        strbuf_adds(s->out, "NOT ");
    return say_list(s, args, strcmp(op, "OR_EXPR") == 0 ? " OR " : " AND ");
}

static bool is_comparison(const char *op)
{
    static const char *const ops[] = {"=", "<", "<=", ">", ">=", "<>"};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (strcmp(ops[i], op) == 0)
            return true;
    }
    return false;
}

/* = ANY (ARRAY[…]), maybe with a cast around. */
static const json_t *elements_of(const json_t *node)
{
    const json_t *cast = sql_node_of(node, "TypeCast");
    return json_object_get(sql_node_of(cast != NULL ? json_object_get(cast, "arg") : node, "A_ArrayExpr"),
                           "elements");
}

static bool say_comparison(struct saying *s, const json_t *expr)
{
    const char *before, *op = sql_last_name(json_object_get(expr, "name"), &before);
    const char *kind = sql_text_of(expr, "kind");
    const json_t *right = json_object_get(expr, "rexpr");
    bool any = strcmp(kind, "AEXPR_OP_ANY") == 0;
    if ((!any && strcmp(kind, "AEXPR_OP") != 0) || !is_comparison(op) || (any && strcmp(op, "=") != 0))
        return cannot(s, op);
    strbuf_addc(s->out, '(');
    if (!say(s, json_object_get(expr, "lexpr")))
        return false;
    strbuf_addf(s->out, any ? " IN " : " %s ", op);
    if (any && elements_of(right) == NULL)
        return cannot(s, "ANY");
    bool ok = any ? say_list(s, elements_of(right), ", ") : say(s, right);
    strbuf_addc(s->out, ')');
    return ok;
}

static bool say_null_test(struct saying *s, const json_t *test)
{
    strbuf_addc(s->out, '(');
    bool ok = say(s, json_object_get(test, "arg"));
    strbuf_adds(s->out,
                strcmp(sql_text_of(test, "nulltesttype"), "IS_NULL") == 0 ? " IS NULL)" : " IS NOT NULL)");
    return ok;
}

static bool say_column(struct saying *s, const json_t *ref)
{
    const char *before, *name = sql_last_name(json_object_get(ref, "fields"), &before);
    if (*name == '\0' || *before != '\0')
        return cannot(s, "a column");
    s->words->ident(s->out, name);
    return true;
}

static bool say_constant(struct saying *s, const json_t *constant)
{
    const json_t *part;
    if ((part = json_object_get(constant, "ival")) != NULL)
        strbuf_addf(s->out, "%lld", (long long)json_integer_value(json_object_get(part, "ival")));
    else if ((part = json_object_get(constant, "fval")) != NULL)
        strbuf_adds(s->out, sql_text_of(part, "fval"));
    else if ((part = json_object_get(constant, "boolval")) != NULL)
        strbuf_adds(s->out, json_is_true(json_object_get(part, "boolval")) ? "1" : "0");
    else if ((part = json_object_get(constant, "sval")) != NULL)
        s->words->literal(s->out, sql_text_of(part, "sval"));
    else
        return cannot(s, "NULL");
    return true;
}

static bool is_among(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

/* '2026-01-01 00:00:00+00'::timestamptz, as a session in UTC prints it. */
static bool say_time(struct saying *s, const char *text)
{
    size_t len = strlen(text);
    if (len > 3 && strcmp(text + len - 3, "+00") == 0)
        len -= 3;
    if (len < 19 || strspn(text, "0123456789-: .") < len)
        return cannot(s, text);
    char *plain = xstrndup(text, len);
    strbuf_adds(s->out, s->words->timestamp);
    s->words->literal(s->out, plain);
    free(plain);
    return true;
}

static bool say_cast(struct saying *s, const json_t *cast)
{
    static const char *const numbers[] = {"int2", "int4", "int8", "numeric", "float4", "float8", NULL};
    static const char *const texts[] = {"text", "varchar", "bpchar", "date", "uuid", NULL};
    const json_t *arg = json_object_get(cast, "arg"), *constant = sql_node_of(arg, "A_Const");
    const char *before, *text = sql_text_of(json_object_get(constant, "sval"), "sval");
    const char *type = sql_last_name(json_object_get(json_object_get(cast, "typeName"), "names"), &before);
    bool literal = json_object_get(constant, "sval") != NULL;
    if (literal && (strcmp(type, "timestamptz") == 0 || strcmp(type, "timestamp") == 0))
        return say_time(s, text);
    if (literal && is_among(numbers, type)) {
        if (*text == '\0' || strspn(text, "+-0123456789.eE") < strlen(text))
            return cannot(s, text);
        strbuf_adds(s->out, text);
        return true;
    }
    bool label = *before != '\0' && strcmp(before, "pg_catalog") != 0; /* of an enum, most likely */
    if (is_among(texts, type) || is_among(numbers, type) || (literal && label))
        return say(s, arg);
    return cannot(s, type);
}

static const struct {
    const char *type;
    bool (*say)(struct saying *s, const json_t *body);
} sayings[] = {{"BoolExpr", say_bool},    {"A_Expr", say_comparison}, {"NullTest", say_null_test},
               {"ColumnRef", say_column}, {"A_Const", say_constant},  {"TypeCast", say_cast}};

static bool say(struct saying *s, const json_t *node)
{
    json_t *body = NULL;
    const char *type = sql_node(node, &body);
    bool ok = false, known = false;
    if (type == NULL || s->depth == DEPTH_MAX)
        return cannot(s, "its depth");
    s->depth++;
    for (size_t i = 0; i < ARRAY_LEN(sayings) && !known; i++) {
        known = strcmp(sayings[i].type, type) == 0;
        ok = known && sayings[i].say(s, body);
    }
    s->depth--;
    return known ? ok : cannot(s, type);
}

bool sql_condition_say(const char *text, const struct sql_words *words, struct strbuf *out, struct err *err)
{
    struct saying s = {.words = words, .out = out, .err = err};
    struct strbuf sql = STRBUF_INIT(2 * SQL_CONDITION_MAX);
    if (strlen(text) > SQL_CONDITION_MAX)
        return err_set(err, ERR_DATA, "longer than %d bytes", SQL_CONDITION_MAX);
    strbuf_addf(&sql, "SELECT 1 WHERE %s", text);
    PgQueryParseResult r = pg_query_parse(sql.data);
    json_t *root = r.error == NULL ? json_loads(r.parse_tree, 0, NULL) : NULL;
    const json_t *first = json_array_get(json_object_get(root, "stmts"), 0);
    const json_t *select = sql_node_of(json_object_get(first, "stmt"), "SelectStmt");
    bool ok = root != NULL
                  ? say(&s, json_object_get(select, "whereClause")) && strbuf_ok(out, "condition", err)
                  : err_set(err, ERR_DATA, "does not parse");
    json_decref(root);
    pg_query_free_parse_result(r);
    strbuf_release(&sql);
    return ok;
}
