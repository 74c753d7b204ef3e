/* Runs a role: board, desk and HTTP server live as long as it does, and its end is bounded (end_guard.h). What is asked of it from outside is noted in the audit chain first. */
#include "role.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit_note.h"
#include "config/changes.h"
#include "control/access.h"
#include "control/desk.h"
#include "control/http_guard.h"
#include "control/role_alerts.h"
#include "control/service.h"
#include "core/clock.h"
#include "core/line_watch.h"
#include "core/log_level.h"
#include "end_guard.h"
#include "status_feed.h"
#include "json/text.h"

/* Of the end: alerts_free() itself ends before that, unless a command does not hear. */
#define ALERTS_MS 8000
#define FEED_MS   4000
#define DESK_MS   4000

struct role {
    struct cli *cli;
    struct status_board *board;
    struct http_server *server;
    const struct config *now; /* that holds; the desk's, once it was read again. @thread the desk's */
    struct end_guard *guard;  /* NULL: it runs */
    struct err end;           /* how it has ended; read by the guard's thread */
};

/* What /status says until the role publishes for the first time. */
static void publish_starting(const struct cli *cli, struct status_board *board)
{
    struct role_status status = {.role = cli->command->name,
                                 .phase = PHASE_STARTING,
                                 .phase_since_us = clock_wall_us(),
                                 .retained_wal_bytes = -1,
                                 .safe_wal_bytes = -1};
    strncpy(status.pipeline, config_text(cli->cfg, "pipeline"), sizeof status.pipeline - 1);
    status_board_publish(board, &status);
}

/* --- what the desk asks of the process --- */

static json_t *detail_of(const struct role *r, const struct desk_order *order)
{
    json_t *detail = json_pack("{s:s, s:o, s:s}", "role", r->cli->command->name, "who", json_text(order->who),
                               "from", order->from);
    if (detail == NULL)
        BUG("no memory for JSON");
    if (order->reason[0] != '\0')
        json_object_set_new(detail, "reason", json_text(order->reason));
    if (order->verb == DESK_THROTTLE)
        json_object_set_new(detail, "rows_per_second",
                            order->rows_per_second >= 0 ? json_integer(order->rows_per_second) : json_null());
    return detail;
}

static bool note_detail(struct role *r, const struct desk_order *order, json_t *detail, struct err *err)
{
    char event[64];
    (void)snprintf(event, sizeof event, "control.%s", desk_verb_name(order->verb));
    if (config_text(r->cli->cfg, "target.url") != NULL)
        return audit_note(r->cli, event, detail, true, err);
    json_decref(detail);
    log_event(LOG_LEVEL_WARN, "not_audited",
              "event=%s text=\"the audit chain is on the target, and this role has no target.url\"", event);
    return true;
}

static bool note(void *ctx, const struct desk_order *order, struct err *err)
{
    struct role *r = ctx;
    return note_detail(r, order, detail_of(r, order), err);
}

static bool tokens_fit(const struct config *cfg, struct err *err)
{
    struct http_tokens *tokens = NULL;
    const char *path = config_text(cfg, "control.token_file");
    if (path == NULL)
        return true;
    if (!http_tokens_read(path, &tokens, err))
        return false;
    http_tokens_free(tokens);
    return true;
}

/* Refused whole, before anything has changed. */
static bool may_be_taken(const struct role *r, const struct config *fresh, struct strbuf *live,
                         struct err *err)
{
    struct strbuf fixed = STRBUF_INIT(4000);
    config_changes(r->now, fresh, r->cli->command->name, live, &fixed);
    bool ok = fixed.len == 0 && !fixed.failed;
    if (!ok)
        err_set(err, ERR_REFUSED, "a new value of %.600s needs a restart of %s", fixed.data,
                r->cli->command->name);
    strbuf_release(&fixed);
    return ok && desk_config_fits(status_board_desk(r->board), fresh, err) && tokens_fit(fresh, err);
}

static bool note_reload(struct role *r, const struct desk_order *order, const char *changed, struct err *err)
{
    json_t *detail = detail_of(r, order);
    json_object_set_new(detail, "changed", json_text(changed));
    return note_detail(r, order, detail, err) || err_wrap(err, "it cannot be noted in the audit chain");
}

static bool take_config(struct role *r, const struct desk_order *order, struct config *fresh,
                        struct strbuf *said, struct err *err)
{
    struct strbuf live = STRBUF_INIT(4000);
    bool ok = may_be_taken(r, fresh, &live, err) && note_reload(r, order, live.data, err);
    if (ok) {
        log_set_level(cli_log_level(fresh));
        desk_set_config(status_board_desk(r->board), fresh);
        r->now = fresh;
        if (live.len > 0)
            strbuf_addf(said, "taken up: %s", live.data);
        else
            strbuf_adds(said, "no option has changed");
    }
    strbuf_release(&live);
    return ok;
}

/* A token that was taken away is to be one no more whatever else stands in the configuration, and whether or not the target can be reached:
 * the file counts by itself. One that does not read is told by what refuses the rest. */
