/* crossfade compare shadow: reads of the workload on both sides. */
#include "compare_shadow.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "compare/shadow/shadow.h"
#include "terminal.h"

#define TEXT_BYTES_MAX ((size_t)16 << 20)

static void show_progress(void *ctx, const char *text)
{
    if (*(bool *)ctx)
        fprintf(stderr, "\r\033[K%s", text);
}

static void print_result(const struct shadow_result *result, bool all)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    shadow_text(result, all, &out);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

int compare_shadow(struct cli *cli)
{
    bool redraw = isatty(STDERR_FILENO) == 1;
    int64_t seed = 0;
    struct shadow_result *result = NULL;
    struct err err = ERR_INIT;
    if (!cli_flag_int(cli, "seed", 1, INT64_MAX, 0, &seed))
        return CLI_EXIT_USAGE;
    const struct shadow_request req = {.live = cli_flag(cli, "live") != NULL,
                                       .seed = (uint64_t)seed,
                                       .report_dir = cli_flag(cli, "report-dir"),
                                       .stop_fd = cli->stop_fd,
                                       .progress = show_progress,
                                       .progress_ctx = &redraw};
    bool ok = shadow_run(cli->cfg, &req, &result, &err);
    if (redraw)
        fputs("\r\033[K", stderr);
    if (!ok)
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    if (cli_flag(cli, "json") != NULL)
        fputs(shadow_json(result), stdout);
    else
        print_result(result, cli_flag(cli, "verbose") != NULL);
    int code = compare_exit_code(shadow_verdict(result));
    if (cli_flag(cli, "junit") != NULL && !shadow_write_junit(result, cli_flag(cli, "junit"), &err))
        code = cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    shadow_result_free(result);
    return code;
}
