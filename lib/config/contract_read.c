/*
 * Owns: what the texts of compare.rules and compare.contracts mean. A check is a word (not_null) or a map with one
 * entry ({length: 255}); the words of dbt's tests (accepted_values, relationships) are known too.
 */
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "config/pattern.h"
#include "config/semantic_read.h"
#include "core/alloc.h"

#define A_CHECK                                                                                              \
    "a check: not_null, not_empty, unique, positive, not_negative, not_future, {length: 255}, {enum: [a, "   \
    "b]}, "                                                                                                  \
    "{range: {min: 0, max: 9}} or {references: schema.table.column}"

static const char *const test_names[] = {
    [TEST_UNKNOWN] = "?",
    [TEST_NOT_NULL] = "not_null",
    [TEST_NOT_EMPTY] = "not_empty",
    [TEST_UNIQUE] = "unique",
    [TEST_LENGTH] = "length",
    [TEST_ENUM] = "enum",
    [TEST_RANGE] = "range",
    [TEST_POSITIVE] = "positive",
    [TEST_NOT_NEGATIVE] = "not_negative",
    [TEST_NOT_FUTURE] = "not_future",
    [TEST_REFERENCES] = "references",
};

const char *data_test_name(enum data_test test)
{
    return test_names[test];
}

const char *severity_name(enum severity severity)
{
    static const char *const names[] = {"?", "regression", "error", "warn"};
    return names[severity];
}

static enum data_test test_of(const char *word)
{
    static const struct {
        const char *word;
        enum data_test test;
    } also[] = {{"accepted_values", TEST_ENUM},
                {"relationships", TEST_REFERENCES},
                {"between", TEST_RANGE},
                {"non_negative", TEST_NOT_NEGATIVE}};
    for (size_t i = TEST_NOT_NULL; i < ARRAY_LEN(test_names); i++) {
        if (strcmp(test_names[i], word) == 0)
            return (enum data_test)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(also); i++) {
        if (strcmp(also[i].word, word) == 0)
            return also[i].test;
    }
    return TEST_UNKNOWN;
}

static void check_release(struct data_check *c)
{
    texts_release(c->columns, c->column_count);
    texts_release(c->parent_columns, c->parent_columns != NULL ? c->column_count : 0);
    texts_release(c->values, c->value_count);
    free(c->min);
    free(c->max);
    free(c->parent_schema);
    free(c->parent_table);
}

void data_contract_release(struct data_contract *c)
{
    for (size_t i = 0; i < c->check_count; i++)
        check_release(&c->checks[i]);
    free(c->checks);
    free(c->name);
    table_choice_release(&c->of);
    free(c->sql[0]);
    free(c->sql[1]);
    *c = (struct data_contract){0};
}

static bool whole(const char *text)
{
    return text == NULL || (*text != '\0' && strlen(text) <= 9 && text[strspn(text, "0123456789")] == '\0');
}

/* {min: 1, max: 9}; for a length also a number alone. */
static bool read_bounds(const struct fields *f, const struct yaml_node *arg, struct data_check *c)
{
    const char *key = test_names[c->test];
    bool length = c->test == TEST_LENGTH;
    const char *expected =
        length ? "a whole number, or {min: 1, max: 255}" : "{min: 0, max: 9}, or one of the two";
    const struct fields inner = {f->option, f->label, arg, f->err};
    if (length && arg != NULL && arg->kind == YAML_SCALAR) {
        c->max = xstrdup(arg->text);
    } else if (arg == NULL || arg->kind != YAML_MAP || arg->child_count == 0) {
        return fields_refuse(f, key, arg, expected);
    } else if (!fields_known(&inner, "min|max") || !fields_text(&inner, "min", expected, &c->min) ||
               !fields_text(&inner, "max", expected, &c->max)) {
        return false;
    }
    return !length || (whole(c->min) && whole(c->max)) || fields_refuse(f, key, arg, expected);
}

static bool read_values(const struct fields *f, const struct yaml_node *arg, struct data_check *c)
{
    static const char expected[] = "a list of the values that are allowed";
    if (arg != NULL && arg->kind == YAML_MAP) { /* accepted_values: {values: [...]} */
        const struct fields inner = {f->option, f->label, arg, f->err};
        if (!fields_known(&inner, "values"))
            return false;
        arg = fields_find(&inner, "values");
    }
    if (arg == NULL || arg->kind != YAML_LIST)
        return fields_refuse(f, "enum", arg, expected);
    return node_texts(f, arg, "enum", expected, &c->values, &c->value_count);
}

