/* Owns: the rules of source.filters and what they answer. See table_rules.h; reading: table_rule_read.c. */
#include "config/table_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/pattern.h"
#include "config/table_rule_read.h"
#include "core/alloc.h"

#define SALT_BYTES_MAX 4096

struct table_rules {
    char *salt; /* NULL = none */
    size_t count;
    struct table_rule items[];
};

static bool has_hash(const struct table_rule *rule)
{
    for (size_t i = 0; i < rule->mask_count; i++) {
        if (rule->masks[i].kind == MASK_HASH)
            return true;
    }
    return false;
}

bool table_rules_new(const char *const *texts, size_t count, const char *salt, struct table_rules **ret,
                     struct err *err)
{
    struct table_rules *rules = xcalloc(1, sizeof *rules + (count + 1) * sizeof rules->items[0]);
    bool ok = true;
    rules->salt = salt != NULL ? xstrdup(salt) : NULL;
    for (size_t i = 0; ok && i < count; i++) {
        ok = table_rule_read(texts[i], &rules->items[i], err);
        rules->count += ok;
    }
    if (!ok) {
        table_rules_free(rules);
        return false;
    }
    *ret = rules;
    return true;
}

bool table_rule_check(const char *text, struct err *err)
{
    struct table_rule rule = {0};
    if (!table_rule_read(text, &rule, err))
        return false;
    table_rule_release(&rule);
    return true;
}

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* One newline at the end is the editor's. malloc'd. */
static bool read_salt(const char *path, char **ret, struct err *err)
{
    char *text = xcalloc(1, SALT_BYTES_MAX + 2);
    FILE *file = fopen(path, "rbe");
    size_t len = file != NULL ? fread(text, 1, SALT_BYTES_MAX + 1, file) : 0;
    bool read = file != NULL && ferror(file) == 0;
    int read_errno = errno;
    if (file != NULL)
        (void)fclose(file);
    if (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    if (read && len > 0 && len <= SALT_BYTES_MAX && strlen(text) == len) {
        *ret = text;
        return true;
    }
    free(text);
    if (!read)
        return err_set(err, ERR_CONFIG, "source.mask_salt_file: %s: cannot be read: %s", path,
                       strerror(read_errno));
    return err_set(err, ERR_CONFIG, "source.mask_salt_file: %s: expected 1 to %d bytes of text", path,
                   SALT_BYTES_MAX);
}

bool table_rules_from_config(const struct config *cfg, struct table_rules **ret, struct err *err)
{
    size_t count;
    const char *const *texts = config_list(cfg, "source.filters", &count);
    return table_rules_new(texts, count, NULL, ret, err);
}

bool table_rules_there(const struct table_rules *rules)
{
    return rules != NULL && rules->count > 0;
}

static bool need_salt(const struct table_rules *rules, struct err *err)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (has_hash(&rules->items[i]) && rules->salt == NULL)
            return err_set(
                err, ERR_CONFIG,
                "source.filters: table %s: a mask by hash needs a salt: set source.mask_salt (as ${VAR}) or "
                "source.mask_salt_file",
                rules->items[i].pattern);
    }
    return true;
}

bool table_rules_with_salt(const struct config *cfg, struct table_rules **ret, struct err *err)
{
    size_t count;
    struct table_rules *rules = NULL;
    const char *const *texts = config_list(cfg, "source.filters", &count);
    const char *path = config_text(cfg, "source.mask_salt_file"),
               *text = config_text(cfg, "source.mask_salt");
    char *salt = text != NULL && *text != '\0' ? xstrdup(text) : NULL;
    bool ok = true;
    if (path != NULL && salt != NULL)
        ok = err_set(err, ERR_CONFIG,
                     "source.mask_salt and source.mask_salt_file are both set: take one away");
    else if (path != NULL)
        ok = read_salt(path, &salt, err);
    ok = ok && table_rules_new(texts, count, salt, &rules, err);
    wipe(salt);
    if (!ok || !need_salt(rules, err)) {
        table_rules_free(rules);
        return false;
    }
    *ret = rules;
    return true;
}

void table_rules_free(struct table_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++)
        table_rule_release(&rules->items[i]);
    wipe(rules->salt);
    free(rules);
}

/* --- answers --- */

/* The last rule for the table before `from`, for going from the last to the first. NULL = none is left. */
static const struct table_rule *rule_before(const struct table_rules *rules, size_t *from, const char *schema,
                                            const char *table)
{
    while (rules != NULL && *from > 0) {
        const struct table_rule *rule = &rules->items[--*from];
        if (table_filter_matches(rule->tables, schema, table))
            return rule;
    }
    return NULL;
}

