/* What a comparison came to, in crossfade.verdict on the target: a cutover's gate goes by it. Private to this module. */
#ifndef COMPARE_VERDICT_RECORD_H
#define COMPARE_VERDICT_RECORD_H

#include "compare/compare.h"
#include "pg/conn.h"
#include "session.h"

/* schema_fingerprint() for verdict_record(), malloc'd. NULL, and told in the log: it is not known. A cutover's gate refuses then; a comparison
 * does without, for a table that is dropped at this moment is no reason not to compare. */
char *verdict_schema(const struct config *cfg, struct pg_conn *source);
/* Adds the verdict, and lets those go that are of no use any more. shapes: compare_shapes() of the source's tables; schema:
 * verdict_schema(); both as they were before the snapshot, NULL = not known. */
bool verdict_record(const struct compare_result *result, const char *shapes, const char *schema,
                    struct session *target, struct err *err) MUST_CHECK;

#endif
