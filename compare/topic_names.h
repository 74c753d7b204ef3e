/* Which topic a table's changes are in: source.filters may name it, several may share one. Private to this module. */
#ifndef COMPARE_TOPIC_NAMES_H
#define COMPARE_TOPIC_NAMES_H

#include "config/config.h"
#include "core/err.h"

struct topic_names {
    struct table_rules *rules;
    struct topic_routing *routing;
    const char *prefix; /* the configuration's */
};

bool topic_names_open(const struct config *cfg, struct topic_names *ret, struct err *err) MUST_CHECK;
/* malloc'd. */
char *topic_names_of(const struct topic_names *names, const char *schema, const char *table);
void topic_names_close(struct topic_names *names);

#endif
