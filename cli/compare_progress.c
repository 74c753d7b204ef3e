/* Owns: how a comparison's progress is shown. See compare_progress.h. */
#include "compare_progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "terminal.h"

#define QUIET_TELL_US INT64_C(5000000)
#define SECOND_US     INT64_C(1000000)

void compare_talker_init(struct compare_talker *talker)
{
    *talker = (struct compare_talker){.redraw = isatty(STDERR_FILENO) == 1};
}

static void add_share(struct strbuf *line, const struct compare_progress *p)
{
    double seconds = (double)p->elapsed_us / 1e6;
    double rate = seconds > 0.2 ? (double)p->rows_done / seconds : 0;
    strbuf_addf(line, "comparing: %zu of %zu tables", p->tables_done, p->tables_total);
    if (p->tables_failed > 0)
        strbuf_addf(line, " (%zu differ)", p->tables_failed);
    strbuf_adds(line, ", ");
    human_count(line, (double)p->rows_done);
    strbuf_adds(line, " rows");
    if (rate > 0) {
        strbuf_adds(line, ", ");
        human_count(line, rate);
        strbuf_adds(line, " rows/s");
    }
    if (rate > 0 && p->rows_estimate > p->rows_done) {
        strbuf_adds(line, ", about ");
        human_seconds(line, (double)(p->rows_estimate - p->rows_done) / rate);
        strbuf_adds(line, " left");
    }
    if (p->waits_for != WAIT_NONE)
        strbuf_addf(line, ", waits: %s", compare_wait_name(p->waits_for));
    if (p->waited_us > SECOND_US) {
        strbuf_adds(line, ", waited ");
        human_seconds(line, (double)p->waited_us / 1e6);
    }
}

void compare_talker_show(void *ctx, const struct compare_progress *p)
{
    struct compare_talker *talker = ctx;
    struct strbuf line = STRBUF_INIT(4096);
    if (p->elapsed_us < talker->told_us) /* another stage */
        talker->told_us = 0;
    bool slow = strcmp(p->stage, "fence") == 0 || p->waits_for != WAIT_NONE;
    if (strcmp(p->stage, "compare") != 0)
        strbuf_addf(&line, "%s: %s", p->stage, p->text);
    else
        add_share(&line, p);
    if (talker->redraw) {
        fprintf(stderr, "\r\033[K%s", line.data);
        fflush(stderr);
        talker->drawn = true;
    } else if (slow && p->elapsed_us - talker->told_us > QUIET_TELL_US) {
        fprintf(stderr, "%s\n", line.data);
        talker->told_us = p->elapsed_us;
    }
    strbuf_release(&line);
}

void compare_talker_clear(const struct compare_talker *talker)
{
    if (talker->drawn)
        fputs("\r\033[K", stderr);
}

const char **compare_given(const struct cli *cli, const char *flag, size_t *ret_count)
{
    size_t n = 0;
    while (cli_flag_nth(cli, flag, n) != NULL)
        n++;
    const char **list = xcalloc(n, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = cli_flag_nth(cli, flag, i);
    *ret_count = n;
    return list;
}
