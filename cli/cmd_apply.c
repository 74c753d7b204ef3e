/* crossfade apply: journal → target until stopped; dlq: what the target refused. */
#include <string.h>

#include "apply/apply.h"
#include "dlq.h"
#include "role.h"

const struct cli_flag apply_flags[] = {
    {"json", NULL, "dlq: one JSON object per dead letter"},
    {"all", NULL, "dlq list: the settled ones, too; dlq retry, discard: all that are held"},
    {"reason", "TEXT", "dlq discard: why these changes are given up; stays with them"},
    {"timeout", "S", "dlq retry, discard: wait so long for apply to do it (default: 10)"},
    {NULL, NULL, NULL},
};

int cmd_apply(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "dlq") == 0)
        return dlq_main(cli);
    if (cli->given_count > 0)
        return cli_usage_error(cli, "--%s belongs to dlq", cli->given[0].flag->name);
    return role_main(cli, "apply.listen", apply_run);
}
