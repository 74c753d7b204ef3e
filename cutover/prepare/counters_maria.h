/* A sequence of PostgreSQL and its twin on MariaDB: an AUTO_INCREMENT, or a sequence of that name. co->maria: where that is. Private to cutover. @thread owner */
#ifndef CUTOVER_PREPARE_COUNTERS_MARIA_H
#define CUTOVER_PREPARE_COUNTERS_MARIA_H

#include <jansson.h>

#include "sequence_list.h"

enum twin { TWIN_NONE = 0, TWIN_COLUMN, TWIN_SEQUENCE };

/* A sequence of the source, and where it goes on. */
struct counter {
    json_t *about;
    const struct sequence *sequence;
    enum twin twin;
    int64_t step;
};

/* Looks for the twin. To be released, also after a failure. */
bool counter_init(struct cutover *co, const struct sequence *s, struct counter *ret,
                  struct err *err) MUST_CHECK;
void counter_release(struct counter *c);
/* What a sequence would hand out next that stands so. ERR_DATA: it has none left. */
bool counter_next(const struct counter *c, int64_t value, bool called, int64_t *ret,
                  struct err *err) MUST_CHECK;
/* What the twin would hand out next. */
bool counter_stands(struct cutover *co, const struct counter *c, int64_t *ret, struct err *err) MUST_CHECK;
/* In its own direction. */
bool counter_is_behind(const struct counter *c, int64_t stands_at, int64_t next);

#endif
