/* Commands to a running role: pause, resume, throttle, reload, drain. */
#ifndef CLI_ORDER_H
#define CLI_ORDER_H

#include "cli.h"

/* Whether the first argument is one of them. */
bool order_is_one(const struct cli *cli);
/* Sends it to the role at this option's address. Exit code: 0 done; 1 refused; 4 nobody answers. */
int order_main(struct cli *cli, const char *listen_key);

#endif
