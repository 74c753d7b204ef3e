/* A source that is MariaDB: control tables crossfade_* in the database of source.url, and the triggers of a freeze. Private to this module. */
#ifndef CLEANUP_MARIA_SOURCE_H
#define CLEANUP_MARIA_SOURCE_H

#include "cleanup_internal.h"

bool maria_source_rows_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err) MUST_CHECK;
bool maria_source_objects_find(struct cleanup *cl, const struct cleanup_kind *kind,
                               struct err *err) MUST_CHECK;
bool maria_source_triggers_find(struct cleanup *cl, const struct cleanup_kind *kind,
                                struct err *err) MUST_CHECK;
/* Whether other pipelines have rows in those tables. */
bool maria_source_others(struct cleanup *cl, bool *ret, struct err *err) MUST_CHECK;
/* Whether the pipeline was cut over away from it, by its decision. */
bool maria_source_switched(struct cleanup *cl, bool *ret, struct err *err) MUST_CHECK;
/* A decision that is open refuses. */
bool maria_source_decision_find(struct cleanup *cl, const struct cleanup_kind *kind,
                                struct err *err) MUST_CHECK;

#endif
