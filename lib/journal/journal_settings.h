/* The one place that reads the journal's options from the configuration. */
#ifndef JOURNAL_JOURNAL_SETTINGS_H
#define JOURNAL_JOURNAL_SETTINGS_H

#include "config/config.h"
#include "journal/journal.h"

/* Texts stay cfg's: *ret is valid as long as cfg. */
void journal_settings(const struct config *cfg, struct journal_config *ret);

#endif
