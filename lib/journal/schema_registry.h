/* What `crossfade check` asks of a schema registry; the store itself is behind schema_store.h. */
#ifndef JOURNAL_SCHEMA_REGISTRY_H
#define JOURNAL_SCHEMA_REGISTRY_H

#include "journal/journal.h"

/* Asks config->registry for its global compatibility level ("NONE", "BACKWARD", …; malloc'd). Errors as of a
 * registration. */
bool schema_registry_level(const struct journal_config *config, char **ret, struct err *err) MUST_CHECK;

#endif
