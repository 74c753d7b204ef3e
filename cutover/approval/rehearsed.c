/* Owns: what the audit log tells of the last rehearsal of the rollback, for who approves it and who looks at the gates. See approval.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cutover/approval/approval.h"

static const char *text_of(const json_t *detail, const char *key)
{
    const char *text = json_string_value(json_object_get(detail, key));
    return text != NULL ? text : "";
}

/* One that could not run has tried nothing. */
static bool take(void *ctx, const struct audit_row *row, struct err *err)
{
    struct rehearsed *last = ctx;
    json_t *detail = json_loads(row->detail, 0, NULL);
    const char *outcome = text_of(detail, "outcome");
    (void)err;
    if (strcmp(outcome, "passed") == 0 || strcmp(outcome, "failed") == 0) {
        last->seq = row->seq;
        last->passed = strcmp(outcome, "passed") == 0;
        (void)snprintf(last->text, sizeof last->text,
                       "rollback rehearsed at %.19sZ: %s in %.1f s, audit seq %" PRId64, row->at, outcome,
                       json_number_value(json_object_get(detail, "total_ms")) / 1000.0, row->seq);
        (void)snprintf(last->reason, sizeof last->reason, "%s", text_of(detail, "reason"));
    }
    json_decref(detail);
    return true;
}

bool rehearsed_last(struct audit *audit, const char *pipeline, struct rehearsed *ret, struct err *err)
{
    struct audit_filter filter = {.pipeline = pipeline, .event = REHEARSED};
    *ret = (struct rehearsed){0};
    return audit_read(audit, &filter, take, ret, err);
}
