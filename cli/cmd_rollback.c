/*
 * crossfade rollback plan | run --execute | resume | abort | list | status: a cutover of the pipeline turned round (config_reversed()), by the
 * same state table, gates and reports; main.c has turned the configuration already. rehearse: rollback_rehearse.c, which turns it back.
 */
#include <string.h>

#include "cli.h"
#include "maria/url.h"
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

/* A rehearsal makes databases beside both, which only PostgreSQL's definitions are written for. */
static bool refuses_to_rehearse(struct cli *cli, int *ret_code)
{
    if (!maria_is_url(config_text(cli->cfg, "source.url")))
        return false;
    *ret_code = cli_usage_error(
        cli, "target.url names MariaDB, for which rehearse is not there yet: rehearse on copies of "
             "both databases, with a configuration of their own");
    return true;
}

int cmd_rollback(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "rehearse") == 0) {
        int refused = 0;
        if (cli->arg_count != 1)
            return cli_usage_error(cli, "unexpected argument \"%s\"", cli_arg(cli, 1));
        return refuses_to_rehearse(cli, &refused) ? refused : rollback_rehearse(cli);
    }
    return cmd_cutover(cli);
}
