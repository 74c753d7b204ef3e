/* Secrets that a service manager hands over as files: ${credential:NAME} in the configuration. Private to this module. */
#ifndef CONFIG_CREDENTIAL_H
#define CONFIG_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/strbuf.h"

/* Adds what the file `name` below $CREDENTIALS_DIRECTORY holds (systemd's LoadCredential=, or a mounted secret), without one
 * newline at its end; `in_url`: percent-encoded, as user or password of a URL. *ret_missing: there is no such file, or no
 * such directory, and nothing was added. ERR_CONFIG: the name is none, or the file cannot be read or is none of text. The
 * message never shows what it holds. */
bool credential_add(const char *name, bool in_url, struct strbuf *out, bool *ret_missing,
                    struct err *err) MUST_CHECK;

#endif
