/* ${VAR} in the texts of the configuration file. Private to this module. */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "core/err.h"

/* ${VAR}: the environment variable, refused when unset; ${VAR:-text}: text when it is unset or empty; $$: one
 * '$'. ${credential:NAME}, ${credential-url:NAME}: a file below $CREDENTIALS_DIRECTORY (credential.h), with a default likewise. Any other '$' stays. *ret is malloc'd. */
bool expand_variables(const char *text, char **ret, struct err *err) MUST_CHECK;

#endif
