/* crossfade cutover list | status: what is recorded, for people or as JSON. */
#ifndef CLI_CUTOVER_PAST_H
#define CLI_CUTOVER_PAST_H

#include "cli.h"

/* Both return the exit code. */
int cutover_past_list(struct cli *cli);
int cutover_past_status(struct cli *cli, const char *id); /* NULL: the newest */

#endif
