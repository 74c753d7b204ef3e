/* crossfade cutover watch. */
#ifndef CLI_CUTOVER_WATCH_H
#define CLI_CUTOVER_WATCH_H

#include "cli.h"

int cutover_watch_command(struct cli *cli);

#endif
