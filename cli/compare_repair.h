/* crossfade compare repair. */
#ifndef CLI_COMPARE_REPAIR_H
#define CLI_COMPARE_REPAIR_H

#include "cli.h"

int compare_repair_command(struct cli *cli);

#endif
