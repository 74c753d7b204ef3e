/*
 * Owns: the state of a status page and what each client has seen of it. A client has no queue: whenever it has taken what was sent, it gets the difference
 * between what it has seen and what is so now.
 */
#include "statuspage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/html.h"
#include "core/log_listen.h"
#include "core/seal.h"
#include "kept.h"
#include "sql/embedded.h"

#define PAGE_BYTES_MAX ((size_t)1 << 20)
#define STREAM_PATH    "/page/stream"
#define ASKED_FOR_US   INT64_C(30000000)

struct text_version {
    char *json;
    uint64_t version;
};

struct statuspage {
    pthread_mutex_t lock;
    const char *role, *pipeline;
    struct http_pages pages;
    char *html, *policy;
    char begun[ISO_TIME_MAX]; /* tells another role's page that event numbers began anew */
    size_t clients;
    int64_t asked_us; /* mono */
    struct text_version live, facts;
    struct kept_tables tables;
    struct kept_samples samples;
    struct kept_events events;
};

struct client {
    struct statuspage *page;
    bool greeted;
    uint64_t live, facts, samples, events;
    struct tables_seen tables;
};

/* --- the page --- */

static void add_hash(struct strbuf *policy, const char *html, const char *begin, const char *end)
{
    char digest[SHA256_BASE64];
    const char *from = strstr(html, begin);
    const char *to = from != NULL ? strstr(from, end) : NULL;
    if (to != NULL && sha256_base64(from + strlen(begin), (size_t)(to - from) - strlen(begin), digest))
        strbuf_addf(policy, "'sha256-%s'", digest);
    else
        strbuf_adds(policy, "'none'");
}

/* Nothing runs and nothing colours but what we wrote, nothing is fetched but from here, nobody frames it. */
static char *make_policy(const char *html)
{
    struct strbuf policy = STRBUF_INIT(2000);
    strbuf_adds(&policy, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                         "connect-src 'self'; img-src data:; style-src ");
    add_hash(&policy, html, "<style>", "</style>");
    strbuf_adds(&policy, "; script-src ");
    add_hash(&policy, html, "<script>", "</script>");
    return strbuf_detach(&policy);
}

static char *make_html(const char *role, const char *pipeline)
{
    struct strbuf out = STRBUF_INIT(PAGE_BYTES_MAX);
    const char *rest = html_add_until_mark(&out, embedded_status_page_html);
    html_add_text(&out, pipeline);
    strbuf_addf(&out, " · %s", role);
    rest = html_add_until_mark(&out, rest);
    strbuf_adds(&out, embedded_report_style_css);
    strbuf_adds(&out, embedded_status_style_css);
    rest = html_add_until_mark(&out, rest);
    html_add_text(&out, pipeline);
    strbuf_adds(&out, rest);
    strbuf_adds(&out, embedded_status_script_html);
    return strbuf_detach(&out);
}

static char *events_json(struct statuspage *page, uint64_t after)
{
    json_t *list = kept_events_after(&page->events, after, page->role);
    json_t *root = json_object();
    json_object_set_new(root, "begun", json_string(page->begun));
    json_object_set_new(root, "events", list != NULL ? list : json_array());
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

static bool get_page(void *ctx, const char *path, uint64_t after, struct http_page *ret)
{
    struct statuspage *page = ctx;
    if (strcmp(path, "/") == 0) {
        *ret = (struct http_page){
            .body = xstrdup(page->html), .type = "text/html; charset=utf-8", .policy = page->policy};
        return true;
    }
    bool events = strcmp(path, "/page/events") == 0;
    if (!events && strcmp(path, "/page/facts") != 0)
        return false;
    pthread_mutex_lock(&page->lock);
    if (!events) /* not for events: two roles' pages would keep each other awake */
        page->asked_us = clock_mono_us();
    char *body =
        events ? events_json(page, after) : xstrdup(page->facts.json != NULL ? page->facts.json : "{}");
    pthread_mutex_unlock(&page->lock);
    *ret = (struct http_page){.body = body != NULL ? body : xstrdup("{}"), .type = "application/json"};
    return true;
}

/* --- the stream --- */

static void *open_client(void *ctx)
{
    struct statuspage *page = ctx;
    struct client *client = xcalloc(1, sizeof *client);
    client->page = page;
    pthread_mutex_lock(&page->lock);
    page->clients++;
    pthread_mutex_unlock(&page->lock);
    return client;
}

static void close_client(void *ctx)
{
    struct client *client = ctx;
    pthread_mutex_lock(&client->page->lock);
    client->page->clients--;
    pthread_mutex_unlock(&client->page->lock);
    free(client);
}

static void add_text(struct strbuf *out, const char *event, const char *json)
{
    strbuf_addf(out, "event: %s\ndata: ", event);
    strbuf_adds(out, json);
    strbuf_adds(out, "\n\n");
}

/* Takes the message. */
static void add_message(struct strbuf *out, const char *event, json_t *message)
{
    if (message == NULL)
        return;
    char *text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(14));
    json_decref(message);
    if (text != NULL)
        add_text(out, event, text);
    free(text);
}

