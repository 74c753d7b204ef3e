/* The window of comparisons and a cutover's gates as JSON. Private to compare. @thread any */
#ifndef COMPARE_REPORT_STANDING_JSON_H
#define COMPARE_REPORT_STANDING_JSON_H

#include <jansson.h>

#include "standing.h"

/* {"windows": […], "runs": […]}: schemas/history.schema.json */
json_t *history_json(const struct watch_history *history);
/* Of a standing; null for NULL, and for a window that could not be read. */
json_t *standing_window_json(const struct standing *standing);
json_t *standing_readiness_json(const struct standing *standing);

#endif
