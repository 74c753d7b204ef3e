/* crossfade rollback rehearse: what a rehearsal would make, or has found, for people or as one JSON object. */
#include "rollback_rehearse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cutover/rehearse/rehearse.h"

static void say(void *ctx, const char *text)
{
    const bool *quiet = ctx;
    if (!*quiet)
        (void)fprintf(stderr, "%s\n", text);
}

static const char *text_of(const json_t *report, const char *key)
{
    const char *text = json_string_value(json_object_get(report, key));
    return text != NULL ? text : "";
}

static int64_t number_of(const json_t *report, const char *key)
{
    return (int64_t)json_number_value(json_object_get(report, key));
}

static void print_plan(const json_t *report)
{
    const json_t *databases = json_object_get(report, "databases");
    printf("databases  %s beside the source\n           %s beside the target\n",
           json_string_value(json_array_get(databases, 0)), json_string_value(json_array_get(databases, 1)));
    printf("folder     %s\n", text_of(report, "folder"));
    printf("processes  %" PRId64 " on this machine, on ports of 127.0.0.1\n", number_of(report, "processes"));
    printf("rows       of %" PRId64 " tables, at most %" PRId64 " of each, %" PRId64 " in all\n",
           number_of(report, "tables"), number_of(report, "rows_per_table_max"),
           number_of(report, "rows_max"));
    printf("room       about %" PRId64 " MiB in all\n", (number_of(report, "room_bytes") >> 20) + 1);
    puts("Nothing was changed. Add --execute to do it; all of it is removed at the end.");
}

static void print_times(const json_t *report)
{
    size_t i;
    const json_t *step;
    json_array_foreach(json_object_get(report, "steps"), i, step)
    {
        printf("  %-14s %9.0f ms%s\n", text_of(step, "name"), json_number_value(json_object_get(step, "ms")),
               json_is_true(json_object_get(step, "ok")) ? "" : "  FAILED");
    }
    printf("rehearsal of the rollback: %s, %" PRId64 " rows of %" PRId64 " tables, %.1f s\n",
           text_of(report, "outcome"), number_of(report, "rows"), number_of(report, "tables"),
           json_number_value(json_object_get(report, "total_ms")) / 1000);
    if (json_object_get(report, "cutover_pause_ms") != NULL)
        printf("  writers were refused in the cutover for %" PRId64 " ms\n",
               number_of(report, "cutover_pause_ms"));
    if (json_object_get(report, "rollback_pause_ms") != NULL)
        printf("  writers were refused in the rollback for %" PRId64 " ms\n",
               number_of(report, "rollback_pause_ms"));
    json_array_foreach(json_object_get(report, "left"), i, step)
        printf("  left: %s\n", json_string_value(step));
    if (number_of(report, "audit_seq") > 0)
        printf("  audit: seq %" PRId64 ", hash %s\n", number_of(report, "audit_seq"),
               text_of(report, "audit_hash"));
}

static void print(const json_t *report, enum rehearse_outcome outcome, bool json)
{
    if (json) {
        char *text = json_dumps(report, JSON_INDENT(2));
        puts(text != NULL ? text : "{}");
        free(text);
    } else if (outcome == REHEARSE_PLANNED) {
        print_plan(report);
    } else if (json_object_get(report, "total_ms") != NULL) {
        print_times(report);
    }
}

int rollback_rehearse(struct cli *cli)
{
    static const int codes[] = {[REHEARSE_COULD_NOT] = CLI_EXIT_NOT_RUN,
                                [REHEARSE_PLANNED] = CLI_EXIT_OK,
                                [REHEARSE_PASSED] = CLI_EXIT_OK,
                                [REHEARSE_FAILED] = CLI_EXIT_FAILED};
    bool json = cli_flag(cli, "json") != NULL;
    struct config *forward = NULL;
    struct err err = ERR_INIT;
    json_t *report = NULL;
    if (!config_reversed(cli->cfg, &forward, &err))
        return cli_error(cli, &err);
    const struct rehearse_request request = {.execute = cli_flag(cli, "execute") != NULL,
                                             .keep = cli_flag(cli, "keep") != NULL,
                                             .stop_fd = cli->stop_fd,
                                             .ctx = &json,
                                             .say = say};
    enum rehearse_outcome outcome = rehearse(forward, &request, &report, &err);
    print(report, outcome, json);
    json_decref(report);
    config_free(forward);
    if (err_is_set(&err))
        (void)cli_error(cli, &err);
    return codes[outcome];
}