static void add_version(struct strbuf *out, const char *event, const struct text_version *now, uint64_t *seen)
{
    if (*seen == now->version)
        return;
    add_text(out, event, now->json);
    *seen = now->version;
}

static void greet(struct strbuf *out, const struct statuspage *page)
{
    add_message(out, "hello",
                json_pack("{s:s, s:s, s:s, s:I, s:i}", "role", page->role, "pipeline", page->pipeline,
                          "version", CF_VERSION, "sample_every_s",
                          (json_int_t)(STATUSPAGE_SAMPLE_EVERY_US / 1000000), "samples", STATUSPAGE_SAMPLES));
}

static void next_message(void *ctx, struct strbuf *out)
{
    struct client *client = ctx;
    struct statuspage *page = client->page;
    pthread_mutex_lock(&page->lock);
    if (!client->greeted)
        greet(out, page);
    client->greeted = true;
    add_version(out, "live", &page->live, &client->live);
    add_version(out, "facts", &page->facts, &client->facts);
    add_message(out, "history", kept_samples_next(&page->samples, &client->samples));
    add_message(out, "events", kept_events_after(&page->events, client->events, NULL));
    client->events = page->events.count;
    add_message(out, "tables", kept_tables_next(&page->tables, &client->tables));
    pthread_mutex_unlock(&page->lock);
}

/* --- what is shown --- */

static void take_event(void *ctx, const char *level, const char *event, const char *text)
{
    struct statuspage *page = ctx;
    statuspage_add_event(
        page,
        &(struct statuspage_event){
            .role = page->role, .level = level, .name = event, .text = text, .wall_us = clock_wall_us()});
}

struct statuspage *statuspage_new(const char *role, const char *pipeline)
{
    struct statuspage *page = xcalloc(1, sizeof *page);
    if (pthread_mutex_init(&page->lock, NULL) != 0)
        BUG("pthread_mutex_init failed");
    page->role = role;
    page->pipeline = pipeline;
    page->asked_us = -ASKED_FOR_US;
    clock_iso(clock_wall_us(), page->begun);
    page->html = make_html(role, pipeline);
    page->policy = make_policy(page->html);
    page->pages = (struct http_pages){.ctx = page,
                                      .get = get_page,
                                      .stream_path = STREAM_PATH,
                                      .stream_open = open_client,
                                      .stream_next = next_message,
                                      .stream_close = close_client};
    log_listen(take_event, page);
    return page;
}

void statuspage_free(struct statuspage *page)
{
    if (page == NULL)
        return;
    log_listen(NULL, NULL);
    kept_tables_release(&page->tables);
    free(page->live.json);
    free(page->facts.json);
    free(page->html);
    free(page->policy);
    pthread_mutex_destroy(&page->lock);
    free(page);
}

const struct http_pages *statuspage_pages(struct statuspage *page)
{
    return &page->pages;
}

bool statuspage_is_watched(struct statuspage *page)
{
    pthread_mutex_lock(&page->lock);
    bool watched = page->clients > 0;
    pthread_mutex_unlock(&page->lock);
    return watched;
}

bool statuspage_wants_facts(struct statuspage *page)
{
    pthread_mutex_lock(&page->lock);
    bool wanted = page->clients > 0 || clock_mono_us() - page->asked_us < ASKED_FOR_US;
    pthread_mutex_unlock(&page->lock);
    return wanted;
}

static void show(struct statuspage *page, struct text_version *what, const char *json)
{
    char *copy = xstrdup(json);
    pthread_mutex_lock(&page->lock);
    free(what->json);
    what->json = copy;
    what->version++;
    pthread_mutex_unlock(&page->lock);
}

void statuspage_show_live(struct statuspage *page, const char *json)
{
    show(page, &page->live, json);
}

void statuspage_show_facts(struct statuspage *page, const char *json)
{
    show(page, &page->facts, json);
}

void statuspage_show_tables(struct statuspage *page, const struct statuspage_table *tables, size_t count)
{
    pthread_mutex_lock(&page->lock);
    kept_tables_set(&page->tables, tables, count);
    pthread_mutex_unlock(&page->lock);
}

void statuspage_add_sample(struct statuspage *page, const struct statuspage_sample *sample)
{
    pthread_mutex_lock(&page->lock);
    kept_samples_add(&page->samples, sample);
    pthread_mutex_unlock(&page->lock);
}

void statuspage_add_event(struct statuspage *page, const struct statuspage_event *event)
{
    pthread_mutex_lock(&page->lock);
    kept_events_add(&page->events, event);
    pthread_mutex_unlock(&page->lock);
}
