/*
 * What of a table goes on its way, and under which names: source.filters, a list of rules. A rule names tables by a pattern
 * (table_filter.h) and says any of: which columns, which rows, by which key, what is masked, which topic, which new names of columns.
 * Where several rules fit a table, the last one that speaks of columns, rows, key or topic (or of the column, for masks and names)
 * decides.
 *
 * Columns are named as the source names them, everywhere but in what they are renamed to. A column pattern is a name with '*' as
 * wildcard; '!' in front excludes; the last that fits decides; if the first excludes, all others stay.
 * @thread any (immutable once made)
 */
#ifndef CONFIG_TABLE_RULES_H
#define CONFIG_TABLE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

struct config;
struct table_rules;

enum mask_kind {
    MASK_NONE = 0,
    MASK_FIXED, /* another value in place of each that is not null */
    MASK_HASH,  /* SHA-256 over salt and value, in hex, cut to the column's length */
    MASK_PARTIAL, /* the first and the last characters stay, '*' for each other; all of a value that has no other */
    MASK_NULL
};

struct mask_rule {
    char *column;
    enum mask_kind kind;
    char *fixed;          /* FIXED: as the source's server reads it */
    uint32_t first, last; /* PARTIAL: characters that stay */
};

/* texts: one rule each, as YAML. salt: of MASK_HASH; NULL = not known. ERR_CONFIG says which rule and what of it. */
bool table_rules_new(const char *const *texts, size_t count, const char *salt, struct table_rules **ret,
                     struct err *err) MUST_CHECK;
/* Whether one rule reads. */
bool table_rule_check(const char *text, struct err *err) MUST_CHECK;
/* From source.filters. */
bool table_rules_from_config(const struct config *cfg, struct table_rules **ret, struct err *err) MUST_CHECK;
/* With source.mask_salt or source.mask_salt_file: for those that mask. ERR_CONFIG if a mask by hash has none. */
bool table_rules_with_salt(const struct config *cfg, struct table_rules **ret, struct err *err) MUST_CHECK;
void table_rules_free(struct table_rules *rules); /* NULL allowed */

/* A table is asked for by its name on the source; NULL = no rule speaks of it. All texts are the rules'. `rules` NULL = there are
 * none. */
const char *table_rules_where(const struct table_rules *rules, const char *schema, const char *table);
/* NULL-terminated. */
const char *const *table_rules_key(const struct table_rules *rules, const char *schema, const char *table);
const char *table_rules_topic(const struct table_rules *rules, const char *schema, const char *table);
/* The column is not left out. */
bool table_rules_keeps(const struct table_rules *rules, const char *schema, const char *table,
                       const char *column);
const struct mask_rule *table_rules_mask(const struct table_rules *rules, const char *schema,
                                         const char *table, const char *column);
/* Its name in the journal and on the target. */
const char *table_rules_rename(const struct table_rules *rules, const char *schema, const char *table,
                               const char *column);
/* Nobody may see its values. */
bool table_rules_protects(const struct table_rules *rules, const char *schema, const char *table,
                          const char *column);
/* There is a rule. */
bool table_rules_there(const struct table_rules *rules);
/* Some rule masks or leaves out columns. */
bool table_rules_hide(const struct table_rules *rules);
/* Any rule fits the table. */
bool table_rules_any(const struct table_rules *rules, const char *schema, const char *table);
/* The texts of the rules that fit the table, in order: other rules, other text. */
void table_rules_text(const struct table_rules *rules, const char *schema, const char *table,
                      struct strbuf *out);
/* "" when there is none. */
const char *table_rules_salt(const struct table_rules *rules);

/* Calls each() for what must exist somewhere: each rule's pattern with column NULL, then each column that it names outright. */
typedef bool table_rules_each(void *ctx, size_t rule, const char *pattern, const char *column,
                              const char *what, struct err *err);
bool table_rules_walk(const struct table_rules *rules, table_rules_each *each, void *ctx,
                      struct err *err) MUST_CHECK;
bool table_rules_fits(const struct table_rules *rules, size_t rule, const char *schema, const char *table);

#endif
