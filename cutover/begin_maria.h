/* Private to cutover/: the first start of a way back from MariaDB. See cutover_way_back_may_begin(). */
#ifndef CUTOVER_BEGIN_MARIA_H
#define CUTOVER_BEGIN_MARIA_H

#include "config/config.h"

/* cfg is turned round, other: the pipeline that leads there. A way back that has begun may go on. ERR_REFUSED says why not. @thread any */
bool maria_way_back_may_begin(const struct config *cfg, const char *other, struct err *err) MUST_CHECK;

#endif
