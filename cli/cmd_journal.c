/* crossfade journal list|cat|follow|fences|verify: looks into the journal as an unregistered reader. */
#include <string.h>

#include "change/table.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "journal/journal_settings.h"
#include "journal_look.h"

const struct cli_flag journal_flags[] = {
    {"table", "SCHEMA.TABLE", "cat, follow: the stream of this table, in place of STREAM"},
    {"key", "JSON",
     "cat, follow: only records with this key, as {\"id\":1}, or 1 where the key is one column"},
    {"from-lsn", "LSN", "cat, follow, fences: begin with what was committed at this LSN or later"},
    {"from", "OFFSET", "cat, follow, fences: begin at this offset of each partition"},
    {"last", "N", "cat, follow, fences: begin N records before the end of each partition"},
    {"count", "N", "cat, follow, fences: end after N records"},
    {"partition", "P", "cat, follow: this partition only"},
    {"format", "json|debezium",
     "cat, follow: json (default: record with its place) or debezium (the envelope alone)"},
    {"findings", "N", "verify: show N findings at most (default: 100); all are counted"},
    {"memory", "MB", "verify: for the keys of copied rows (default: 64); what does not fit is sampled"},
    {"json", NULL, "list, verify: one JSON object per line (records are always JSON)"},
    {NULL, NULL, NULL},
};

static int run_fences(struct look *look)
{
    char *name CLEANUP(free_ptr) = journal_fence_stream(look->config.topic_prefix);
    const struct journal_stream_info *info = look_find(look, name);
    return info == NULL ? CLI_EXIT_USAGE : journal_print_stream(look, info, false, true);
}

/* STREAM, or --table SCHEMA.TABLE (the first dot parts them). */
static const struct journal_stream_info *named_stream(struct look *look)
{
    const char *table = cli_flag(look->cli, "table");
    if (table == NULL)
        return look_find(look, cli_arg(look->cli, 1));
    const char *dot = strchr(table, '.');
    if (dot == NULL || dot == table || dot[1] == '\0') {
        (void)cli_usage_error(look->cli, "--table: found \"%s\", expected schema.table", table);
        return NULL;
    }
    char *schema CLEANUP(free_ptr) = xstrndup(table, (size_t)(dot - table));
    struct topic_routing *routing = NULL;
    struct table_rules *rules = NULL;
    struct err err = ERR_INIT;
    if (!table_rules_from_config(look->cli->cfg, &rules, &err) ||
        !topic_routing_from_config(look->cli->cfg, &routing, &err)) {
        table_rules_free(rules);
        (void)cli_usage_error(look->cli, "%s", err.text);
        return NULL;
    }
    const char *renamed = table_rules_topic(rules, schema, dot + 1);
    char *topic CLEANUP(free_ptr) =
        renamed != NULL ? xasprintf("%s.%s", look->config.topic_prefix, renamed)
                        : journal_topic(routing, look->config.topic_prefix, schema, dot + 1, NULL);
    table_rules_free(rules);
    topic_routing_free(routing);
    return look_find(look, topic);
}

static int run_verb(struct look *look, const char *verb)
{
    if (strcmp(verb, "list") == 0)
        return journal_list_streams(look);
    if (strcmp(verb, "verify") == 0)
        return journal_run_verify(look);
    if (strcmp(verb, "fences") == 0)
        return run_fences(look);
    const struct journal_stream_info *info = named_stream(look);
    return info == NULL ? CLI_EXIT_USAGE
                        : journal_print_stream(look, info, strcmp(verb, "follow") == 0, false);
}

int cmd_journal(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    bool named = strcmp(verb, "cat") == 0 || strcmp(verb, "follow") == 0;
    bool known =
        named || strcmp(verb, "list") == 0 || strcmp(verb, "fences") == 0 || strcmp(verb, "verify") == 0;
    bool has_stream = named && cli_flag(cli, "table") == NULL;
    if (!known || cli->arg_count != (has_stream ? 2u : 1u))
        return cli_usage_error(cli, "expected %s", cli->command->usage);
    struct look look = {.cli = cli};
    struct err err = ERR_INIT;
    if (!look_flags(&look))
        return CLI_EXIT_USAGE;
    int code = look_open(&look, &err) ? run_verb(&look, verb) : cli_error(cli, &err);
    look_release(&look);
    return code;
}
