/* A URL for another program: what may stand on a command line, and the password apart. @thread any */
#ifndef PG_URL_H
#define PG_URL_H

#include "core/err.h"

/* *ret_conninfo: keyword='value' pairs without secrets; *ret_password: NULL = the URL has none. Both malloc'd. ERR_CONFIG when the
 * URL does not read, or has a secret that can only travel on the command line. */
bool pg_url_split(const char *url, char **ret_conninfo, char **ret_password, struct err *err) MUST_CHECK;

#endif
