/* crossfade compare shadow. */
#ifndef CLI_COMPARE_SHADOW_H
#define CLI_COMPARE_SHADOW_H

#include "cli.h"

int compare_shadow(struct cli *cli); /* exit code */

#endif
