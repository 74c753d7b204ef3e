/* See changes.h. */
#include "config/changes.h"

#include <string.h>

#include "config/config_internal.h"

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same(const struct option_value *a, const struct option_value *b)
{
    if (a->set != b->set || a->number != b->number || a->list_count != b->list_count ||
        !same_text(a->text, b->text))
        return false;
    for (size_t i = 0; i < a->list_count; i++) {
        if (strcmp(a->list[i], b->list[i]) != 0)
            return false;
    }
    return true;
}

void config_changes(const struct config *was, const struct config *now, const char *command,
                    struct strbuf *live, struct strbuf *fixed)
{
    bool needed = false;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *opt = &option_table[i];
        if (!option_used_by(opt, command, &needed) || same(&was->settings[i].value, &now->settings[i].value))
            continue;
        struct strbuf *names = opt->live ? live : fixed;
        strbuf_addf(names, "%s%s", names->len > 0 ? ", " : "", opt->key);
    }
}
