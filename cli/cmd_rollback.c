/*
 * crossfade rollback plan | run --execute | resume | abort | list | status: a cutover of the pipeline turned round (config_reversed()), by the
 * same state table, gates and reports; main.c has turned the configuration already. rehearse: rollback_rehearse.c, which turns it back.
 */
#include <string.h>

#include "cli.h"
#include "rollback_rehearse.h"

const struct cli_flag rollback_flags[] = {
    {"execute", NULL, "really do it; without this `run` only plans"},
    {"confirm", "NAME",
     "run --execute: the database that is left, where cutover.approval has confirm; else it is asked at the "
     "terminal"},
    {"json", NULL, "one JSON object, as of cutover; list and status: what is recorded"},
    {"keep", NULL,
     "rehearse --execute: leave its databases and its folder, to look into; the next rehearsal removes them"},
    {NULL, NULL, NULL},
};

int cmd_rollback(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "rehearse") == 0) {
        if (cli->arg_count != 1)
            return cli_usage_error(cli, "unexpected argument \"%s\"", cli_arg(cli, 1));
        return rollback_rehearse(cli);
    }
    return cmd_cutover(cli);
}
