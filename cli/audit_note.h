/* What a command decides, in the audit chain on the target (lib/audit/): before it is done. */
#ifndef CLI_AUDIT_NOTE_H
#define CLI_AUDIT_NOTE_H

#include <jansson.h>

#include "cli.h"

/* Appends a row of the pipeline and says its number and hash on stderr (quiet: it does not), so that they can be kept elsewhere. detail: an object,
 * stolen. False: what was to be decided must not be done. */
bool audit_note(struct cli *cli, const char *event, json_t *detail, bool quiet, struct err *err) MUST_CHECK;
/* The detail of what was asked for rows by their numbers: {"ids": […]}, or {"all": true} for none; at most 1,000 of them are named. */
json_t *audit_note_ids(const int64_t *ids, size_t count);

#endif
