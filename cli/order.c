/* See order.h. */
#include "order.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "control/desk.h"
#include "core/alloc.h"
#include "terminal.h"
#include "json/text.h"

#define ORDER_TIMEOUT_MS 30000 /* it is noted on the target first */

bool order_is_one(const struct cli *cli)
{
    return desk_verb_of(cli_arg(cli, 0)) != DESK_UNKNOWN;
}

/* "5000", "none" (no limit), "configured". */
static bool rate_of(const char *text, json_t **ret)
{
    char *end = NULL;
    errno = 0;
    long long rows = strtoll(text, &end, 10);
    if (strcmp(text, "configured") == 0)
        *ret = json_null();
    else if (strcmp(text, "none") == 0)
        *ret = json_integer(0);
    else if (*text != '\0' && *end == '\0' && errno == 0 && rows >= 1 && rows <= DESK_RATE_MAX)
        *ret = json_integer(rows);
    else
        return false;
    return true;
}

/* malloc'd; NULL after a usage error. */
static char *body_of(const struct cli *cli, enum desk_verb verb)
{
    const char *reason = cli_flag(cli, "reason");
    json_t *body = json_object(), *rate = NULL;
    if (verb == DESK_THROTTLE && !rate_of(cli_arg(cli, 1), &rate)) {
        (void)cli_usage_error(cli,
                              "throttle: rows per second are expected: a whole number, none (no limit) or "
                              "configured");
        json_decref(body);
        return NULL;
    }
    if (rate != NULL)
        json_object_set_new(body, "rows_per_second", rate);
    if (reason != NULL)
        json_object_set_new(body, "reason", json_text(reason));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text == NULL)
        BUG("no memory for JSON");
    return text;
}

/* Whatever listens there has written it. */
static void say(FILE *out, const char *text)
{
    struct strbuf plain = STRBUF_INIT((size_t)64 << 10);
    terminal_add_plain(&plain, text);
    (void)fprintf(out, "%s\n", plain.data);
    strbuf_release(&plain);
}

static int show(const struct cli *cli, const char *answer, int status)
{
    json_t *json = json_loads(answer, 0, NULL);
    const char *text = json_string_value(json_object_get(json, "text"));
    bool ok = status == 200 && json_is_true(json_object_get(json, "ok"));
    if (cli_flag(cli, "json") != NULL && json != NULL)
        (void)puts(answer);
    else if (text != NULL)
        say(ok ? stdout : stderr, text);
    else
        (void)fprintf(stderr, "crossfade %s: something else answers there (HTTP status %d)\n",
                      cli->command->name, status);
    json_decref(json);
    return ok ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

int order_main(struct cli *cli, const char *listen_key)
{
    enum desk_verb verb = desk_verb_of(cli_arg(cli, 0));
    const struct http_access access = http_access_of(cli->cfg);
    struct err err = ERR_INIT;
    char *answer = NULL, path[40];
    int status = 0;
    size_t words = verb == DESK_THROTTLE ? 2 : 1;
    if (cli->arg_count > words)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[words]);
    char *body = body_of(cli, verb);
    if (body == NULL)
        return CLI_EXIT_USAGE;
    (void)snprintf(path, sizeof path, "/control/%s", desk_verb_name(verb));
    bool ok = http_post(&access, config_text(cli->cfg, listen_key), path, body, ORDER_TIMEOUT_MS, &answer,
                        &status, &err);
    free(body);
    int code = ok ? show(cli, answer, status) : cli_error(cli, &err);
    free(answer);
    return code;
}
