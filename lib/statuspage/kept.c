/* Owns: rings and lists of a status page. See kept.h. */
#include "kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/utf8.h"
#include "json/text.h"

#define ROWS_AT_ONCE 500

static bool same_names(const struct kept_tables *kept, const struct statuspage_table *tables, size_t count)
{
    if (kept->count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(kept->items[i].name, tables[i].name) != 0)
            return false;
    }
    return true;
}

void kept_tables_release(struct kept_tables *kept)
{
    for (size_t i = 0; i < kept->count; i++)
        free(kept->items[i].name);
    free(kept->items);
    kept->items = NULL;
    kept->count = 0;
}

static void begin_list(struct kept_tables *kept, const struct statuspage_table *tables, size_t count)
{
    kept_tables_release(kept);
    kept->items = xcalloc(count > 0 ? count : 1, sizeof *kept->items);
    kept->count = count;
    kept->id++;
    for (size_t i = 0; i < count; i++)
        kept->items[i] = (struct kept_table){.name = xstrdup(tables[i].name), .changed_at = kept->turn};
}

void kept_tables_set(struct kept_tables *kept, const struct statuspage_table *tables, size_t count)
{
    kept->turn++;
    if (!same_names(kept, tables, count))
        begin_list(kept, tables, count);
    for (size_t i = 0; i < count; i++) {
        struct kept_table *item = &kept->items[i];
        const struct statuspage_table *now = &tables[i];
        if (item->rows == now->rows && item->estimate == now->estimate && item->done == now->done)
            continue;
        item->rows = now->rows;
        item->estimate = now->estimate;
        item->done = now->done;
        item->changed_at = kept->turn;
    }
}

static json_t *row_json(size_t n, const struct kept_table *table)
{
    json_t *row = json_array();
    json_array_append_new(row, json_integer((json_int_t)n));
    json_array_append_new(row, json_text(table->name));
    json_array_append_new(row, json_amount(table->rows));
    json_array_append_new(row, table->estimate != 0 ? json_amount(table->estimate) : json_null());
    json_array_append_new(row, json_boolean(table->done));
    return row;
}

json_t *kept_tables_next(const struct kept_tables *kept, struct tables_seen *seen)
{
    if (seen->id != kept->id)
        *seen = (struct tables_seen){.id = kept->id};
    if (seen->at == 0) {
        if (seen->turn == kept->turn)
            return NULL;
        seen->pass_turn = kept->turn;
    }
    json_t *rows = json_array();
    for (; seen->at < kept->count && json_array_size(rows) < ROWS_AT_ONCE; seen->at++) {
        if (kept->items[seen->at].changed_at > seen->turn)
            json_array_append_new(rows, row_json(seen->at, &kept->items[seen->at]));
    }
    if (seen->at >= kept->count) { /* what changed during the pass may be sent twice, never missed */
        seen->turn = seen->pass_turn;
        seen->at = 0;
    }
    if (json_array_size(rows) == 0 && kept->count > 0) {
        json_decref(rows);
        return NULL;
    }
    json_t *message = json_object();
    json_object_set_new(message, "list", json_amount(kept->id));
    json_object_set_new(message, "total", json_amount(kept->count));
    json_object_set_new(message, "rows", rows);
    return message;
}

void kept_samples_add(struct kept_samples *kept, const struct statuspage_sample *sample)
{
    kept->ring[kept->count++ % STATUSPAGE_SAMPLES] = *sample;
}

static json_t *point(double value)
{
    return value < 0 ? json_null() : json_real((double)(int64_t)(value * 1000.0 + 0.5) / 1000.0);
}

json_t *kept_samples_next(const struct kept_samples *kept, uint64_t *seen)
{
    uint64_t oldest = kept->count > STATUSPAGE_SAMPLES ? kept->count - STATUSPAGE_SAMPLES : 0;
    uint64_t i = *seen > oldest ? *seen : oldest;
    if (i == kept->count)
        return NULL;
    json_t *list = json_array();
    for (; i < kept->count; i++) {
        const struct statuspage_sample *s = &kept->ring[i % STATUSPAGE_SAMPLES];
        json_t *row = json_array();
        json_array_append_new(row, json_integer(s->wall_us / 1000000));
        json_array_append_new(row, point(s->capture_bytes));
        json_array_append_new(row, point(s->apply_bytes));
        json_array_append_new(row, point(s->capture_s));
        json_array_append_new(row, point(s->apply_s));
        json_array_append_new(row, point(s->captured_per_s));
        json_array_append_new(row, point(s->applied_per_s));
        json_array_append_new(list, row);
    }
    *seen = kept->count;
    return list;
}

void kept_events_add(struct kept_events *kept, const struct statuspage_event *event)
{
    struct kept_event *e = &kept->ring[kept->count % STATUSPAGE_EVENTS];
    e->id = ++kept->count;
    e->wall_us = event->wall_us;
    (void)snprintf(e->role, sizeof e->role, "%s", event->role);
    (void)snprintf(e->level, sizeof e->level, "%s", event->level);
    (void)snprintf(e->name, sizeof e->name, "%s", event->name);
    (void)snprintf(e->text, sizeof e->text, "%s", event->text);
    utf8_make_valid(e->text); /* it may have been cut within a character */
}

json_t *kept_events_after(const struct kept_events *kept, uint64_t after, const char *role)
{
    uint64_t oldest = kept->count > STATUSPAGE_EVENTS ? kept->count - STATUSPAGE_EVENTS : 0;
    json_t *list = json_array();
    for (uint64_t i = after > oldest ? after : oldest; i < kept->count; i++) {
        const struct kept_event *e = &kept->ring[i % STATUSPAGE_EVENTS];
        char at[ISO_TIME_MAX];
        if (role != NULL && strcmp(role, e->role) != 0)
            continue;
        json_t *item = json_object();
        json_object_set_new(item, "id", json_amount(e->id));
        json_object_set_new(item, "at", json_string(clock_iso(e->wall_us, at)));
        json_object_set_new(item, "role", json_text(e->role));
        json_object_set_new(item, "level", json_text(e->level));
        json_object_set_new(item, "event", json_text(e->name));
        json_object_set_new(item, "text", json_text(e->text));
        json_array_append_new(list, item);
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}
