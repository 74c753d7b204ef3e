/* crossfade status --watch: the pipeline in a terminal, drawn anew every second. */
#ifndef CLI_STATUS_WATCH_H
#define CLI_STATUS_WATCH_H

#include "cli.h"

/* Until it is interrupted; exit code. */
int status_watch(const struct cli *cli, bool as_json);

#endif
