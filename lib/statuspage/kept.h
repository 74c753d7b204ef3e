/* What a status page keeps, each of it bounded: tables, points of charts, events. Private to this module; the page's lock is held. */
#ifndef STATUSPAGE_KEPT_H
#define STATUSPAGE_KEPT_H

#include <jansson.h>

#include "statuspage.h"

struct kept_table {
    char *name;
    uint64_t rows, estimate;
    bool done;
    uint64_t changed_at; /* turn in which it came to be what it is */
};

/* A list of tables: another one (other names) has another id, and begins anew for everybody. */
struct kept_tables {
    struct kept_table *items;
    size_t count;
    uint64_t id, turn;
};

/* How far a client has seen it. */
struct tables_seen {
    uint64_t id, turn,
        pass_turn; /* all that changed up to `turn` was sent; a pass sends the rest up to pass_turn */
    size_t at;     /* where the pass stands; 0 = none is under way */
};

void kept_tables_set(struct kept_tables *kept, const struct statuspage_table *tables, size_t count);
void kept_tables_release(struct kept_tables *kept);
/* The next rows that changed, some hundred at most: {"list", "total", "rows": [[n, name, rows, estimate, done], …]}; NULL = nothing new. */
json_t *kept_tables_next(const struct kept_tables *kept, struct tables_seen *seen);

struct kept_samples {
    struct statuspage_sample ring[STATUSPAGE_SAMPLES];
    uint64_t count; /* ever taken */
};

void kept_samples_add(struct kept_samples *kept, const struct statuspage_sample *sample);
/* [[s since 1970, capture bytes, apply bytes, capture s, apply s, captured/s, applied/s], …], null = not known; NULL = nothing new. */
json_t *kept_samples_next(const struct kept_samples *kept, uint64_t *seen);

#define KEPT_EVENT_TEXT 400

struct kept_event {
    uint64_t id;
    int64_t wall_us;
    char role[12], level[8], name[48], text[KEPT_EVENT_TEXT];
};

struct kept_events {
    struct kept_event ring[STATUSPAGE_EVENTS];
    uint64_t count;
};

void kept_events_add(struct kept_events *kept, const struct statuspage_event *event);
/* Those behind `after`; role NULL = of all. NULL = none. */
json_t *kept_events_after(const struct kept_events *kept, uint64_t after, const char *role);

#endif
