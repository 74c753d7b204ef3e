/* See topic_names.h. */
#include "topic_names.h"

#include "config/table_rules.h"
#include "config/topic_routing.h"
#include "core/alloc.h"
#include "journal/journal_settings.h"

bool topic_names_open(const struct config *cfg, struct topic_names *ret, struct err *err)
{
    *ret = (struct topic_names){.prefix = config_text(cfg, "journal.topic_prefix")};
    if (table_rules_from_config(cfg, &ret->rules, err) && topic_routing_from_config(cfg, &ret->routing, err))
        return true;
    topic_names_close(ret);
    return false;
}

char *topic_names_of(const struct topic_names *names, const char *schema, const char *table)
{
    const char *topic = table_rules_topic(names->rules, schema, table);
    return topic != NULL ? xasprintf("%s.%s", names->prefix, topic)
                         : journal_topic(names->routing, names->prefix, schema, table, NULL);
}

void topic_names_close(struct topic_names *names)
{
    table_rules_free(names->rules);
    topic_routing_free(names->routing);
    *names = (struct topic_names){0};
}
