/* Owns: what is always left, and said. */
#include <string.h>

#include "cleanup_internal.h"

static void leave(struct cleanup *cl, const struct cleanup_kind *kind, const char *side, const char *name,
                  const char *why)
{
    item_leave(item_add(cl, kind, side, name), "%s", why);
}

bool audit_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    (void)err;
    const char *reports = config_text(cl->cfg, "compare.report_dir");
    if (cl->maria != NULL)
        leave(cl, kind, "target", "table crossfade_audit", "the audit log is kept always");
    if (cl->request->without_source)
        leave(cl, kind, "source", cl->own,
              "the source was not asked (--without-source): its slot, publication and schema crossfade stay "
              "as they are");
    if (reports != NULL)
        leave(cl, kind, "journal", reports, "reports of comparisons (compare.report_dir) are yours to keep");
    leave(cl, kind, "target", "the application's tables",
          "they are the application's, with all rows that were copied");
    return true;
}
