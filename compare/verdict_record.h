/* What a comparison came to, in crossfade.verdict on the target: a cutover's gate goes by it. Private to this module. */
#ifndef COMPARE_VERDICT_RECORD_H
#define COMPARE_VERDICT_RECORD_H

#include "compare/compare.h"
#include "session.h"

/* Adds the verdict, and lets those go that are of no use any more. shapes: compare_shapes() of the source's tables, NULL = not known. */
bool verdict_record(const struct compare_result *result, const char *shapes, struct session *target,
                    struct err *err) MUST_CHECK;

#endif
