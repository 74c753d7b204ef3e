/* crossfade apply: journal → target until stopped; pause, resume; dlq: what the target refused; conflicts: what both sides
 * have changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply.h"
#include "conflicts.h"
#include "control/http.h"
#include "dlq.h"
#include "role.h"

#define COMMAND_TIMEOUT_MS 5000

const struct cli_flag apply_flags[] = {
    {"json", NULL, "dlq, conflicts: one JSON object per dead letter or conflict"},
    {"all", NULL,
     "dlq list: the settled ones, too; dlq retry, discard: all that are held; conflicts list: the decided "
     "ones, too (the last 10,000)"},
    {"take", "source|target", "conflicts resolve: whose row stays"},
    {"reason", "TEXT", "dlq discard: why these changes are given up; stays with them"},
    {"timeout", "S", "dlq retry, discard: wait so long for apply to do it (default: 10)"},
    {NULL, NULL, NULL},
};

/* pause, resume: of the apply that runs. */
static int command_role(struct cli *cli, const char *path)
{
    struct err err = ERR_INIT;
    char *body = NULL;
    int status = 0;
    if (cli->arg_count > 1)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[1]);
    if (!http_post(config_text(cli->cfg, "apply.listen"), path, COMMAND_TIMEOUT_MS, &body, &status, &err))
        return cli_error(cli, &err);
    (void)fputs(body, status == 200 ? stdout : stderr);
    free(body);
    return status == 200 ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

int cmd_apply(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "conflicts") == 0)
        return conflicts_main(cli);
    if (strcmp(cli_arg(cli, 0), "dlq") == 0)
        return dlq_main(cli);
    if (cli->given_count > 0)
        return cli_usage_error(cli, "--%s belongs to dlq or conflicts", cli->given[0].flag->name);
    if (strcmp(cli_arg(cli, 0), "pause") == 0)
        return command_role(cli, "/pause");
    if (strcmp(cli_arg(cli, 0), "resume") == 0)
        return command_role(cli, "/resume");
    return role_main(cli, "apply.listen", apply_run);
}
