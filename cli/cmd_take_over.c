/*
 * crossfade take-over PIPELINE: what a rollback, or a cutover behind one, starts to be led to its end should it be killed behind its decision
 * (cutover/take_over.h). For nobody else: the configuration is its input, and descriptor 3 a socket to the process before it.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "core/child.h"
#include "cutover/take_over.h"

#define INPUT_BYTES_MAX ((size_t)4 << 20)

static bool read_input(struct strbuf *out, struct err *err)
{
    char bytes[8192];
    ssize_t n;
    while ((n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0)
            strbuf_add(out, bytes, (size_t)n);
    }
    return n < 0 ? err_set_errno(err, errno, "standard input") : strbuf_ok(out, "standard input", err);
}

static bool read_config(struct config **ret, struct err *err)
{
    struct strbuf text = STRBUF_INIT(INPUT_BYTES_MAX);
    bool ok = read_input(&text, err) && config_unpack(text.data, text.len, ret, err);
    strbuf_release(&text);
    return ok;
}

static void say(void *ctx, const char *text)
{
    (void)ctx;
    log_event(LOG_LEVEL_INFO, "cutover", "text=\"%s\"", text);
}

/* Behind the decision there is nothing that a signal could undo; and a service manager that has lost the process before us sends us one at once. */
static bool stop_asked(void *ctx)
{
    (void)ctx;
    return false;
}

static int take_over(struct cli *cli)
{
    const struct cutover_talk talk = {.say = say, .stop_asked = stop_asked, .stop_fd = -1};
    const char *pipeline = config_text(cli->cfg, "pipeline");
    const char *verb = config_is_reversed(cli->cfg) ? "rollback" : "cutover";
    struct cutover_report report = {0};
    struct err err = ERR_INIT;
    bool done = false;
    log_event(
        LOG_LEVEL_WARN, "cutover_orphaned",
        "pipeline=%s text=\"the process of the %s is gone at its decision: if that was taken, it is led "
        "to its end here\"",
        pipeline, verb);
    bool ok = cutover_take_over(cli->cfg, &talk, &done, &report, &err);
    if (!ok)
        log_event(LOG_LEVEL_ERROR, "cutover_taken_over",
                  "pipeline=%s cutover=%s text=\"%s. Hint: `crossfade %s resume`\"", pipeline, report.id,
                  err.text, verb);
    else
        log_event(LOG_LEVEL_INFO, "cutover_taken_over", "pipeline=%s cutover=%s text=\"%s\"", pipeline,
                  report.id, done ? report.outcome : "nothing is left to do");
    int code = !ok ? CUTOVER_EXIT_PERSON : done ? cutover_exit_code(&report) : CLI_EXIT_OK;
    cutover_report_release(&report);
    return code;
}

int cmd_take_over(struct cli *cli)
{
    struct stat st;
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    if (fstat(CHILD_SOCKET_FD, &st) != 0 || !S_ISSOCK(st.st_mode))
        return cli_usage_error(cli,
                               "a rollback starts this by itself; `crossfade rollback resume` is for people");
    if (!read_config(&cfg, &err))
        return cli_error(cli, &err);
    cli->cfg = cfg;
    cli_log_as_role(cli);
    int code = cutover_await_orphan(CHILD_SOCKET_FD) ? take_over(cli) : CLI_EXIT_OK;
    cli->cfg = NULL;
    config_free(cfg);
    return code;
}
