/* What `capture` and `apply` share: a status board, its HTTP server, and the role's run. */
#ifndef CLI_ROLE_H
#define CLI_ROLE_H

#include "cli.h"
#include "control/status.h"

typedef bool role_run_fn(const struct config *cfg, struct status_board *board, int stop_fd, struct err *err);

/* Exit code: 0 stopped, else the error's; the error is logged once. */
int role_main(struct cli *cli, const char *listen_key, role_run_fn *run);

#endif
