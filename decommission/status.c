/* Owns the verdict: at which stage the old side is, and whether it may be switched off. */
#include <stdio.h>
#include <string.h>

#include "kept.h"

static bool take_tombstone(void *ctx, const char *const *cells, struct err *err)
{
    struct decom_report *r = ctx;
    (void)err;
    (void)snprintf(r->method, sizeof r->method, "%s", cells[0]);
    r->tombstone_whole = strcmp(cells[1], "up") == 0;
    (void)snprintf(r->message, sizeof r->message, "%s", cells[2]);
    (void)snprintf(r->tombstone_at, sizeof r->tombstone_at, "%s", cells[3]);
    return true;
}

static bool read_tombstone(struct decom *d, struct decom_report *r, struct err *err)
{
    bool there = false;
    return kept_there(d, "tombstone", &there, err) &&
           (!there || kept_ask(d, KEPT_TOMBSTONE, 1, &d->pipeline, take_tombstone, r, err));
}

static bool read_cutover(struct decom *d, struct decom_report *r, struct err *err)
{
    struct decom_cutover c;
    if (!decom_cutover(d, &c, err))
        return false;
    memcpy(r->cut_over_at, c.at, sizeof r->cut_over_at);
    memcpy(r->read_only_until, c.until, sizeof r->read_only_until);
    r->period_over = c.over;
    return true;
}

static void add_reason(struct decom_report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_reason(struct decom_report *r, const char *fmt, ...)
{
    size_t used = strlen(r->why_not);
    va_list ap;
    if (used > 0)
        (void)snprintf(r->why_not + used, sizeof r->why_not - used, "; ");
    used = strlen(r->why_not);
    va_start(ap, fmt);
    (void)vsnprintf(r->why_not + used, sizeof r->why_not - used, fmt, ap);
    va_end(ap);
}

/* How many of each kind speak against it, once a kind. */
static void add_blockers(struct decom_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct decom_entry *e = &r->entries[i];
        size_t alike = 0;
        bool first = true;
        for (size_t k = 0; k < r->count; k++) {
            const struct decom_entry *o = &r->entries[k];
            bool same = o->blocks && strcmp(o->kind, e->kind) == 0 && strcmp(o->side, e->side) == 0;
            alike += same;
            first = first && !(same && k < i);
        }
        if (e->blocks && first)
            add_reason(r, "%zu of %s on the %s", alike, e->kind, e->side);
    }
}

static void judge(struct decom_report *r)
{
    if (*r->cut_over_at == '\0')
        add_reason(r, "the pipeline was never cut over");
    else if (!r->period_over)
        add_reason(r, "the read-only period lasts until %s (cutover.rollback_window)", r->read_only_until);
    if (*r->method == '\0')
        add_reason(r, "there is no tombstone (crossfade decommission tombstone)");
    else if (!r->tombstone_whole)
        add_reason(
            r,
            "the tombstone is half-way: run `crossfade decommission tombstone --execute` (or --undo) again");
    add_blockers(r);
    r->may_switch_off = *r->why_not == '\0';
    r->stage = *r->cut_over_at == '\0' ? "serving"
               : *r->method == '\0'    ? "readonly"
               : r->may_switch_off     ? "ready"
                                       : "tombstone";
}

bool decommission_status(const struct config *cfg, struct decom_report *ret, struct err *err)
{
    struct decom d;
    *ret = (struct decom_report){.stage = "serving"};
    if (!decom_open(&d, cfg, err))
        return false;
    (void)snprintf(ret->database, sizeof ret->database, "%s", pg_database(d.source));
    bool ok = read_cutover(&d, ret, err) && read_tombstone(&d, ret, err) && decom_look(&d, ret, err);
    decom_close(&d);
    if (ok)
        judge(ret);
    return ok;
}
