/* Another least level for a log that is being written. @thread any */
#ifndef CORE_LOG_LEVEL_H
#define CORE_LOG_LEVEL_H

#include "core/log.h"

void log_set_level(enum log_level least);

#endif
