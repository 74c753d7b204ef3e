/* crossfade status --watch: asks the roles every second and draws what they say. It needs no database: verdicts come from apply's status page. */
#include "status_watch.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/access.h"
#include "core/clock.h"
#include "fleet.h"
#include "status_facts.h"
#include "status_picture.h"

#define EVERY_MS       1000
#define ASK_TIMEOUT_MS 2000
#define FACTS_EVERY_US INT64_C(5000000)
#define TEXT_BYTES_MAX ((size_t)256 << 10)

struct watch {
    const struct cli *cli;
    struct terminal term;
    struct status_picture picture;
    json_t *facts;
    int64_t facts_us;            /* mono */
    double seen[2];              /* last event of capture, apply */
    char begun[2][ISO_TIME_MAX]; /* of the process whose events they were */
};

/* Wakes nanosleep: the window has another size. */
static void on_resize(int number)
{
    (void)number;
}

static json_t *ask(const struct config *cfg, const char *address, const char *path)
{
    char *body = NULL;
    int status = 0;
    struct err err = ERR_INIT;
    const struct http_access access = http_access_of(cfg);
    if (!http_get(&access, address, path, ASK_TIMEOUT_MS, &body, &status, &err))
        return NULL;
    json_t *answer = status == 200 ? json_loads(body, 0, NULL) : NULL;
    free(body);
    json_t *plain = answer != NULL ? fleet_plain(answer) : NULL;
    json_decref(answer);
    return plain;
}

/* What is said again and again takes one line: its newest, and how often. */
static void add_event(json_t *events, json_t *event)
{
    static const char *const same[] = {"role", "event", "text"};
    const json_t *last = json_array_get(events, json_array_size(events) - 1);
    double times = fleet_number(last, "times");
    bool again = last != NULL;
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        again = again && strcmp(fleet_text(last, same[i]), fleet_text(event, same[i])) == 0;
    if (again) {
        json_object_set_new(event, "times", json_real(times > 0 ? times + 1 : 2));
        (void)json_array_remove(events, json_array_size(events) - 1);
    }
    json_array_append(events, event);
}

static void take_events(struct watch *w, const struct config *cfg, int role, const char *address)
{
    char path[64];
    size_t i;
    json_t *event;
    (void)snprintf(path, sizeof path, "/page/events?after=%.0f", w->seen[role]);
    json_t *answer = ask(cfg, address, path);
    const char *begun = fleet_text(answer, "begun");
    if (*begun != '\0' && strcmp(begun, w->begun[role]) != 0) {
        (void)snprintf(w->begun[role], sizeof w->begun[role], "%.*s", ISO_TIME_MAX - 1, begun);
        if (w->seen[role] > 0) { /* another process counts anew: it is asked for all, in a second */
            w->seen[role] = 0;
            json_decref(answer);
            return;
        }
    }
    json_array_foreach(json_object_get(answer, "events"), i, event)
    {
        w->seen[role] = fleet_number(event, "id");
        add_event(w->picture.events, event);
    }
    while (json_array_size(w->picture.events) > PICTURE_EVENTS)
        (void)json_array_remove(w->picture.events, 0);
    json_decref(answer);
}

static void ask_pages(struct watch *w, const json_t *all)
{
    const struct config *cfg = w->cli->cfg;
    int64_t now_us = clock_mono_us();
    bool apply = !fleet_is_down(json_object_get(all, "apply"));
    bool capture = !fleet_is_foreign(cfg) && !fleet_is_down(json_object_get(all, "capture"));
    if (apply && (w->facts == NULL || now_us - w->facts_us >= FACTS_EVERY_US)) {
        json_t *facts = ask(cfg, config_text(cfg, "apply.listen"), "/page/facts");
        json_decref(w->facts);
        w->facts = facts;
        w->facts_us = now_us;
    }
    if (capture)
        take_events(w, cfg, 0, config_text(cfg, "capture.listen"));
    if (apply)
        take_events(w, cfg, 1, config_text(cfg, "apply.listen"));
}

/* Over the picture of a second ago, without a blank screen in between. */
static void draw(struct watch *w, const char *text)
{
    struct terminal before = w->term;
    terminal_look(&w->term); /* each time: the window may change */
    w->term.redraws = w->term.is_terminal;
    if (w->term.is_terminal && (before.width != w->term.width || before.height != w->term.height))
        (void)fputs("\033[2J", stdout);
    if (w->term.is_terminal)
        (void)fputs("\033[H", stdout);
    terminal_write(&w->term, text);
    if (w->term.is_terminal)
        (void)fputs("\033[J", stdout);
    (void)fflush(stdout);
}

static void show_picture(struct watch *w, const json_t *all)
{
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    struct status_picture *p = &w->picture;
    char now[ISO_TIME_MAX];
    json_t *plain = fleet_plain(all), *gates = status_gates(w->cli->cfg, plain);
    p->all = plain;
    p->gates = gates;
    p->now = clock_iso(clock_wall_us(), now);
    p->lags[p->lag_count++ % PICTURE_LAGS] = fleet_number(all, "lag_seconds");
    if (w->term.is_terminal) {
        struct terminal size;
        ask_pages(w, all);
        p->facts = w->facts;
        terminal_look(&size);
        status_picture_draw(&size, p, &out);
    } else {
        status_picture_line(p, &out);
    }
    draw(w, out.data);
    strbuf_release(&out);
    json_decref(gates);
    json_decref(plain);
}

static void show_json(const json_t *all)
{
    char *line = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(14));
    (void)puts(line != NULL ? line : "{}");
    (void)fflush(stdout);
    free(line);
}

int status_watch(const struct cli *cli, bool as_json)
{
    struct watch w = {.cli = cli, .picture = {.events = json_array()}};
    struct sigaction resized = {.sa_handler = on_resize};
    cli_signals_end_well();
    (void)setlocale(LC_CTYPE, "");
    terminal_look(&w.term);
    (void)sigaction(SIGWINCH, &resized, NULL);
    if (w.term.is_terminal && !as_json)
        (void)fputs("\033[2J", stdout);
    while (!ferror(stdout)) {
        json_t *all = fleet_status(cli->cfg);
        if (as_json)
            show_json(all);
        else
            show_picture(&w, all);
        json_decref(all);
        (void)nanosleep(&(struct timespec){.tv_sec = EVERY_MS / 1000}, NULL);
    }
    json_decref(w.facts);
    json_decref(w.picture.events);
    return CLI_EXIT_NOT_RUN;
}