static const char *read_tokens(const struct role *r)
{
    struct err cannot = ERR_INIT;
    if (config_text(r->cli->cfg, "control.token_file") == NULL)
        return "nothing is changed";
    return http_server_reload(r->server, &cannot)
               ? "the tokens were read again; of the configuration nothing is changed"
               : "nothing is changed, the old tokens still hold";
}

static bool reload(void *ctx, const struct desk_order *order, struct strbuf *said, struct err *err)
{
    struct role *r = ctx;
    struct config *fresh = NULL;
    struct strbuf problems = STRBUF_INIT(64 << 10);
    service_reloading();
    const char *else_what = read_tokens(r);
    bool ok = cli_load_again(r->cli, &problems, &fresh, err);
    strbuf_release(&problems); /* the first is in *err */
    if (ok && !take_config(r, order, fresh, said, err)) {
        config_free(fresh);
        ok = false;
    }
    service_reloaded(); /* with what it has, or had */
    return ok || err_wrap(err, "%s", else_what);
}

static void stop(void *ctx UNUSED)
{
    (void)kill(getpid(), SIGTERM);
}

static void on_hup(void *ctx, unsigned uid)
{
    struct role *r = ctx;
    struct desk_order order = {.verb = DESK_RELOAD, .from = "this machine"};
    (void)snprintf(order.who, sizeof order.who, "SIGHUP of uid %u", uid);
    if (!desk_submit(status_board_desk(r->board), &order, NULL, NULL))
        log_event(LOG_LEVEL_WARN, "control_refused", "verb=reload text=\"too many commands wait already\"");
}

/* --- the run --- */

static int code_of(const struct err *end)
{
    return err_is_set(end) ? err_exit_code(end->code) : CLI_EXIT_OK;
}

static void last_word(void *ctx)
{
    const struct role *r = ctx;
    int code = code_of(&r->end);
    if (code == CLI_EXIT_OK)
        log_event(LOG_LEVEL_INFO, "stopped", "exit_code=0");
    else
        log_event(LOG_LEVEL_ERROR, "halted", "exit_code=%d class=%s text=\"%s\"", code,
                  err_code_name(r->end.code), r->end.text);
}

/* From here on nothing that belongs to it is worth waiting for long. */
static void begin_end(struct role *r, bool good, const struct err *err)
{
    if (!good)
        r->end = *err;
    r->guard = end_guard_start(code_of(&r->end), last_word, r);
    if (r->guard != NULL) /* else the signals' own bound is all there is */
        cli_signals_ends(code_of(&r->end));
}

static bool serve(struct role *r, const char *listen_key, role_run_fn *run, struct err *err)
{
    const struct cli *cli = r->cli;
    struct status_feed *feed = NULL;
    const struct http_settings settings = http_settings_of(cli->cfg);
    const struct desk_hooks hooks = {.ctx = r, .note = note, .reload = reload, .stop = stop};
    if (!http_server_start(config_text(cli->cfg, listen_key), &settings, r->board, &r->server, err))
        return err_wrap(err, "%s", listen_key);
    desk_open(status_board_desk(r->board), &hooks);
    cli_signals_on_hup(on_hup, r);
    bool good = status_feed_start(cli->command->name, cli->cfg, r->board, r->server, &feed, err);
    if (good) {
        log_event(LOG_LEVEL_INFO, "started", "version=%s pipeline=%s listen=%s port=%d", CF_VERSION,
                  config_text(cli->cfg, "pipeline"), config_text(cli->cfg, listen_key),
                  http_server_port(r->server));
        struct role_alerts *alerts = role_alerts_start(cli->cfg, r->board);
        struct service *service = service_start(r->board, cli->stop_fd);
        line_watch_start(LINE_SILENT_MS);
        good = run(cli->cfg, r->board, cli->stop_fd, err);
        line_watch_stop();
        begin_end(r, good, err);
        service_stop(service, good ? NULL : err->text);
        end_guard_step(r->guard, "alerts", ALERTS_MS);
        role_alerts_stop(alerts);
        end_guard_step(r->guard, "status_page", FEED_MS);
        status_feed_stop(feed);
    } else {
        begin_end(r, good, err);
    }
    cli_signals_on_hup(NULL, NULL);
    end_guard_step(r->guard, "commands", DESK_MS);
    http_server_stop(r->server);
    status_feed_free(feed);
    return good;
}

int role_main(struct cli *cli, const char *listen_key, role_run_fn *run)
{
    if (cli->arg_count > 1 || (cli->arg_count == 1 && strcmp(cli->args[0], "run") != 0))
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[cli->arg_count - 1]);
    struct err err = ERR_INIT;
    struct role r = {.cli = cli, .board = status_board_new(), .now = cli->cfg};
    publish_starting(cli, r.board);
    bool good = serve(&r, listen_key, run, &err);
    end_guard_stop(r.guard);
    if (!good)
        r.end = err;
    status_board_free(r.board);
    last_word(&r);
    return code_of(&r.end);
}
