/* crossfade capture: source → journal until stopped; add-table, resnapshot: asks it for one table's copy; accept-ddl: a change of
 * a table's shape is agreed to. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "capture/copy/ask_copy.h"
#include "cutover/cutover.h"
#include "maria/url.h"
#include "order.h"
#include "role.h"

const struct cli_flag capture_flags[] = {
    {"where", "SQL", "resnapshot: only rows p for which this holds"},
    {"table", "SCHEMA.TABLE", "accept-ddl: of this table only"},
    {"json", NULL, "accept-ddl: one JSON object per accepted change; pause …: the answer"},
    {"reason", "TEXT", "pause, resume, throttle, reload, drain: stands in the audit log"},
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

static int ask_copy(struct cli *cli, bool add)
{
    struct err err = ERR_INIT;
    struct capture_copy ask = {.table = cli_arg(cli, 1), .add = add, .where = cli_flag(cli, "where")};
    if (cli->arg_count != 2)
        return cli_usage_error(cli, "%s: one table is expected, as in SQL: schema.table", cli_arg(cli, 0));
    if (add && ask.where != NULL)
        return cli_usage_error(cli, "add-table: --where belongs to resnapshot; a new table is copied whole");
    if (config_is_reversed(cli->cfg)) /* rows that lag would be written over those of the side that serves */
        return cli_usage_error(
            cli,
            "%s: the way back has no copies. A table that came later: on the target, ALTER PUBLICATION "
            "crossfade_%s ADD TABLE %s, before anybody but apply writes to it",
            cli_arg(cli, 0), config_text(cli->cfg, "pipeline"), ask.table);
    if (!capture_ask_copy(cli->cfg, &ask, &err))
        return cli_error(cli, &err);
    printf("%s: %s. Capture copies it beside the stream, as soon as it comes to this point of the WAL; "
           "crossfade status --wait "
           "caught-up waits for the end\n",
           ask.table, add ? "published from now on" : "asked for");
    return CLI_EXIT_OK;
}

int cmd_capture(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    if (cli_flag(cli, "where") != NULL && strcmp(verb, "add-table") != 0 && strcmp(verb, "resnapshot") != 0)
        return cli_usage_error(cli, "--where belongs to resnapshot");
    const char *url = config_text(cli->cfg, "source.url");
    if (*verb != '\0' && strcmp(verb, "run") != 0 && !order_is_one(cli) && url != NULL && maria_is_url(url))
        return cli_usage_error(cli, "capture %s is not there for a source that is MariaDB", verb);
    if (strcmp(verb, "accept-ddl") == 0 && cli_flag(cli, "reason") == NULL)
        return accept_ddl(cli);
    if (cli_flag(cli, "table") != NULL || (cli_flag(cli, "json") != NULL && !order_is_one(cli)))
        return cli_usage_error(cli, "--table and --json belong to accept-ddl");
    if (order_is_one(cli))
        return order_main(cli, "capture.listen");
    if (cli_flag(cli, "reason") != NULL)
        return cli_usage_error(
            cli, "--reason belongs to commands to a running capture: pause, resume, throttle, reload, drain");
    if (strcmp(verb, "add-table") == 0)
        return ask_copy(cli, true);
    if (strcmp(verb, "resnapshot") == 0)
        return ask_copy(cli, false);
    struct err err = ERR_INIT;
    if (config_is_reversed(cli->cfg) && !cutover_way_back_may_begin(cli->cfg, &err))
        return cli_error(cli, &err);
    return role_main(cli, "capture.listen", capture_run);
}
