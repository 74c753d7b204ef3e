/* Names of events and of their groups, as alerts.events has them. Pure. */
#ifndef CONFIG_ALERT_NAMES_H
#define CONFIG_ALERT_NAMES_H

#include <stdbool.h>

bool alert_name_fits(const char *text);

#endif
