/* Owns the list of what was found, and how a statement is run that may have to wait for a lock. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup_internal.h"
#include "core/alloc.h"
#include "core/clock.h"

#define TRIES 15 /* each waits LOCK_TIMEOUT (open.c) at most */

const char *cleanup_fate_name(enum cleanup_fate fate)
{
    static const char *const names[] = {[CLEANUP_UNKNOWN] = "unknown",
                                        [CLEANUP_REMOVE] = "remove",
                                        [CLEANUP_LEAVE] = "leave",
                                        [CLEANUP_REFUSE] = "refuse"};
    return names[fate];
}

static const char *place_of(const struct cleanup *cl, const char *side)
{
    const char *place = strcmp(side, "source") == 0    ? cl->source_place
                        : strcmp(side, "standby") == 0 ? cl->standby_place
                        : strcmp(side, "target") == 0  ? cl->target_place
                                                       : NULL;
    return place != NULL ? place : "";
}

struct cleanup_item *item_add(struct cleanup *cl, const struct cleanup_kind *kind, const char *side,
                              const char *name)
{
    struct cleanup_report *r = cl->report;
    if (r->count == r->cap) {
        r->cap = r->cap != 0 ? 2 * r->cap : 64;
        r->items = xrealloc(r->items, r->cap * sizeof *r->items);
    }
    struct cleanup_item *item = &r->items[r->count++];
    *item = (struct cleanup_item){.kind = kind->name,
                                  .side = side,
                                  .name = xstrdup(name),
                                  .place = xstrdup(place_of(cl, side)),
                                  .used_by = xstrdup(""),
                                  .action = xstrdup(""),
                                  .why = xstrdup(""),
                                  .bytes = -1,
                                  .rows = -1,
                                  .fate = CLEANUP_REMOVE,
                                  .of = kind};
    return item;
}

PRINTF_LIKE(2, 0) static void set_text(char **text, const char *fmt, va_list ap)
{
    struct strbuf sb = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_vaddf(&sb, fmt, ap);
    free(*text);
    *text = sb.len > 0 ? strbuf_detach(&sb) : xstrdup("");
    strbuf_release(&sb);
}

void item_action(struct cleanup_item *item, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(&item->action, fmt, ap);
    va_end(ap);
}

void item_leave(struct cleanup_item *item, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(&item->why, fmt, ap);
    va_end(ap);
    item->fate = CLEANUP_LEAVE;
}

void item_refuse(struct cleanup_item *item, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(&item->why, fmt, ap);
    va_end(ap);
    item->fate = CLEANUP_REFUSE;
}

void item_used_by(struct cleanup_item *item, const char *text)
{
    free(item->used_by);
    item->used_by = xstrdup(text);
}

struct pg_conn *item_conn(struct cleanup *cl, const struct cleanup_item *item)
{
    return strcmp(item->side, "target") == 0    ? cl->target
           : strcmp(item->side, "standby") == 0 ? cl->standby
                                                : cl->source;
}

struct maria_conn *item_maria(struct cleanup *cl, const struct cleanup_item *item)
{
    return strcmp(item->side, "source") == 0 ? cl->maria_source : cl->maria;
}

void cleanup_report_release(struct cleanup_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        struct cleanup_item *item = &report->items[i];
        free(item->name);
        free(item->place);
        free(item->used_by);
        free(item->action);
        free(item->why);
    }
    free(report->items);
    report->items = NULL;
    report->count = report->cap = 0;
}

void cleanup_say(struct cleanup *cl, const char *fmt, ...)
{
    char text[1500];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cl->talk->say(cl->talk->ctx, text);
}

/* Undefined object, table, schema, function. */
static bool is_gone(const struct err *err)
{
    static const char *const states[] = {"42704", "42P01", "3F000", "42883"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strcmp(err->sqlstate, states[i]) == 0)
            return true;
    }
    return false;
}

/* False: *err says why not. */
static bool again(struct cleanup *cl, unsigned attempt, bool may, const struct err *now, struct err *err)
{
    if (now->code != ERR_TRANSIENT || !may || attempt + 1 == TRIES) {
        *err = *now;
        return false;
    }
    if (cl->talk->stop_asked(cl->talk->ctx))
        return err_set(err, ERR_INTERRUPTED, "stop was asked for while a lock was waited for");
    (void)poll(NULL, 0, (int)(clock_backoff_us(attempt, 100, 2000) / 1000));
    return true;
}

bool cleanup_exec(struct cleanup *cl, struct pg_conn *conn, const char *sql, struct err *err)
{
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (pg_exec(conn, sql, &now))
            return true;
        bool inside =
            pg_in_transaction(conn); /* the caller's, or what a text of several statements has begun */
        if (is_gone(&now) && !inside)
            return true;
        if (!again(cl, attempt, !inside, &now, err))
            return false;
    }
}

bool cleanup_exec_maria(struct cleanup *cl, struct maria_conn *conn, const char *sql, struct err *err)
{
    for (unsigned attempt = 0;; attempt++) {
        struct err now = ERR_INIT;
        if (maria_exec(conn, sql, &now))
            return true;
        if (!again(cl, attempt, true, &now, err))
            return false;
    }
}
