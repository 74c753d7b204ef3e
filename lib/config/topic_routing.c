/* Owns: the rules of shared topics. See topic_routing.h. */
#include "config/topic_routing.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/table_filter.h"
#include "core/alloc.h"
#include "core/strbuf.h"

#define ARROW     "->"
#define NAME_MAX_ 2000

struct route {
    struct table_filter *tables;
    char *topic;
};

struct topic_routing {
    size_t count;
    struct route routes[];
};

static char *trimmed(const char *from, const char *end)
{
    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    return xstrndup(from, (size_t)(end - from));
}

/* Letters that Kafka takes, and the two placeholders. */
static bool topic_reads(const char *topic)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (topic[0] == '\0' || topic[0] == '.')
        return false;
    while (*topic != '\0') {
        if (strncmp(topic, "{schema}", 8) == 0)
            topic += 8;
        else if (strncmp(topic, "{table}", 7) == 0)
            topic += 7;
        else if (strchr(letters, *topic) != NULL)
            topic++;
        else
            return false;
    }
    return true;
}

static bool read_rule(const char *text, struct route *ret, struct err *err)
{
    const char *arrow = NULL; /* the last one: a quoted name may hold another */
    for (const char *p = strstr(text, ARROW); p != NULL; p = strstr(p + 1, ARROW))
        arrow = p;
    char *pattern CLEANUP(free_ptr) = arrow != NULL ? trimmed(text, arrow) : NULL;
    char *topic CLEANUP(free_ptr) =
        arrow != NULL ? trimmed(arrow + strlen(ARROW), text + strlen(text)) : NULL;
    const char *patterns[] = {pattern};
    if (arrow == NULL || pattern[0] == '!' || !table_pattern_fits(pattern) || !topic_reads(topic))
        return err_set(err, ERR_CONFIG,
                       "journal.topic_routing: found \"%s\", expected pattern -> topic, such as \"tenant_*.* "
                       "-> {table}\"",
                       text);
    if (!table_filter_new(patterns, 1, &ret->tables, err))
        return false;
    ret->topic = xstrdup(topic);
    return true;
}

bool topic_route_fits(const char *text)
{
    struct route route = {0};
    struct err err = ERR_INIT;
    bool good = read_rule(text, &route, &err);
    table_filter_free(route.tables);
    free(route.topic);
    return good;
}

bool topic_routing_new(const char *const *rules, size_t count, struct topic_routing **ret, struct err *err)
{
    struct topic_routing *routing = xcalloc(1, sizeof *routing + count * sizeof routing->routes[0]);
    for (; routing->count < count; routing->count++) {
        if (!read_rule(rules[routing->count], &routing->routes[routing->count], err)) {
            topic_routing_free(routing);
            return false;
        }
    }
    *ret = routing;
    return true;
}

bool topic_routing_from_config(const struct config *cfg, struct topic_routing **ret, struct err *err)
{
    size_t count;
    const char *const *rules = config_list(cfg, "journal.topic_routing", &count);
    return topic_routing_new(rules, count, ret, err);
}

void topic_routing_free(struct topic_routing *routing)
{
    if (routing == NULL)
        return;
    for (size_t i = 0; i < routing->count; i++) {
        table_filter_free(routing->routes[i].tables);
        free(routing->routes[i].topic);
    }
    free(routing);
}

static char *expand(const char *topic, const char *schema, const char *table)
{
    struct strbuf name = STRBUF_INIT(NAME_MAX_);
    while (*topic != '\0') {
        if (strncmp(topic, "{schema}", 8) == 0) {
            strbuf_adds(&name, schema);
            topic += 8;
        } else if (strncmp(topic, "{table}", 7) == 0) {
            strbuf_adds(&name, table);
            topic += 7;
        } else {
            strbuf_addc(&name, *topic++);
        }
    }
    return strbuf_detach(&name);
}

char *topic_routing_find(const struct topic_routing *routing, const char *schema, const char *table)
{
    for (size_t i = 0; routing != NULL && i < routing->count; i++) {
        if (table_filter_matches(routing->routes[i].tables, schema, table))
            return expand(routing->routes[i].topic, schema, table);
    }
    return NULL;
}
