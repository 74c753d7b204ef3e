/* crossfade rollback rehearse. */
#ifndef CLI_ROLLBACK_REHEARSE_H
#define CLI_ROLLBACK_REHEARSE_H

#include "cli.h"

/* cli->cfg is turned round, as of all of `rollback`. Exit code. */
int rollback_rehearse(struct cli *cli);

#endif
