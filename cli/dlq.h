/* crossfade apply dlq list | show | retry | discard: dead letters (lib/target/dead_letter.h). */
#ifndef CLI_DLQ_H
#define CLI_DLQ_H

#include "cli.h"

int dlq_main(struct cli *cli);

#endif
