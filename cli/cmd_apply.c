/* crossfade apply: journal → target until stopped; pause, resume and the like (order.h); dlq: what the target refused; conflicts: what both sides
 * have changed. */
#include <string.h>

#include "apply/apply.h"
#include "conflicts.h"
#include "dlq.h"
#include "order.h"
#include "role.h"

const struct cli_flag apply_flags[] = {
    {"json", NULL, "dlq, conflicts: one JSON object per dead letter or conflict; pause …: the answer"},
    {"all", NULL,
     "dlq list: the settled ones, too; dlq retry, discard: all that are held; conflicts list: the decided "
     "ones, too (the last 10,000)"},
    {"take", "source|target", "conflicts resolve: whose row stays"},
    {"reason", "TEXT",
     "dlq discard: why these changes are given up; stays with them. pause, resume, throttle, reload, drain: "
     "stands in the "
     "audit log"},
    {"timeout", "S", "dlq retry, discard: wait so long for apply to do it (default: 10)"},
    {NULL, NULL, NULL},
};

int cmd_apply(struct cli *cli)
{
    if (strcmp(cli_arg(cli, 0), "conflicts") == 0)
        return conflicts_main(cli);
    if (strcmp(cli_arg(cli, 0), "dlq") == 0)
        return dlq_main(cli);
    for (size_t i = 0; i < cli->given_count; i++) {
        const char *name = cli->given[i].flag->name;
        if (!order_is_one(cli) || (strcmp(name, "reason") != 0 && strcmp(name, "json") != 0))
            return cli_usage_error(cli, "--%s belongs to %s", name,
                                   strcmp(name, "reason") == 0 ? "dlq or commands to a running apply"
                                                               : "dlq or conflicts");
    }
    if (order_is_one(cli))
        return order_main(cli, "apply.listen");
    return role_main(cli, "apply.listen", apply_run);
}
