/* Owns: which rule (target.unfit, target.unfit_columns) a column has for values that it cannot hold. See target.h. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/log.h"
#include "target/target.h"

static const char *const names[] = {
    [TARGET_UNFIT_HALT] = "halt", [TARGET_UNFIT_NULL] = "null", [TARGET_UNFIT_NEAREST] = "nearest"};

enum target_unfit target_unfit_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum target_unfit)i;
    }
    return TARGET_UNFIT_HALT;
}

/* What is behind the last '=': names may hold one. */
static bool rule_of(const char *text, size_t *ret_name_len, enum target_unfit *ret)
{
    const char *equals = strrchr(text, '=');
    for (size_t i = 0; equals != NULL && i < ARRAY_LEN(names); i++) {
        if (strcmp(equals + 1, names[i]) == 0) {
            *ret_name_len = (size_t)(equals - text);
            *ret = (enum target_unfit)i;
            return true;
        }
    }
    return false;
}

bool target_unfit_check(const struct target_unfit_rules *rules, struct err *err)
{
    for (size_t i = 0; i < rules->rule_count; i++) {
        size_t len;
        enum target_unfit rule;
        if (!rule_of(rules->rules[i], &len, &rule) || memchr(rules->rules[i], '.', len) == NULL)
            return err_set(err, ERR_CONFIG,
                           "target.unfit_columns: found \"%s\", expected schema.table or "
                           "schema.table.column: halt, null or "
                           "nearest",
                           rules->rules[i]);
    }
    return true;
}

static bool find(const struct target_unfit_rules *rules, const char *name, enum target_unfit *ret)
{
    for (size_t i = 0; i < rules->rule_count; i++) {
        size_t len;
        if (rule_of(rules->rules[i], &len, ret) && strlen(name) == len &&
            memcmp(rules->rules[i], name, len) == 0)
            return true;
    }
    return false;
}

enum target_unfit target_unfit_of(const struct target_unfit_rules *rules, const char *schema,
                                  const char *table, const char *column)
{
    enum target_unfit rule = rules->all;
    if (rules->rule_count == 0)
        return rule;
    char *of_table CLEANUP(free_ptr) = xasprintf("%s.%s", schema, table),
                   *of_column CLEANUP(free_ptr) = xasprintf("%s.%s.%s", schema, table, column);
    return find(rules, of_column, &rule) || find(rules, of_table, &rule) ? rule : rules->all;
}

void target_unfit_tell(const struct table_schema *schema, const char *column, enum target_unfit rule,
                       const char *type, bool *told)
{
    if (!*told)
        log_event(LOG_LEVEL_WARN, "value_changed",
                  "table=%s.%s column=%s text=\"target.unfit: %s for a value that %s cannot hold\"",
                  schema->schema, schema->table, column, names[rule], type);
    *told = true;
}
