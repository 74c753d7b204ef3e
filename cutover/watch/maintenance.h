/* The maintenance windows of a configuration as instants. Private to this module. @thread any (immutable once made) */
#ifndef CUTOVER_WATCH_MAINTENANCE_H
#define CUTOVER_WATCH_MAINTENANCE_H

#include "config/maintenance_window.h"
#include "core/err.h"

struct maintenance;

/* texts: as maintenance_window_parse() reads them. */
bool maintenance_open(const char *const *texts, size_t count, struct maintenance **ret,
                      struct err *err) MUST_CHECK;
void maintenance_free(struct maintenance *maintenance); /* NULL allowed */
/* Whether now (us, wall) is within one of them; then since when and until when it is without a break, to the minute. A window is what local
 * clocks show: in the night in which they are put back it lasts longer, what they skip is not there. */
bool maintenance_now(const struct maintenance *maintenance, int64_t now_us, int64_t *ret_since_us,
                     int64_t *ret_until_us);
/* When the next begins; 0 = within eight days none does. */
int64_t maintenance_next(const struct maintenance *maintenance, int64_t now_us);

#endif
