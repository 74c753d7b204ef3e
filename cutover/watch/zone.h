/*
 * Local times of a zone, from the time zone database's own files (TZif, RFC 8536): the C library knows one zone at a time, for the whole
 * process, and changes it through the environment, which other threads read. Private to this module.
 * @thread any (immutable once read)
 */
#ifndef CUTOVER_WATCH_ZONE_H
#define CUTOVER_WATCH_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct zone;

struct local_time {
    int weekday; /* 0 = Sunday */
    int second_of_day;
    int64_t offset_s; /* east of Greenwich */
};

/* name: "Europe/Berlin"; "UTC" needs no file. ERR_CONFIG when there is no such zone below $TZDIR (/usr/share/zoneinfo). */
bool zone_open(const char *name, struct zone **ret, struct err *err) MUST_CHECK;
/* From the bytes of a file; `name` stands in messages. */
bool zone_parse(const char *name, const unsigned char *bytes, size_t len, struct zone **ret,
                struct err *err) MUST_CHECK;
void zone_free(struct zone *zone); /* NULL allowed */
/* unix_s: seconds since 1970. */
struct local_time zone_local(const struct zone *zone, int64_t unix_s);

#endif
