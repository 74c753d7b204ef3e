/* Whether what is sent to a host leaves this machine. @thread any */
#ifndef CORE_LOCAL_HOST_H
#define CORE_LOCAL_HOST_H

#include <stdbool.h>

/* One host as libpq and libmariadb take it: a path or "@name" (socket), "" (the default: a socket), "localhost", 127.0.0.0/8, ::1.
 * A name is not looked up: what a name server answers is no proof. */
bool host_is_local(const char *host);
/* Each of a list with commas. */
bool hosts_are_local(const char *hosts);

#endif
