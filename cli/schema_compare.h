/* crossfade schema compare. */
#ifndef CLI_SCHEMA_COMPARE_H
#define CLI_SCHEMA_COMPARE_H

#include "cli.h"

int schema_compare(struct cli *cli); /* exit code */

#endif
