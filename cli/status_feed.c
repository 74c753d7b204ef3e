/*
 * Two threads: one asks the roles every second while somebody looks on, else every 15 s for the charts; one asks the target every 30 s while somebody looks on
 * (connections may take long). Only apply's role asks the target: capture's page has it from apply, and no rights there.
 */
#include "status_feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/access.h"
#include "control/status_tables.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/mono_cond.h"
#include "fleet.h"
#include "status_facts.h"
#include "statuspage/statuspage.h"

#define LIVE_EVERY_US   INT64_C(1000000)
#define TABLES_EVERY_US INT64_C(3000000) /* of another role: the whole list travels */
#define FACTS_EVERY_US  INT64_C(30000000)
#define ASK_TIMEOUT_MS  3000
#define PATH_BYTES      80
#define NUMBER_MAX      9007199254740992.0 /* 2^53: what a number of JSON holds exactly */

struct status_feed {
    const char *role;
    const struct config *cfg;
    struct status_board *board;
    struct http_server *server;
    struct statuspage *page;
    pthread_t live_thread, facts_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    /* of the live thread alone */
    int64_t sampled_us, tables_us; /* mono */
    char tables_of[ISO_TIME_MAX];  /* when the copy was over whose tables are shown; "" = none, or it runs */
    char peer_begun[ISO_TIME_MAX];
    uint64_t peer_event;
};

/* False: the end has come. */
static bool feed_waits(struct status_feed *feed, int64_t us)
{
    int64_t until_us = clock_mono_us() + us;
    pthread_mutex_lock(&feed->lock);
    while (!feed->stopping && mono_cond_wait(&feed->wake, &feed->lock, until_us))
        ;
    bool goes_on = !feed->stopping;
    pthread_mutex_unlock(&feed->lock);
    return goes_on;
}

static bool is_capture(const struct status_feed *feed)
{
    return strcmp(feed->role, "capture") == 0;
}

static json_t *own_status(struct status_feed *feed, bool tables)
{
    char *text = status_board_json_with(feed->board, tables ? STATUS_TABLES_LAST : STATUS_TABLES_NONE);
    json_t *own = json_loads(text, 0, NULL);
    free(text);
    json_object_set_new(
        own, "address",
        json_string(config_text(feed->cfg, is_capture(feed) ? "capture.listen" : "apply.listen")));
    return own;
}

/* Another process has said it: any number may come. */
static uint64_t count_of(const json_t *item, const char *key)
{
    double n = fleet_number(item, key);
    return n > 0 ? (uint64_t)MIN_OF(n, NUMBER_MAX) : 0;
}

/* A list that is not there (capture began anew) leaves what was seen before. */
static void show_tables(struct status_feed *feed, const json_t *snapshot)
{
    const json_t *tables = json_object_get(snapshot, "tables"), *item;
    size_t i, count = json_array_size(tables);
    (void)snprintf(feed->tables_of, sizeof feed->tables_of, "%s", fleet_text(snapshot, "finished"));
    if (count == 0)
        return;
    struct statuspage_table *list = xcalloc(count, sizeof *list);
    json_array_foreach(tables, i, item)
    {
        list[i] = (struct statuspage_table){.name = fleet_text(item, "name"),
                                            .rows = count_of(item, "rows"),
                                            .estimate = count_of(item, "estimate"),
                                            .done = fleet_bool(item, "done")};
    }
    statuspage_show_tables(feed->page, list, count);
    free(list);
}

static const char *finished_of(const json_t *role)
{
    return fleet_text(json_object_get(role, "snapshot"), "finished");
}

/* The list of tables: every few seconds of a copy that runs, once of one that is over. */
static bool wants_tables(struct status_feed *feed, const json_t *capture, int64_t now_us)
{
    const char *finished = finished_of(capture);
    int64_t every_us = is_capture(feed) ? LIVE_EVERY_US / 2 : TABLES_EVERY_US;
    bool wants =
        statuspage_is_watched(feed->page) && json_is_object(json_object_get(capture, "snapshot")) &&
        (*finished == '\0' ? now_us - feed->tables_us >= every_us : strcmp(finished, feed->tables_of) != 0);
    if (wants)
        feed->tables_us = now_us;
    return wants;
}

