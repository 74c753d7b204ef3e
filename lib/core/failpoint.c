#include "core/failpoint.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool failpoint_armed;
static char point_name[80];
static char point_action[16] = "kill";
static atomic_long point_left = 1;

void failpoint_init(void)
{
    const char *spec = getenv("CROSSFADE_FAILPOINT");
    if (spec == NULL || *spec == '\0')
        return;
    long count = 1;
    if (sscanf(spec, "%79[^:]:%ld:%15s", point_name, &count, point_action) < 1)
        return;
    atomic_store(&point_left, count);
    failpoint_armed = true;
}

bool failpoint_hit(const char *name, struct err *err)
{
    if (strcmp(name, point_name) != 0 || atomic_fetch_sub(&point_left, 1) != 1)
        return true;
    if (strcmp(point_action, "error") == 0)
        return err_set(err, ERR_INJECTED, "failpoint %s", name);
    while (strcmp(point_action, "hang") == 0)
        (void)poll(NULL, 0, -1);
    (void)kill(getpid(), strcmp(point_action, "stop") == 0 ? SIGSTOP : SIGKILL);
    return true;
}
