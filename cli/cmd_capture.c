/* crossfade capture: source → journal until stopped; accept-ddl: a change of a table's shape is agreed to. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "role.h"

const struct cli_flag capture_flags[] = {
    {"table", "SCHEMA.TABLE", "accept-ddl: of this table only"},
    {"json", NULL, "accept-ddl: one JSON object per accepted change"},
    {NULL, NULL, NULL},
};

struct accepted {
    bool json;
    size_t count;
};

static void show(void *ctx, const char *schema, const char *table, const char *change)
{
    struct accepted *a = ctx;
    a->count++;
    if (!a->json) {
        printf("accepted: %s.%s: %s\n", schema, table, change);
        return;
    }
    json_t *line = json_pack("{s:s,s:s,s:s}", "schema", schema, "table", table, "change", change);
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(line);
}

static int accept_ddl(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct accepted a = {.json = cli_flag(cli, "json") != NULL};
    const char *table = cli_flag(cli, "table");
    if (cli->arg_count > 1)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[1]);
    if (table != NULL && strchr(table, '.') == NULL)
        return cli_usage_error(cli, "--table: found \"%s\", expected schema.table", table);
    if (!capture_accept_ddl(cli->cfg, table, show, &a, &err))
        return cli_error(cli, &err);
    if (a.count == 0 && !a.json)
        puts("nothing waits for acceptance");
    return CLI_EXIT_OK;
}

int cmd_capture(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "accept-ddl") == 0)
        return accept_ddl(cli);
    if (cli->given_count > 0)
        return cli_usage_error(cli, "--%s is for accept-ddl", cli->given[0].flag->name);
    return role_main(cli, "capture.listen", capture_run);
}
