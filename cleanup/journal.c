/* Owns: the journal, when it is asked for. What it consists of, and what of it is provably the pipeline's, journal/removal.h says. */
#include <inttypes.h>
#include <string.h>

#include "cleanup_internal.h"
#include "journal/journal_settings.h"
#include "journal/removal.h"

struct finding {
    struct cleanup *cl;
    const struct cleanup_kind *kind;
};

static void add_part(void *ctx, const struct journal_part *part)
{
    const struct finding *f = ctx;
    struct cleanup_item *item = item_add(f->cl, f->kind, "journal", part->name);
    item->bytes = part->bytes;
    item->rows = part->records;
    item_action(item, "%s", part->action);
    item_used_by(item, part->used_by);
    if (!part->ours)
        item_leave(item, "%s", part->why);
    else if (!f->cl->request->journal)
        item_leave(item, "--journal removes it");
    else if (part->used_by[0] != '\0')
        item_refuse(item, "it is in use: %s", part->used_by);
}

bool journal_find(struct cleanup *cl, const struct cleanup_kind *kind, struct err *err)
{
    struct journal_config config;
    struct finding finding = {.cl = cl, .kind = kind};
    struct err away = ERR_INIT;
    if (!config_is_set(cl->cfg, "journal.url"))
        return true;
    journal_settings(cl->cfg, &config);
    if (journal_parts(&config, add_part, &finding, &away))
        return true;
    if (cl->request->journal) {
        *err = away;
        return err_wrap(err, "the journal");
    }
    item_leave(item_add(cl, kind, "journal", "the journal"), "it cannot be asked (%s); --journal removes it",
               away.text);
    return true;
}

bool journal_part_remove(struct cleanup *cl, struct cleanup_item *item, struct err *err)
{
    struct journal_config config;
    journal_settings(cl->cfg, &config);
    return journal_remove_part(&config, item->name, err) || err_wrap(err, "the journal");
}
