/* See evidence.h. */
#include "cause/evidence.h"

#include <inttypes.h>

#include "core/strbuf.h"

#define TEXT_MAX 8192

static void add_place(struct strbuf *out, const char *what, const char *topic, const struct record_place *at)
{
    strbuf_addf(out, "; %s: op=%c topic=%s partition=%d offset=%" PRIu64 " lsn=" LSN_FMT, what, (char)at->op,
                topic, (int)at->partition, at->offset, LSN_ARGS(at->lsn));
}

static void add_text(struct strbuf *out, const char *what, const char *text)
{
    if (text != NULL)
        strbuf_addf(out, "; %s%s", what, text);
}

char *evidence_text(const struct cause_rule *rule, const struct evidence *e)
{
    struct strbuf out = STRBUF_INIT(TEXT_MAX);
    strbuf_adds(&out, rule->text);
    if ((rule->show & SHOW_HELD) != 0)
        add_text(&out, "", e->held);
    if ((rule->show & SHOW_TRIGGER) != 0)
        add_text(&out, "trigger ", e->trigger);
    if ((rule->show & SHOW_PASSED) != 0 && e->passed != NULL)
        strbuf_addf(&out, "; equal at fence %" PRIu64 " lsn=" LSN_FMT, e->passed->fence_id,
                    LSN_ARGS(e->passed->lsn));
    if ((rule->show & SHOW_RECORD) != 0 && e->last != NULL)
        add_place(&out, "last record", e->topic, e->last);
    if ((rule->show & SHOW_EARLIER) != 0 && e->earlier != NULL)
        add_place(&out, "the target has", e->topic, e->earlier);
    if ((rule->show & SHOW_WRITER) != 0)
        add_text(&out, "the target's row is of ", e->writer);
    if ((rule->show & SHOW_DOUBT) != 0 && e->triggers_hidden)
        add_text(&out, "", "a trigger may have done it: this role may not see them (docs/PRIVILEGES.md)");
    if ((rule->show & SHOW_JOURNAL) != 0)
        add_text(&out, "", e->journal);
    return strbuf_detach(&out);
}
