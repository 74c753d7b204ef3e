/* crossfade compare watch and history. */
#ifndef CLI_COMPARE_WATCH_H
#define CLI_COMPARE_WATCH_H

#include "cli.h"

/* Exit codes: compare's. */
int compare_watch_command(struct cli *cli);
int compare_history_command(struct cli *cli);

#endif
