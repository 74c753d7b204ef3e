/* The front of removal.h: which implementation. */
#include "journal/removal.h"

#include "journal/journal_impl.h"

bool journal_parts(const struct journal_config *config, journal_part_fn *each, void *ctx, struct err *err)
{
    const struct journal_impl *impl = journal_impl_for(config->url, err);
    if (impl == NULL)
        return false;
    return impl->parts != NULL ? impl->parts(config, each, ctx, err)
                               : err_set(err, ERR_UNSUPPORTED, "a %s: journal is not removed", impl->scheme);
}

bool journal_remove_part(const struct journal_config *config, const char *name, struct err *err)
{
    const struct journal_impl *impl = journal_impl_for(config->url, err);
    if (impl == NULL)
        return false;
    BUG_UNLESS(impl->remove_part != NULL);
    return impl->remove_part(config, name, err);
}
