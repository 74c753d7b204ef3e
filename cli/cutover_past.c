/* Owns how cutovers that are recorded are shown. */
#include "cutover_past.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cutover/dossier/dossier.h"
#include "cutover/history.h"
#include "cutover_text.h"
#include "print_json.h"
#include "terminal.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

/* What a person would call it. */
static const char *how_it_stands(const struct cutover_past *past)
{
    if (strcmp(past->state, "done") == 0 || strcmp(past->state, "aborted") == 0)
        return past->state;
    return past->running ? "running" : "interrupted";
}

static json_t *past_json(const struct cutover_past *past)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:s}", "id", past->id, "state", past->state, "stands",
                     how_it_stands(past), "began_at", past->began_at, "changed_at", past->changed_at,
                     "pause_ms", (double)past->pause_us / 1000.0, "reason", past->reason);
}

/* --- the list --- */

#define ID_WIDTH    25
#define STATE_WIDTH 12
#define TIME_WIDTH  19
#define NARROW      (ID_WIDTH + STATE_WIDTH + TIME_WIDTH + 24) /* below: two lines for each */

static enum color color_of(const char *stands)
{
    return strcmp(stands, "done") == 0      ? COLOR_GREEN
           : strcmp(stands, "aborted") == 0 ? COLOR_YELLOW
           : strcmp(stands, "running") == 0 ? COLOR_BOLD
                                            : COLOR_RED;
}

static void add_pause(struct strbuf *out, const struct cutover_past *past)
{
    if (past->pause_us <= 0) {
        strbuf_adds(out, "–");
        return;
    }
    cutover_text_ms(out, (double)past->pause_us / 1000.0);
}

static void add_past(const struct terminal *term, struct strbuf *out, const struct cutover_past *past)
{
    const char *stands = how_it_stands(past);
    char padded[STATE_WIDTH + 1];
    bool narrow = term->width > 0 && term->width < NARROW;
    (void)snprintf(padded, sizeof padded, "%-*s", STATE_WIDTH, stands);
    strbuf_addf(out, " %-*s ", ID_WIDTH, past->id);
    terminal_paint(term, out, color_of(stands), narrow ? stands : padded);
    strbuf_addf(out, "%s%.10s %.8s  ", narrow ? "\n   " : " ", past->began_at, past->began_at + 11);
    add_pause(out, past);
    strbuf_addc(out, '\n');
    terminal_wrap(term, out, 3, past->reason);
}

static void print_list(const struct cutover_past *list, size_t count)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    bool narrow = term.width > 0 && term.width < NARROW;
    if (count == 0)
        strbuf_adds(&out, "no cutover of this pipeline is recorded\n");
    else if (!narrow)
        strbuf_addf(&out, " %-*s %-*s %-*s  %s\n", ID_WIDTH, "cutover", STATE_WIDTH, "stands", TIME_WIDTH,
                    "began (UTC)", "clients waited");
    for (size_t i = 0; i < count; i++)
        add_past(&term, &out, &list[i]);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

int cutover_past_list(struct cli *cli)
{
    struct cutover_past *list = NULL;
    struct err err = ERR_INIT;
    size_t count = 0;
    if (!cutover_list(cli->cfg, &list, &count, &err))
        return cli_error(cli, &err);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, past_json(&list[i]));
    }
    if (cli_flag(cli, "json") != NULL)
        cli_print_json(json_pack("{s:O}", "cutovers", array));
    else
        print_list(list, count);
    json_decref(array);
    free(list);
    return CLI_EXIT_OK;
}

static json_t *steps_json(const struct cutover_past *past)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < past->step_count; i++) {
        const struct cutover_past_step *step = &past->steps[i];
        json_array_append_new(
            steps, json_pack("{s:s, s:s, s:o}", "state", step->state, "at", step->at, "ms",
                             step->took_us < 0 ? json_null() : json_real((double)step->took_us / 1000.0)));
    }
    return steps;
}

static int print_status(struct cli *cli, const char *id)
{
    const struct dossier_request req = {.command = "status", .id = id};
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    struct err err = ERR_INIT;
    json_t *doc = NULL;
    if (!dossier_make(cli->cfg, &req, &doc, &err))
        return cli_error(cli, &err);
    terminal_look(&term);
    cutover_text_status(&term, doc, &out);
    terminal_write(&term, out.data);
    strbuf_release(&out);
    json_decref(doc);
    return CLI_EXIT_OK;
}

int cutover_past_status(struct cli *cli, const char *id)
{
    struct cutover_past past;
    struct err err = ERR_INIT;
    bool found = false;
    if (!cutover_status(cli->cfg, id, &past, &found, &err))
        return cli_error(cli, &err);
    if (!found) {
        err_set(&err, ERR_REFUSED, "no cutover%s%.60s of this pipeline is recorded", id != NULL ? " " : "",
                id != NULL ? id : "");
        return cli_error(cli, &err);
    }
    if (cli_flag(cli, "json") == NULL)
        return print_status(cli, past.id);
    json_t *json = past_json(&past);
    json_object_set_new(json, "decision",
                        past.decision_unread[0] != '\0' ? json_null() : json_string(past.decision));
    json_object_set_new(json, "decision_unread", json_string(past.decision_unread));
    json_object_set_new(json, "steps", steps_json(&past));
    cli_print_json(json);
    return CLI_EXIT_OK;
}
