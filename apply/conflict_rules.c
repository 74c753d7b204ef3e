/* See conflict_rules.h. */
#include "apply/conflict_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "core/alloc.h"

struct named_rule {
    char *pattern;
    char *text;   /* "newer_wins(updated_at)" */
    char *column; /* NULL = none */
    struct table_filter *tables;
    struct conflict_rule rule;
};

struct conflict_rules {
    struct named_rule *rules;
    size_t count;
};

static const struct {
    const char *name;
    enum conflict_policy policy;
} policies[] = {
    {"source_wins", CONFLICT_SOURCE_WINS}, {"target_wins", CONFLICT_TARGET_WINS}, {"halt", CONFLICT_HALT}};

static bool read_policy(const char *text, struct named_rule *out)
{
    static const char newer[] = "newer_wins(";
    size_t len = strlen(text), lead = sizeof newer - 1;
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        if (strcmp(policies[i].name, text) == 0)
            out->rule.policy = policies[i].policy;
    }
    if (strncmp(text, newer, lead) == 0 && len > lead + 1 && text[len - 1] == ')') {
        out->rule.policy = CONFLICT_NEWER_WINS;
        out->column = xstrndup(text + lead, len - lead - 1);
    }
    out->rule.column = out->column;
    return out->rule.policy != CONFLICT_UNKNOWN;
}

/* A name may hold '=' as well as a pattern: the policy begins behind the last one that a policy's name follows. */
static const char *find_policy(const char *text)
{
    const char *found = NULL;
    for (const char *p = strchr(text, '='); p != NULL; p = strchr(p + 1, '=')) {
        if (found == NULL || strncmp(found + 1, "newer_wins(", 11) != 0)
            found = p;
    }
    return found;
}

static bool read_rule(const char *text, struct named_rule *out, struct err *err)
{
    const char *at = find_policy(text);
    out->pattern = xstrndup(text, at != NULL ? (size_t)(at - text) : strlen(text));
    out->text = xstrdup(at != NULL ? at + 1 : "");
    out->rule.text = out->text;
    if (out->pattern[0] == '!' || !table_pattern_fits(out->pattern))
        return err_set(err, ERR_CONFIG,
                       "apply.conflicts: found table \"%s\", expected a pattern schema.table, such as "
                       "public.orders or public.*",
                       out->pattern);
    if (!read_policy(out->text, out))
        return err_set(err, ERR_CONFIG,
                       "apply.conflicts: %s: found \"%s\", expected source_wins, target_wins, "
                       "newer_wins(column) or halt",
                       out->pattern, out->text);
    return table_filter_new((const char *const[]){out->pattern}, 1, &out->tables, err);
}

void conflict_rules_free(struct conflict_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++) {
        free(rules->rules[i].pattern);
        free(rules->rules[i].text);
        free(rules->rules[i].column);
        table_filter_free(rules->rules[i].tables);
    }
    free(rules->rules);
    free(rules);
}

bool conflict_rules_new(const char *const *texts, size_t count, struct conflict_rules **ret, struct err *err)
{
    struct conflict_rules *rules = xcalloc(1, sizeof *rules);
    rules->rules = xcalloc(count + 1, sizeof *rules->rules);
    for (size_t i = 0; i < count; i++) {
        if (!read_rule(texts[i], &rules->rules[rules->count++], err)) {
            conflict_rules_free(rules);
            return false;
        }
    }
    *ret = rules;
    return true;
}

size_t conflict_rules_count(const struct conflict_rules *rules)
{
    return rules != NULL ? rules->count : 0;
}

const struct conflict_rule *conflict_rules_find(const struct conflict_rules *rules, const char *schema,
                                                const char *table)
{
    for (size_t i = conflict_rules_count(rules); i > 0; i--) {
        if (table_filter_matches(rules->rules[i - 1].tables, schema, table))
            return &rules->rules[i - 1].rule;
    }
    return NULL;
}

void conflict_rules_show(const struct conflict_rules *rules, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < conflict_rules_count(rules) && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? ", " : "", rules->rules[i].pattern);
}
