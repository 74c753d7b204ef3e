/*
 * Which tables share a topic: journal.topic_routing, a list of "pattern -> topic". Patterns are those of source.tables without '!';
 * the first that fits decides; a table that none fits has a topic of its own. In the topic's name {schema} and {table} stand for the
 * table's.
 * @thread any (immutable once made)
 */
#ifndef CONFIG_TOPIC_ROUTING_H
#define CONFIG_TOPIC_ROUTING_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct config;
struct topic_routing;

/* Whether one rule reads. */
bool topic_route_fits(const char *text);
bool topic_routing_new(const char *const *rules, size_t count, struct topic_routing **ret,
                       struct err *err) MUST_CHECK;
/* From journal.topic_routing. */
bool topic_routing_from_config(const struct config *cfg, struct topic_routing **ret,
                               struct err *err) MUST_CHECK;
void topic_routing_free(struct topic_routing *routing); /* NULL allowed */
/* What follows the prefix in the name of the shared topic, as it was written; malloc'd. NULL = the table has one of its own.
 * routing NULL = all have. */
char *topic_routing_find(const struct topic_routing *routing, const char *schema, const char *table);

#endif
