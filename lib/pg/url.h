/* A URL's parts, for other programs. @thread any */
#ifndef PG_URL_H
#define PG_URL_H

#include "core/err.h"
#include "core/strbuf.h"

/* *ret_conninfo: keyword='value' pairs without secrets; *ret_password: NULL = the URL has none. Both malloc'd. ERR_CONFIG when the
 * URL does not read, or has a secret that can only travel on the command line. */
bool pg_url_split(const char *url, char **ret_conninfo, char **ret_password, struct err *err) MUST_CHECK;

/* What a URL says of one keyword of libpq ("host", "port", "dbname", "user", "password"): malloc'd, NULL = nothing; no defaults of the
 * environment. ERR_CONFIG when the URL does not read. */
bool pg_url_value(const char *url, const char *keyword, char **ret, struct err *err) MUST_CHECK;

/* The same connection to another database of that server: a URI, malloc'd; it holds the password where url does. ERR_CONFIG as above. */
bool pg_url_with_database(const char *url, const char *database, char **ret, struct err *err) MUST_CHECK;
/* The sslmode for a URL that leaves it open: "verify-full" when a host (or hostaddr; PGHOST where the URL has none) is not this machine.
 * NULL: nothing is to be added, since the URL or PGSSLMODE says it, a service file may, no byte leaves this machine, or the URL does not
 * read. */
const char *pg_url_sslmode(const char *url);

/* Adds keyword='value' to a connection string. */
void pg_conninfo_add(struct strbuf *out, const char *keyword, const char *value);

#endif
