/* Owns: the order in which signals are read. A server that is away makes signals unknown; the watch goes on. */
#include <stdarg.h>
#include <stdio.h>

#include "watching.h"

void signal_set(struct signal *s, double value, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->text, sizeof s->text, fmt, ap);
    va_end(ap);
    s->known = true;
    s->value = value;
}

void signal_unknown(struct signal *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->text, sizeof s->text, fmt, ap);
    va_end(ap);
    s->known = false;
    s->value = 0;
}

const struct config *watch_running(const struct watching *w)
{
    if (w->stage != STAGE_AFTER)
        return w->cfg;
    return w->back_there ? w->reverse : NULL;
}

void signals_read(struct watching *w)
{
    for (size_t i = 0; i < TRIGGER_KINDS; i++)
        signal_unknown(&w->triggers[i].signal, "not measured");
    signals_of_roles(w);
    signals_of_verdicts(w);
    signal_of_poolers(w);
    signal_of_disks(w);
    signal_of_corruption(w);
}