/* Both roles; the list of tables is shown by itself. */
static json_t *ask_roles(struct status_feed *feed, int64_t now_us)
{
    bool own = is_capture(feed), foreign = fleet_is_foreign(feed->cfg);
    json_t *apply = own ? fleet_ask(feed->cfg, "apply", "/status?tables=no") : own_status(feed, false);
    json_t *capture = own       ? own_status(feed, false)
                      : foreign ? json_null()
                                : fleet_ask(feed->cfg, "capture", "/status?tables=no");
    if (!foreign && wants_tables(feed, capture, now_us)) {
        json_t *whole = own ? own_status(feed, true) : fleet_ask(feed->cfg, "capture", "/status?tables=last");
        show_tables(feed, json_object_get(whole, "snapshot"));
        json_decref(whole);
    }
    return fleet_combine(feed->cfg, capture, apply);
}

static void show_live(struct status_feed *feed, json_t *all)
{
    char at[ISO_TIME_MAX];
    json_object_set_new(all, "at", json_string(clock_iso(clock_wall_us(), at)));
    json_object_set_new(all, "gates", status_gates(feed->cfg, all));
    char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(14));
    if (text != NULL)
        statuspage_show_live(feed->page, text);
    free(text);
}

static void add_sample(struct status_feed *feed, const json_t *all)
{
    const json_t *lag = json_object_get(all, "lag");
    struct statuspage_sample sample = {
        .wall_us = clock_wall_us(),
        .capture_bytes = fleet_number(lag, "capture_bytes"),
        .apply_bytes = fleet_number(lag, "apply_bytes"),
        .capture_s = fleet_number(lag, "capture_seconds"),
        .apply_s = fleet_number(lag, "apply_seconds"),
        .captured_per_s = fleet_number(json_object_get(all, "capture"), "changes_per_second"),
        .applied_per_s = fleet_number(json_object_get(all, "apply"), "changes_per_second"),
    };
    statuspage_add_sample(feed->page, &sample);
}

/* GET of the other role as JSON; NULL: it does not answer, which the live figures say already. */
static json_t *ask_peer(const struct status_feed *feed, const char *path)
{
    const char *address = config_text(feed->cfg, is_capture(feed) ? "apply.listen" : "capture.listen");
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    const struct http_access access = http_access_of(feed->cfg);
    if (!http_get(&access, address, path, ASK_TIMEOUT_MS, &body, &status, &err))
        return NULL;
    json_t *answer = status == 200 ? json_loads(body, 0, NULL) : NULL;
    free(body);
    return answer;
}

