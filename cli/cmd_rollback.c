/*
 * crossfade rollback plan | run --execute | resume | abort | list | status: a cutover of the pipeline turned round (config_reversed()), by the
 * same state table, gates and reports; main.c has turned the configuration already.
 */
#include "cli.h"

const struct cli_flag rollback_flags[] = {
    {"execute", NULL, "really do it; without this `run` only plans"},
    {"confirm", "NAME",
     "run --execute: the database that is left, where cutover.approval has confirm; else it is asked at the "
     "terminal"},
    {"json", NULL, "one JSON object, as of cutover; list and status: what is recorded"},
    {NULL, NULL, NULL},
};

int cmd_rollback(struct cli *cli)
{
    return cmd_cutover(cli);
}
