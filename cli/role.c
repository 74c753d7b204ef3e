/* Runs a role: board and HTTP server live as long as it does. */
#include "role.h"

#include <string.h>

#include "control/http.h"
#include "control/service.h"
#include "core/clock.h"
#include "core/log.h"

/* What /status says until the role publishes for the first time. */
static void publish_starting(const struct cli *cli, struct status_board *board)
{
    struct role_status status = {.role = cli->command->name,
                                 .phase = PHASE_STARTING,
                                 .phase_since_us = clock_wall_us(),
                                 .retained_wal_bytes = -1,
                                 .safe_wal_bytes = -1};
    strncpy(status.pipeline, config_text(cli->cfg, "pipeline"), sizeof status.pipeline - 1);
    status_board_publish(board, &status);
}

static bool serve(struct cli *cli, const char *listen_key, struct status_board *board, role_run_fn *run,
                  struct err *err)
{
    struct http_server *server = NULL;
    if (!http_server_start(config_text(cli->cfg, listen_key), board, &server, err))
        return err_wrap(err, "%s", listen_key);
    log_event(LOG_LEVEL_INFO, "started", "version=%s pipeline=%s listen=%s port=%d", CF_VERSION,
              config_text(cli->cfg, "pipeline"), config_text(cli->cfg, listen_key), http_server_port(server));
    struct service *service = service_start(board, cli->stop_fd);
    bool good = run(cli->cfg, board, cli->stop_fd, err);
    service_stop(service, good ? NULL : err->text);
    http_server_stop(server);
    return good;
}

int role_main(struct cli *cli, const char *listen_key, role_run_fn *run)
{
    if (cli->arg_count > 1 || (cli->arg_count == 1 && strcmp(cli->args[0], "run") != 0))
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[cli->arg_count - 1]);
    struct err err = ERR_INIT;
    struct status_board *board = status_board_new();
    publish_starting(cli, board);
    bool good = serve(cli, listen_key, board, run, &err);
    status_board_free(board);
    int code = good ? CLI_EXIT_OK : err_exit_code(err.code);
    if (code == CLI_EXIT_OK)
        log_event(LOG_LEVEL_INFO, "stopped", "exit_code=0");
    else
        log_event(LOG_LEVEL_ERROR, "halted", "exit_code=%d class=%s text=\"%s\"", code,
                  err_code_name(err.code), err.text);
    return code;
}
