/* The one place that reads the journal's options from the configuration. */
#ifndef JOURNAL_JOURNAL_SETTINGS_H
#define JOURNAL_JOURNAL_SETTINGS_H

#include "config/config.h"
#include "config/topic_routing.h"
#include "journal/journal.h"

/* Texts stay cfg's: *ret is valid as long as cfg. */
void journal_settings(const struct config *cfg, struct journal_config *ret);

/* The topic of a table: its own, or the shared one that the routing gives it (*ret_shared; NULL allowed, and routing as well).
 * malloc'd. */
char *journal_topic(const struct topic_routing *routing, const char *prefix, const char *schema,
                    const char *table, bool *ret_shared);

#endif
