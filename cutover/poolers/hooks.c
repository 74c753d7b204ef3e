/* Owns: running hooks. See hooks.h. */
#include "cutover/poolers/hooks.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/log.h"

#define LINE_BYTES_MAX ((size_t)1000)

/* --- what a hook is given --- */

struct given {
    const char *name; /* without CROSSFADE_, in lower case */
    char *value;
};

enum {
    GIVEN_EVENT = 0,
    GIVEN_PIPELINE,
    GIVEN_ID,
    GIVEN_STATE,
    GIVEN_SHARE,
    GIVEN_ENDS,
    GIVEN_MAX = GIVEN_ENDS + 6
};

static void gather(const struct cutover *co, const char *event, struct given given[GIVEN_MAX])
{
    static const struct {
        const char *name, *key, *keyword;
    } ends[] = {{"source_host", "source.url", "host"},     {"source_port", "source.url", "port"},
                {"source_dbname", "source.url", "dbname"}, {"target_host", "target.url", "host"},
                {"target_port", "target.url", "port"},     {"target_dbname", "target.url", "dbname"}};
    given[GIVEN_EVENT] = (struct given){"event", xstrdup(event)};
    given[GIVEN_PIPELINE] = (struct given){"pipeline", xstrdup(co->pipeline)};
    given[GIVEN_ID] = (struct given){"cutover_id", xstrdup(co->id)};
    given[GIVEN_STATE] = (struct given){"state", xstrdup(cutover_state_name(co->state))};
    given[GIVEN_SHARE] = (struct given){"read_share", xasprintf("%d", co->read_share)};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        given[GIVEN_ENDS + i] =
            (struct given){ends[i].name, cutover_url_part(co->cfg, ends[i].key, ends[i].keyword)};
}

static void given_release(struct given given[GIVEN_MAX])
{
    for (size_t i = 0; i < GIVEN_MAX; i++)
        free(given[i].value);
}

/* NULL-terminated; malloc'd, and so are the texts. */
static char **make_environment(const struct given given[GIVEN_MAX])
{
    char **env = xcalloc(GIVEN_MAX + 1, sizeof *env);
    for (size_t n = 0; n < GIVEN_MAX; n++) {
        env[n] = xasprintf("CROSSFADE_%s=%s", given[n].name, given[n].value);
        for (char *p = env[n]; *p != '='; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    }
    return env;
}

static void free_environment(char **env)
{
    for (size_t i = 0; env[i] != NULL; i++)
        free(env[i]);
    free(env);
}

static char *make_input(const struct given given[GIVEN_MAX])
{
    json_t *json = json_object();
    for (size_t i = 0; i < GIVEN_MAX; i++)
        json_object_set_new(json, given[i].name, json_string(given[i].value));
    char *text = json_dumps(json, 0);
    json_decref(json);
    return text != NULL ? text : xstrdup("{}");
}

/* --- what it said --- */

static void hide(char *line, const char *secret)
{
    size_t len = secret != NULL ? strlen(secret) : 0;
    for (char *at = line; len > 0 && (at = strstr(at, secret)) != NULL; at += len)
        memset(at, '*', len);
}

static void hide_secrets(const struct cutover *co, char *line)
{
    static const char *const keys[] = {"source.url", "target.url"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char *password CLEANUP(free_ptr) = cutover_url_part(co->cfg, keys[i], "password");
        hide(line, password);
    }
    static const char *const variables[] = {"PGPASSWORD", "MARIADB_PWD", "MYSQL_PWD"};
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        hide(line, getenv(variables[i]));
}

static void tell(struct cutover *co, const char *event, struct child_end *end)
{
    char *rest = end->said.data;
    for (char *line; (line = child_line(&rest)) != NULL;) {
        char masked[LINE_BYTES_MAX];
        hide_secrets(co, line);
        cutover_say(co, "%s: %s", event, log_mask_url(line, masked, sizeof masked));
    }
    if (end->more_bytes > 0)
        cutover_say(co, "%s: (%zu further bytes)", event, end->more_bytes);
}

static bool judge(const char *event, const char *command, const struct child_end *end, int64_t timeout_ms,
                  struct err *err)
{
    char masked[200], how[CHILD_TEXT_MAX];
    (void)log_mask_url(command, masked, sizeof masked);
    (void)child_end_text(end, timeout_ms, how);
    if (end->late)
        return err_set(err, ERR_TIMEOUT, "hook %s: %s: %s (cutover.hook_timeout_ms), ended", event, masked,
                       how);
    return child_ended_well(end) || err_set(err, ERR_REFUSED, "hook %s: %s: %s", event, masked, how);
}

/* The command itself may hold a secret: its number tells which it was. */
static void note(struct cutover *co, const char *event, size_t n, int64_t began_us, bool ok)
{
    int64_t took_us = clock_mono_us() - began_us;
    notes_add(co, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "kind", "hook", "name", event, "number",
                            (json_int_t)n + 1, "at_us", (json_int_t)(clock_wall_us() - took_us), "took_us",
                            (json_int_t)took_us, "ok", ok));
}

static bool run_one(struct cutover *co, const char *event, const char *command, const char *input, char **env,
                    struct err *err)
{
    int64_t timeout_ms = config_int(co->cfg, "cutover.hook_timeout_ms");
    const struct child_order order = {.command = command,
                                      .more = (const char *const *)env,
                                      .hidden = "CROSSFADE_",
                                      .input = input,
                                      .timeout_ms = timeout_ms,
                                      .stop_fd = -1};
    struct child_end end;
    if (!child_run(&order, &end, err))
        return false;
    if (end.said.len > 0)
        tell(co, event, &end);
    bool ok = judge(event, command, &end, timeout_ms, err);
    child_end_release(&end);
    return ok;
}

/* go_on: also behind one that failed; the first failure is kept. */
static bool run_all(struct cutover *co, const char *event, bool go_on, struct err *err)
{
    char *key CLEANUP(free_ptr) = xasprintf("cutover.%s", event);
    size_t count;
    const char *const *commands = config_list(co->cfg, key, &count);
    struct given given[GIVEN_MAX];
    bool ok = true;
    if (count == 0)
        return true;
    gather(co, event, given);
    char **env = make_environment(given), *input = make_input(given);
    for (size_t i = 0; i < count && (ok || go_on); i++) {
        struct err now = ERR_INIT;
        int64_t began_us = clock_mono_us();
        bool done = run_one(co, event, commands[i], input, env, &now);
        note(co, event, i, began_us, done);
        if (done)
            continue;
        if (go_on)
            cutover_say(co, "%s", now.text);
        if (ok && err != NULL)
            *err = now;
        ok = false;
    }
    free(input);
    free_environment(env);
    given_release(given);
    return ok;
}

bool hooks_run(struct cutover *co, const char *event, struct err *err)
{
    return run_all(co, event, false, err);
}

void hooks_report(struct cutover *co, const char *event)
{
    (void)run_all(co, event, true, NULL);
}
