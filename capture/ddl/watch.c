/* Owns: finding tables that ought to be published and are not. See watch.h. */
#include "capture/ddl/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/ddl/shapes.h"
#include "capture/filters/filters.h"
#include "core/alloc.h"
#include "core/log.h"

struct missing {
    uint32_t oid, root_oid;
    char *schema, *table;
};

struct finding {
    const struct table_filter *filter;
    struct missing *items;
    size_t count, cap;
};

static bool find(void *ctx, uint32_t oid, const char *schema, const char *table, uint32_t root_oid,
                 struct err *err)
{
    struct finding *f = ctx;
    (void)err;
    if (!table_filter_matches(f->filter, schema, table))
        return true;
    if (f->count == f->cap) {
        f->cap = f->cap != 0 ? f->cap * 2 : 16;
        f->items = xrealloc(f->items, f->cap * sizeof *f->items);
    }
    f->items[f->count++] = (struct missing){oid, root_oid, xstrdup(schema), xstrdup(table)};
    return true;
}

static void forget(struct finding *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].schema);
        free(f->items[i].table);
    }
    free(f->items);
}

/* A partition of one that is missing itself: that is told once. */
static bool root_is_missing(const struct finding *f, const struct missing *m)
{
    for (size_t i = 0; m->root_oid != 0 && i < f->count; i++) {
        if (f->items[i].oid == m->root_oid)
            return true;
    }
    return false;
}

/* Its changes went to the journal once. */
static bool was_captured(const struct cap_session *s, const struct missing *m)
{
    bool shared = false; /* then its topic does not tell */
    char *topic CLEANUP(free_ptr) = cap_filters_topic(
        s->settings->rules, s->settings->routing, s->settings->topic_prefix, m->schema, m->table, &shared);
    for (size_t i = 0; !shared && i < s->position.base.range_count; i++) {
        if (strcmp(s->position.base.ranges[i].stream, topic) == 0)
            return true;
    }
    return cap_shapes_named(s->shapes, m->schema, m->table) != NULL;
}

static bool refuse_lost(const struct cap_session *s, const struct missing *m, struct err *err)
{
    return err_set(err, ERR_GAP,
                   "table=%s.%s was taken out of publication %s, or made anew under its name: its changes "
                   "are lost to this pipeline. Start a new copy with an empty journal, or exclude the table "
                   "in source.tables",
                   m->schema, m->table, s->settings->publication);
}

static void tell(struct cap_session *s, const struct missing *first, size_t count)
{
    char text[sizeof s->status->notice] = "", more[40] = "";
    if (count > 1)
        (void)snprintf(more, sizeof more, " (and %zu more)", count - 1);
    if (count > 0)
        (void)snprintf(text, sizeof text,
                       "table=%.130s.%.130s%s fits source.tables but was not there when the copy began: it "
                       "is not replicated. "
                       "crossfade capture add-table copies it and follows it",
                       first->schema, first->table, more);
    if (strcmp(text, s->status->notice) == 0)
        return;
    memcpy(s->status->notice, text, sizeof text);
    if (count > 0)
        log_event(LOG_LEVEL_WARN, "table_not_published", "text=\"%s\"", text);
}

bool cap_watch_look(struct cap_session *s, struct err *err)
{
    struct finding f = {.filter = s->settings->filter};
    const struct missing *first = NULL;
    size_t count = 0;
    bool ok = source_unpublished(s->sql, s->settings->publication, find, &f, err);
    for (size_t i = 0; ok && i < f.count; i++) {
        if (root_is_missing(&f, &f.items[i]))
            continue;
        for (size_t k = 0; k < s->tables.count; k++)
            s->tables.items[k].from_start =
                s->tables.items[k].from_start && s->tables.items[k].oid != f.items[i].oid;
        if (was_captured(s, &f.items[i]))
            ok = refuse_lost(s, &f.items[i], err);
        if (first == NULL)
            first = &f.items[i];
        count++;
    }
    if (ok)
        tell(s, first, count);
    forget(&f);
    return ok;
}

bool cap_watch_require(struct cap_session *s, struct err *err)
{
    struct finding f = {.filter = s->settings->filter};
    bool ok = source_unpublished(s->sql, s->settings->publication, find, &f, err);
    if (ok && f.count > 0)
        ok = err_set(
            err, ERR_CONFIG,
            "it does not publish table=%s.%s, which fits source.tables: ALTER PUBLICATION … ADD TABLE",
            f.items[0].schema, f.items[0].table);
    forget(&f);
    return ok;
}
