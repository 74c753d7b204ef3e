/* crossfade apply conflicts list | show | resolve: rows that both sides have changed (lib/target/conflicts.h). */
#ifndef CLI_CONFLICTS_H
#define CLI_CONFLICTS_H

#include "cli.h"

int conflicts_main(struct cli *cli);

#endif
