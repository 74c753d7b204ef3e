/* Owns how cutovers that are recorded are shown. */
#include "cutover_past.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cutover/history.h"

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

static void print(json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2));
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(json);
}

static void print_line(const struct cutover_past *past)
{
    printf("%s  %-11s at %-10s  began %s, last %s", past->id, how_it_stands(past), past->state,
           past->began_at, past->changed_at);
    if (past->pause_us > 0)
        printf(", clients waited %.0f ms", (double)past->pause_us / 1000.0);
    printf("\n");
    if (past->reason[0] != '\0')
        printf("  %s\n", past->reason);
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
        if (cli_flag(cli, "json") != NULL)
            json_array_append_new(array, past_json(&list[i]));
        else
            print_line(&list[i]);
    }
    if (cli_flag(cli, "json") != NULL)
        print(json_pack("{s:O}", "cutovers", array));
    else if (count == 0)
        puts("no cutover of this pipeline is recorded");
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

static void print_status(const struct cutover_past *past)
{
    print_line(past);
    if (past->decision_unread[0] != '\0')
        printf("  decision: cannot be read: %s\n", past->decision_unread);
    else
        printf("  decision: %s\n", past->decision);
    for (size_t i = 0; i < past->step_count; i++) {
        const struct cutover_past_step *step = &past->steps[i];
        printf("  %s  %-10s", step->at, step->state);
        if (step->took_us >= 0)
            printf("  %.1f ms", (double)step->took_us / 1000.0);
        printf("\n");
    }
    if (strcmp(how_it_stands(past), "interrupted") == 0)
        puts(
            "  go on with `crossfade cutover resume`, or put the source back with `crossfade cutover abort`");
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
    if (cli_flag(cli, "json") == NULL) {
        print_status(&past);
        return CLI_EXIT_OK;
    }
    json_t *json = past_json(&past);
    json_object_set_new(json, "decision",
                        past.decision_unread[0] != '\0' ? json_null() : json_string(past.decision));
    json_object_set_new(json, "decision_unread", json_string(past.decision_unread));
    json_object_set_new(json, "steps", steps_json(&past));
    print(json);
    return CLI_EXIT_OK;
}
