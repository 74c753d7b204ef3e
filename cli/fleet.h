/* Both roles seen together: what `status` shows. */
#ifndef CLI_FLEET_H
#define CLI_FLEET_H

#include <jansson.h>

#include "config/config.h"
#include "core/lsn.h"

/* Asks both roles and combines their answers into one object: phase, source_lsn, journaled_lsn, applied_lsn,
 * lag_bytes, lag_seconds, lag, complete, snapshot, capture, apply. A role that does not answer is {"phase":
 * "down", "address", "error"}. Never NULL. */
json_t *fleet_status(const struct config *cfg);

/* Its parts. What a role answers at /status (with or without ?tables=no), with its address in it, or that it is down. */
json_t *fleet_ask(const struct config *cfg, const char *role, const char *path);
/* Takes both answers; capture: null where others capture (fleet_is_foreign). */
json_t *fleet_combine(const struct config *cfg, json_t *capture, json_t *apply);
bool fleet_is_foreign(const struct config *cfg);

/* A copy whose texts may be shown on a terminal (terminal_add_plain). */
json_t *fleet_plain(const json_t *all);

/* Reading it: 0, false, "" or -1 where a key is missing or null. */
lsn_t fleet_lsn(const json_t *object, const char *key);
double fleet_number(const json_t *object, const char *key);
const char *fleet_text(const json_t *object, const char *key);
bool fleet_bool(const json_t *object, const char *key);
bool fleet_is_down(const json_t *role);

#endif
