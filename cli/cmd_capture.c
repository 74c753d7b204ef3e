/* crossfade capture: source → journal until stopped; add-table, resnapshot: asks it for one table's copy. */
#include <stdio.h>
#include <string.h>

#include "capture/ask_copy.h"
#include "capture/capture.h"
#include "role.h"

const struct cli_flag capture_flags[] = {
    {"where", "SQL", "resnapshot: only rows p for which this holds"},
    {NULL, NULL, NULL},
};

static int ask_copy(struct cli *cli, bool add)
{
    struct err err = ERR_INIT;
    struct capture_copy ask = {.table = cli_arg(cli, 1), .add = add, .where = cli_flag(cli, "where")};
    if (cli->arg_count != 2)
        return cli_usage_error(cli, "%s: one table is expected, as in SQL: schema.table", cli_arg(cli, 0));
    if (add && ask.where != NULL)
        return cli_usage_error(cli, "add-table: --where belongs to resnapshot; a new table is copied whole");
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
    if (strcmp(cli_arg(cli, 0), "add-table") == 0)
        return ask_copy(cli, true);
    if (strcmp(cli_arg(cli, 0), "resnapshot") == 0)
        return ask_copy(cli, false);
    if (cli_flag(cli, "where") != NULL)
        return cli_usage_error(cli, "--where belongs to resnapshot");
    return role_main(cli, "capture.listen", capture_run);
}