#define EACH_RULE(rule, rules, schema, table)                                                                \
    size_t from_ = (rules) != NULL ? (rules)->count : 0;                                                     \
    for (const struct table_rule *rule; (rule = rule_before(rules, &from_, schema, table)) != NULL;)

const char *table_rules_where(const struct table_rules *rules, const char *schema, const char *table)
{
    EACH_RULE(rule, rules, schema, table)
    {
        if (rule->where != NULL)
            return rule->where;
    }
    return NULL;
}

const char *const *table_rules_key(const struct table_rules *rules, const char *schema, const char *table)
{
    EACH_RULE(rule, rules, schema, table)
    {
        if (rule->key != NULL)
            return (const char *const *)rule->key;
    }
    return NULL;
}

const char *table_rules_topic(const struct table_rules *rules, const char *schema, const char *table)
{
    EACH_RULE(rule, rules, schema, table)
    {
        if (rule->topic != NULL)
            return rule->topic;
    }
    return NULL;
}

static bool keeps(const struct table_rule *rule, const char *column)
{
    for (size_t i = rule->column_count; i-- > 0;) {
        if (pattern_matches(rule->columns[i].glob, column))
            return !rule->columns[i].exclude;
    }
    return rule->columns[0].exclude;
}

bool table_rules_keeps(const struct table_rules *rules, const char *schema, const char *table,
                       const char *column)
{
    EACH_RULE(rule, rules, schema, table)
    {
        if (rule->column_count > 0)
            return keeps(rule, column);
    }
    return true;
}

const struct mask_rule *table_rules_mask(const struct table_rules *rules, const char *schema,
                                         const char *table, const char *column)
{
    EACH_RULE(rule, rules, schema, table)
    {
        for (size_t i = 0; i < rule->mask_count; i++) {
            if (strcmp(rule->masks[i].column, column) == 0)
                return &rule->masks[i];
        }
    }
    return NULL;
}

const char *table_rules_rename(const struct table_rules *rules, const char *schema, const char *table,
                               const char *column)
{
    EACH_RULE(rule, rules, schema, table)
    {
        for (size_t i = 0; i < rule->rename_count; i++) {
            if (strcmp(rule->renames[i].from, column) == 0)
                return rule->renames[i].to;
        }
    }
    return column;
}

bool table_rules_protects(const struct table_rules *rules, const char *schema, const char *table,
                          const char *column)
{
    return !table_rules_keeps(rules, schema, table, column) ||
           table_rules_mask(rules, schema, table, column) != NULL;
}

bool table_rules_hide(const struct table_rules *rules)
{
    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        if (rules->items[i].mask_count > 0 || rules->items[i].column_count > 0)
            return true;
    }
    return false;
}

bool table_rules_any(const struct table_rules *rules, const char *schema, const char *table)
{
    EACH_RULE(rule, rules, schema, table)
    {
        return true;
    }
    return false;
}

void table_rules_text(const struct table_rules *rules, const char *schema, const char *table,
                      struct strbuf *out)
{
    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        if (table_filter_matches(rules->items[i].tables, schema, table))
            strbuf_addf(out, "%s\n", rules->items[i].text);
    }
}

const char *table_rules_salt(const struct table_rules *rules)
{
    return rules != NULL && rules->salt != NULL ? rules->salt : "";
}

bool table_rules_fits(const struct table_rules *rules, size_t rule, const char *schema, const char *table)
{
    return table_filter_matches(rules->items[rule].tables, schema, table);
}

static bool walk_rule(const struct table_rule *rule, size_t index, table_rules_each *each, void *ctx,
                      struct err *err)
{
    bool ok = each(ctx, index, rule->pattern, NULL, "table", err);
    for (size_t i = 0; ok && i < rule->column_count; i++) {
        if (pattern_is_literal(rule->columns[i].glob))
            ok = each(ctx, index, rule->pattern, rule->columns[i].glob, "columns", err);
    }
    for (size_t i = 0; ok && rule->key != NULL && rule->key[i] != NULL; i++)
        ok = each(ctx, index, rule->pattern, rule->key[i], "key", err);
    for (size_t i = 0; ok && i < rule->mask_count; i++)
        ok = each(ctx, index, rule->pattern, rule->masks[i].column, "mask", err);
    for (size_t i = 0; ok && i < rule->rename_count; i++)
        ok = each(ctx, index, rule->pattern, rule->renames[i].from, "rename", err);
    return ok;
}

bool table_rules_walk(const struct table_rules *rules, table_rules_each *each, void *ctx, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && rules != NULL && i < rules->count; i++)
        ok = walk_rule(&rules->items[i], i, each, ctx, err);
    return ok;
}