/* One part of a name up to '.' or the end; *ret malloc'd; false = it does not read. */
static bool name_part(const char **at, char **ret)
{
    char *part = pattern_read(at);
    if (part == NULL || *part == '\0' || !pattern_is_literal(part)) {
        free(part);
        return false;
    }
    *at += **at == '.';
    *ret = part;
    return true;
}

#define A_PARENT "schema.table.column, or {to: schema.table, field: column}"

static bool read_parent(const struct fields *f, const struct yaml_node *arg, struct data_check *c)
{
    const struct fields inner = {f->option, f->label, arg, f->err};
    char *to CLEANUP(free_ptr) = NULL, *field = NULL;
    char **fields = NULL;
    size_t field_count = 0;
    bool map = arg != NULL && arg->kind == YAML_MAP;
    if (arg == NULL || (!map && arg->kind != YAML_SCALAR))
        return fields_refuse(f, "references", arg, A_PARENT);
    if (map && (!fields_known(&inner, "to|field") || !fields_text(&inner, "to", A_PARENT, &to) ||
                !fields_texts(&inner, "field", A_PARENT, &fields, &field_count)))
        return false;
    const char *at = map ? to : arg->text;
    bool ok = at != NULL && name_part(&at, &c->parent_schema) && name_part(&at, &c->parent_table);
    if (ok && !map && (ok = name_part(&at, &field))) {
        fields = xcalloc(2, sizeof *fields);
        fields[field_count++] = field;
    }
    ok = ok && *at == '\0' && field_count == c->column_count;
    if (!ok) {
        texts_release(fields, field_count);
        return fields_refuse(f, "references", arg, A_PARENT " (as many as the rule has columns)");
    }
    c->parent_columns = fields;
    return true;
}

static bool read_grace(const struct fields *f, const struct yaml_node *arg, struct data_check *c)
{
    static const struct option duration = {
        .type = OPT_DURATION, .unit = UNIT_S, .min = 0, .max = INT64_C(366) * 86400};
    struct option_value value = {0};
    if (arg == NULL || (arg->kind == YAML_SCALAR && strcmp(arg->text, "true") == 0))
        return true;
    if (arg->kind != YAML_SCALAR || !option_value_parse(&duration, arg->text, &value))
        return fields_refuse(f, "not_future", arg, "nothing, or how far ahead is still well, such as 14h");
    c->grace_s = value.number;
    option_value_release(&value);
    return true;
}

static bool read_argument(const struct fields *f, const struct yaml_node *arg, struct data_check *c)
{
    switch (c->test) {
    case TEST_LENGTH:
    case TEST_RANGE:
        return read_bounds(f, arg, c);
    case TEST_ENUM:
        return read_values(f, arg, c);
    case TEST_REFERENCES:
        return read_parent(f, arg, c);
    case TEST_NOT_FUTURE:
        return read_grace(f, arg, c);
    case TEST_NOT_NULL:
    case TEST_NOT_EMPTY:
    case TEST_UNIQUE:
    case TEST_POSITIVE:
    case TEST_NOT_NEGATIVE:
        return arg == NULL || (arg->kind == YAML_SCALAR && strcmp(arg->text, "true") == 0) ||
               fields_refuse(f, test_names[c->test], arg, "nothing, or true");
    case TEST_UNKNOWN:
        break;
    }
    return false;
}

static bool add_check(const struct fields *f, const char *word, const struct yaml_node *arg,
                      char *const *columns, size_t column_count, struct data_contract *ret)
{
    const struct yaml_node node = {.kind = YAML_SCALAR, .text = (char *)word};
    enum data_test test = test_of(word);
    if (test == TEST_UNKNOWN)
        return fields_refuse(f, "check", &node, A_CHECK);
    bool several = test == TEST_UNIQUE || test == TEST_REFERENCES;
    size_t times = several ? 1 : column_count, each = several ? column_count : 1;
    for (size_t i = 0; i < times; i++) {
        ret->checks = xrealloc(ret->checks, (ret->check_count + 1) * sizeof *ret->checks);
        struct data_check *c = &ret->checks[ret->check_count++];
        *c = (struct data_check){.test = test, .columns = xcalloc(each + 1, sizeof *c->columns)};
        for (; c->column_count < each; c->column_count++)
            c->columns[c->column_count] = xstrdup(columns[i + c->column_count]);
        if (!read_argument(f, arg, c))
            return false;
    }
    return true;
}

