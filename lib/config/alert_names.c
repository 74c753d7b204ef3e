/* See alert_names.h. */
#include "config/alert_names.h"

#include <string.h>

#include "core/alert_events.h"

bool alert_name_fits(const char *text)
{
    for (size_t i = 0; i < alert_event_count; i++) {
        if (strcmp(alert_event_table[i].name, text) == 0 || strcmp(alert_event_table[i].group, text) == 0)
            return true;
    }
    return false;
}
