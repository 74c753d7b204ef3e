/* crossfade cutover watch: triggers before and after a cutover, and cutovers that run by themselves; its readings as JSON lines. */
#include "cutover_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "cutover/watch.h"

static void print_reading(void *ctx, const json_t *report)
{
    char *text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(10));
    (void)ctx;
    if (text != NULL)
        puts(text);
    (void)fflush(stdout);
    free(text);
}

int cutover_watch_command(struct cli *cli)
{
    bool json = cli_flag(cli, "json") != NULL, firing = false;
    const struct cutover_watch_request request = {.once = cli_flag(cli, "once") != NULL,
                                                  .execute = cli_flag(cli, "execute") != NULL,
                                                  .stop_fd = cli->stop_fd,
                                                  .reading = json ? print_reading : NULL};
    struct err err = ERR_INIT;
    cli_log_as_role(cli); /* it runs for days: its log is that of a role */
    log_event(LOG_LEVEL_INFO, "started", "version=%s pipeline=%s", CF_VERSION,
              config_text(cli->cfg, "pipeline"));
    if (!request.execute)
        log_event(LOG_LEVEL_WARN, "watch",
                  "text=\"without --execute: alerts only; nothing is paused, rolled back or cut over\"");
    if (!cutover_watch(cli->cfg, &request, &firing, &err))
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    log_event(LOG_LEVEL_INFO, "stopped", "firing=%s", firing ? "yes" : "no");
    return request.once && firing ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}
