/* What reports are written as (compare.report_formats). @thread any */
#ifndef CONFIG_REPORT_FORMATS_H
#define CONFIG_REPORT_FORMATS_H

#include <stdbool.h>

#include "config/config.h"

enum report_format { REPORT_HTML = 1, REPORT_JSON = 2, REPORT_JUNIT = 4 };

bool report_format_fits(const char *text);         /* "junit" */
unsigned report_formats(const struct config *cfg); /* enum report_format; never none */

#endif