/* Of clock_iso()'s form. */
static int64_t wall_of(const char *iso)
{
    struct tm tm = {0};
    const char *rest = strptime(iso, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return 0;
    long us = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
    return (int64_t)timegm(&tm) * 1000000 + (us > 0 && us < 1000000 ? us : 0);
}

static void take_peer_events(struct status_feed *feed)
{
    char path[PATH_BYTES];
    size_t i;
    json_t *item;
    if (!is_capture(feed) && fleet_is_foreign(feed->cfg))
        return;
    (void)snprintf(path, sizeof path, "/page/events?after=%llu", (unsigned long long)feed->peer_event);
    json_t *answer = ask_peer(feed, path);
    const char *begun = fleet_text(answer, "begun");
    if (*begun != '\0' &&
        strcmp(begun, feed->peer_begun) != 0) { /* another process: its numbers begin at 1 */
        bool first = feed->peer_begun[0] == '\0';
        (void)snprintf(feed->peer_begun, sizeof feed->peer_begun, "%.*s", ISO_TIME_MAX - 1, begun);
        feed->peer_event = 0;
        if (!first) { /* from the first one, when it is asked next */
            json_decref(answer);
            return;
        }
    }
    json_array_foreach(json_object_get(answer, "events"), i, item)
    {
        double id = fleet_number(item, "id");
        if (!(id > (double)feed->peer_event && id <= NUMBER_MAX))
            continue;
        feed->peer_event = (uint64_t)id;
        statuspage_add_event(feed->page,
                             &(struct statuspage_event){.role = fleet_text(item, "role"),
                                                        .level = fleet_text(item, "level"),
                                                        .name = fleet_text(item, "event"),
                                                        .text = fleet_text(item, "text"),
                                                        .wall_us = wall_of(fleet_text(item, "at"))});
    }
    json_decref(answer);
}

static void *feed_live(void *ctx)
{
    struct status_feed *feed = ctx;
    do {
        int64_t now_us = clock_mono_us();
        bool due = feed->sampled_us == 0 || now_us - feed->sampled_us >= STATUSPAGE_SAMPLE_EVERY_US;
        bool watched = statuspage_is_watched(feed->page);
        if (!due && !watched)
            continue;
        json_t *all = ask_roles(feed, now_us);
        if (due) {
            add_sample(feed, all);
            feed->sampled_us = now_us;
        }
        show_live(feed, all);
        if (watched && !fleet_is_down(json_object_get(all, is_capture(feed) ? "apply" : "capture")))
            take_peer_events(feed);
        json_decref(all);
        http_server_wake(feed->server);
    } while (feed_waits(feed, LIVE_EVERY_US));
    return NULL;
}

static json_t *no_facts(void)
{
    return json_pack("{s:s}", "error", "apply does not answer: it is the role that asks the target");
}

static json_t *read_facts(const struct status_feed *feed)
{
    if (!is_capture(feed))
        return status_facts_read(feed->cfg);
    json_t *facts = ask_peer(feed, "/page/facts");
    /* {}: it has only just been asked; another pipeline's are none of ours. */
    if (json_object_size(facts) == 0 ||
        strcmp(fleet_text(facts, "pipeline"), config_text(feed->cfg, "pipeline")) == 0)
        return facts != NULL ? facts : no_facts();
    json_decref(facts);
    return no_facts();
}

static void *feed_facts(void *ctx)
{
    struct status_feed *feed = ctx;
    int64_t read_us = -FACTS_EVERY_US;
    /* What apply has just been asked for it does not know at once. */
    int64_t every_us = is_capture(feed) ? FACTS_EVERY_US / 6 : FACTS_EVERY_US;
    do {
        int64_t now_us = clock_mono_us();
        if (now_us - read_us < every_us || !statuspage_wants_facts(feed->page))
            continue;
        json_t *facts = read_facts(feed);
        char *text = json_dumps(facts, JSON_COMPACT);
        if (text != NULL)
            statuspage_show_facts(feed->page, text);
        free(text);
        json_decref(facts);
        read_us = clock_mono_us();
        http_server_wake(feed->server);
    } while (feed_waits(feed, LIVE_EVERY_US));
    return NULL;
}

static bool start_threads(struct status_feed *feed, struct err *err)
{
    if (pthread_create(&feed->live_thread, NULL, feed_live, feed) != 0)
        return err_set(err, ERR_NO_MEMORY, "no thread for the status page");
    if (pthread_create(&feed->facts_thread, NULL, feed_facts, feed) == 0)
        return true;
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    pthread_cond_broadcast(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
    (void)pthread_join(feed->live_thread, NULL);
    return err_set(err, ERR_NO_MEMORY, "no thread for the status page");
}

bool status_feed_start(const char *role, const struct config *cfg, struct status_board *board,
                       struct http_server *server, struct status_feed **ret, struct err *err)
{
    struct status_feed *feed = xcalloc(1, sizeof *feed);
    feed->role = role;
    feed->cfg = cfg;
    feed->board = board;
    feed->server = server;
    feed->tables_us = -TABLES_EVERY_US;
    mono_cond_init(&feed->wake);
    if (pthread_mutex_init(&feed->lock, NULL) != 0)
        BUG("no lock for the status page");
    feed->page = statuspage_new(role, config_text(cfg, "pipeline"));
    http_server_serve(server, statuspage_pages(feed->page));
    *ret = feed; /* also when there are no threads: the page is served by then, and goes after the server */
    return start_threads(feed, err);
}

void status_feed_stop(struct status_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    pthread_cond_broadcast(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
    (void)pthread_join(feed->live_thread, NULL);
    (void)pthread_join(feed->facts_thread, NULL);
}

void status_feed_free(struct status_feed *feed)
{
    if (feed == NULL)
        return;
    statuspage_free(feed->page);
    (void)pthread_cond_destroy(&feed->wake);
    (void)pthread_mutex_destroy(&feed->lock);
    free(feed);
}
