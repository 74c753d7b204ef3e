/* What a status page tells beside figures: verdicts, and the gates of a cutover that can be seen without asking the source. */
#ifndef CLI_STATUS_FACTS_H
#define CLI_STATUS_FACTS_H

#include <jansson.h>

#include "config/config.h"

/* Asks the target: {"pipeline", "at", "error", "gates": […], "windows": […], "runs": […]}; what could not be read is missing, and error says why. Blocks for as long as
 * a connection takes. */
json_t *status_facts_read(const struct config *cfg);
/* Gates that follow from the roles' figures (fleet_status), as those of status_facts_read: [{"gate", "met", "found", "wanted", "hint"}, …]. */
json_t *status_gates(const struct config *cfg, const json_t *all);

#endif
