/*
 * The status page of a role: what is on it, and who looks on. The page itself is one file without outside parts (schemas/status); it draws what comes as
 * server-sent events. This module knows no database and asks nobody: cli/status_feed.c brings what is to be shown.
 * @thread any, but for _new and _free
 */
#ifndef STATUSPAGE_STATUSPAGE_H
#define STATUSPAGE_STATUSPAGE_H

#include "control/http_pages.h"

#define STATUSPAGE_SAMPLE_EVERY_US INT64_C(15000000)
#define STATUSPAGE_SAMPLES         1440 /* six hours */
#define STATUSPAGE_EVENTS          200

struct statuspage;

/* A point of the charts; negative = not known. */
struct statuspage_sample {
    int64_t wall_us;
    double capture_bytes, apply_bytes, capture_s, apply_s, captured_per_s, applied_per_s;
};

struct statuspage_table {
    const char *name;
    uint64_t rows, estimate; /* estimate 0 = not known */
    bool done;
};

struct statuspage_event {
    const char *role, *level, *name, *text; /* copied, shortened */
    int64_t wall_us;
};

/* Listens to the log from now on (core/log_listen.h): before threads start. role, pipeline: kept by pointer. */
struct statuspage *statuspage_new(const char *role, const char *pipeline);
void statuspage_free(struct statuspage *page); /* after the server and all threads have ended; NULL allowed */
const struct http_pages *statuspage_pages(struct statuspage *page); /* lives as long as the page */

/* Somebody looks on: then it is worth asking the other role. */
bool statuspage_is_watched(struct statuspage *page);
/* … or another role's page, or a terminal, has asked for /page/facts in the last 30 s. */
bool statuspage_wants_facts(struct statuspage *page);

/* What stands there from now on. json: one object, copied. */
void statuspage_show_live(struct statuspage *page, const char *json);
void statuspage_show_facts(struct statuspage *page, const char *json);
void statuspage_show_tables(struct statuspage *page, const struct statuspage_table *tables, size_t count);
void statuspage_add_sample(struct statuspage *page, const struct statuspage_sample *sample);
/* Of another role; this one's own come from the log. */
void statuspage_add_event(struct statuspage *page, const struct statuspage_event *event);

#endif
