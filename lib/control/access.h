/* From the options control.* to what HTTP wants to know. Texts stay the configuration's. @thread any */
#ifndef CONTROL_ACCESS_H
#define CONTROL_ACCESS_H

#include "config/config.h"
#include "control/http.h"

struct http_access http_access_of(const struct config *cfg);     /* of a client */
struct http_settings http_settings_of(const struct config *cfg); /* of a role's server */

#endif
