/* apply.conflicts: which tables the application writes on both sides, and who wins. @thread any (immutable once made) */
#ifndef APPLY_CONFLICT_RULES_H
#define APPLY_CONFLICT_RULES_H

#include "config/config.h"
#include "target/conflicts.h"

struct conflict_rules;

/* texts: "pattern=policy", patterns as in source.tables. ERR_CONFIG says which one does not read. */
bool conflict_rules_new(const char *const *texts, size_t count, struct conflict_rules **ret,
                        struct err *err) MUST_CHECK;
void conflict_rules_free(struct conflict_rules *rules); /* NULL allowed */
size_t conflict_rules_count(const struct conflict_rules *rules);
/* The last rule that fits, NULL = the table is not dual-written. rules NULL = there are none. */
const struct conflict_rule *conflict_rules_find(const struct conflict_rules *rules, const char *schema,
                                                const char *table);
/* The patterns, for status; cut to fit. */
void conflict_rules_show(const struct conflict_rules *rules, char *out, size_t size);

#endif
