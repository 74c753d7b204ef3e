/* crossfade compare selftest. */
#ifndef CLI_COMPARE_SELFTEST_H
#define CLI_COMPARE_SELFTEST_H

#include "cli.h"

int cmd_compare_selftest(struct cli *cli);

#endif
