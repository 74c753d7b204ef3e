/* See audit_note.h. */
#include "audit_note.h"

#include <inttypes.h>
#include <stdio.h>

#include "audit/audit.h"
#include "core/failpoint.h"

#define IDS_NAMED 1000

bool audit_note(struct cli *cli, const char *event, json_t *detail, bool quiet, struct err *err)
{
    struct audit *audit = NULL;
    struct audit_mark mark;
    if (!audit_open(config_text(cli->cfg, "target.url"), config_text(cli->cfg, "pipeline"), &audit, err)) {
        json_decref(detail);
        return false;
    }
    bool ok = audit_append(audit, NULL, event, detail, &mark, err);
    audit_close(audit);
    ok = ok && failpoint("cli.audit_noted", err);
    if (ok && !quiet)
        (void)fprintf(stderr, "audit: seq %" PRId64 ", hash %s\n", mark.seq, mark.hash);
    return ok;
}

json_t *audit_note_ids(const int64_t *ids, size_t count)
{
    json_t *detail = json_object(), *list = json_array();
    for (size_t i = 0; i < count && i < IDS_NAMED; i++)
        json_array_append_new(list, json_integer(ids[i]));
    if (count > 0)
        json_object_set_new(detail, "ids", list);
    else
        json_decref(list);
    if (count > IDS_NAMED || count == 0)
        json_object_set_new(detail, count == 0 ? "all" : "count",
                            count == 0 ? json_true() : json_integer((json_int_t)count));
    return detail;
}