/* A word, a map of checks with their arguments, or a list of those. */
static bool read_checks(const struct fields *f, const struct yaml_node *node, char *const *columns,
                        size_t column_count, struct data_contract *ret)
{
    bool ok = true;
    switch (node->kind) {
    case YAML_SCALAR:
        return add_check(f, node->text, NULL, columns, column_count, ret);
    case YAML_MAP:
        for (size_t i = 0; ok && i < node->child_count; i++)
            ok = add_check(f, node->children[i].key, &node->children[i], columns, column_count, ret);
        return ok && (node->child_count > 0 || fields_refuse(f, "check", node, A_CHECK));
    case YAML_LIST:
        for (size_t i = 0; ok && i < node->child_count; i++) {
            ok = node->children[i].kind != YAML_LIST
                     ? read_checks(f, &node->children[i], columns, column_count, ret)
                     : fields_refuse(f, "check", &node->children[i], A_CHECK);
        }
        return ok && (node->child_count > 0 || fields_refuse(f, "check", NULL, A_CHECK));
    case YAML_NULL:
    case YAML_UNKNOWN:
        break;
    }
    return fields_refuse(f, "check", NULL, A_CHECK);
}

static bool read_columns_contract(const struct fields *f, const struct yaml_node *map,
                                  struct data_contract *ret)
{
    bool ok = map != NULL && map->kind == YAML_MAP && map->child_count > 0;
    if (!ok)
        return fields_refuse(f, "contract", map,
                             "checks for each column, such as {email: [not_null, unique, {length: 255}]}");
    for (size_t i = 0; ok && i < map->child_count; i++) {
        char *label CLEANUP(free_ptr) = xasprintf("%s: column %s", f->label, map->children[i].key);
        const struct fields column = {f->option, label, f->map, f->err};
        for (size_t k = 0; ok && k < i; k++)
            ok = strcmp(map->children[k].key, map->children[i].key) != 0 ||
                 fields_refuse(&column, "contract", NULL, "each column once");
        ok = ok && read_checks(&column, &map->children[i], &map->children[i].key, 1, ret);
    }
    return ok;
}

static bool read_contract(const struct fields *f, void *out)
{
    struct data_contract *ret = out;
    *ret = (struct data_contract){.contract = true, .severity = SEVERITY_REGRESSION, .name = xstrdup("")};
    return fields_known(f, "name|table|contract|where|severity") &&
           fields_text(f, "name", "a name for the report", &ret->name) && read_choice(f, &ret->of) &&
           read_severity(f, &ret->severity) && read_columns_contract(f, fields_find(f, "contract"), ret);
}

bool data_contract_read(const char *text, void *ret, struct err *err)
{
    memset(ret, 0, sizeof(struct data_contract));
    static const struct labelled what = {"compare.contracts", "table", "table"};
    if (read_labelled(&what, text, read_contract, ret, err))
        return true;
    data_contract_release(ret);
    return false;
}

static bool read_query_rule(const struct fields *f, struct data_contract *ret)
{
    if (!fields_known(f, "name|sql|target_sql|severity") || !read_sql(f, "sql", ret->sql))
        return false;
    return *ret->name != '\0' || fields_refuse(f, "name", NULL, "a name for the report");
}

static bool read_table_rule(const struct fields *f, struct data_contract *ret)
{
    char **columns = NULL;
    size_t column_count = 0;
    const struct yaml_node *check = fields_find(f, "check");
    if (!fields_known(f, "name|table|column|columns|check|where|severity") || !read_choice(f, &ret->of) ||
        !fields_texts(f, fields_find(f, "columns") != NULL ? "columns" : "column", "names of columns",
                      &columns, &column_count))
        return false;
    bool ok = column_count > 0 || fields_refuse(f, "column", NULL, "names of columns");
    ok = ok && (check != NULL || fields_refuse(f, "check", NULL, A_CHECK)) &&
         read_checks(f, check, columns, column_count, ret);
    texts_release(columns, column_count);
    return ok;
}

static bool read_rule(const struct fields *f, void *out)
{
    struct data_contract *ret = out;
    *ret = (struct data_contract){.severity = SEVERITY_REGRESSION, .name = xstrdup("")};
    if (!fields_text(f, "name", "a name for the report", &ret->name) || !read_severity(f, &ret->severity))
        return false;
    return fields_find(f, "sql") != NULL ? read_query_rule(f, ret) : read_table_rule(f, ret);
}

bool data_rule_read(const char *text, void *ret, struct err *err)
{
    memset(ret, 0, sizeof(struct data_contract));
    struct labelled what = {"compare.rules", "rule", "name"};
    if (read_labelled(&what, text, read_rule, ret, err))
        return true;
    data_contract_release(ret);
    return false;
}
