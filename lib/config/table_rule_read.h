/* One rule of source.filters, from its text. Private to this module. */
#ifndef CONFIG_TABLE_RULE_READ_H
#define CONFIG_TABLE_RULE_READ_H

#include "config/table_filter.h"
#include "config/table_rules.h"
#include "config/yaml.h"
#include "core/strbuf.h"

struct column_pattern {
    bool exclude;
    char *glob;
};

struct column_rename {
    char *from, *to;
};

struct table_rule {
    char *text;    /* all of it, as written */
    char *pattern; /* of it */
    struct table_filter *tables;
    struct column_pattern *columns;
    size_t column_count; /* 0 = all columns */
    char *where;
    char **key; /* NULL-terminated; NULL = the table's own */
    struct mask_rule *masks;
    size_t mask_count;
    struct column_rename *renames;
    size_t rename_count;
    char *topic;
};

bool table_rule_read(const char *text, struct table_rule *ret, struct err *err) MUST_CHECK;
void table_rule_release(struct table_rule *rule);

/* The tree as text that yaml_parse() reads back; each scalar's text comes from expand(), malloc'd, NULL = it has failed. */
typedef char *yaml_expand(void *ctx, const struct yaml_node *node);
bool yaml_flow(const struct yaml_node *node, yaml_expand *expand, void *ctx, struct strbuf *out) MUST_CHECK;

#endif
