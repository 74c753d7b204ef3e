/* crossfade schema plan | create | compare: the document that a person reads; the statements, told or executed. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/alloc.h"
#include "print_json.h"
#include "schema/schema.h"
#include "schema_compare.h"
#include "terminal.h"

const struct cli_flag schema_flags[] = {
    {"format", "markdown|html|json", "plan: how it is written (default: markdown)"},
    {"output", "FILE", "plan: write there instead of stdout; also -o FILE"},
    {"execute", NULL, "create: make what is missing; without it, it is only told"},
    {"indexes", NULL, "create: the indexes and foreign keys that schema.indexes: after_snapshot has put off"},
    {"wait", NULL, "create --indexes: wait until the copy is complete, then make them"},
    {"json", NULL, "as JSON: the plan, what create did, or what differs"},
    {NULL, NULL, NULL},
};

static bool write_file(const char *path, const char *text, struct err *err)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return err_set_errno(err, errno, "cannot write %s", path);
    bool ok = fputs(text, f) >= 0;
    ok = fclose(f) == 0 && ok;
    return ok || err_set_errno(err, errno, "cannot write %s", path);
}

static bool render(const struct schema_plan *plan, const char *format, struct strbuf *out, struct err *err)
{
    if (strcmp(format, "json") == 0) {
        char *json = schema_plan_json(plan);
        strbuf_adds(out, json);
        free(json);
    } else if (strcmp(format, "html") == 0) {
        schema_plan_html(plan, out);
    } else {
        schema_plan_markdown(plan, out);
    }
    return strbuf_ok(out, "the plan", err);
}

/* 1: something is to be decided or differs; 2; else 4, whatever the error would mean to a role. */
static int could_not(const struct cli *cli, const struct err *err)
{
    int code = cli_error(cli, err);
    return err->code == ERR_REFUSED ? CLI_EXIT_FAILED
           : code == CLI_EXIT_USAGE ? CLI_EXIT_USAGE
                                    : CLI_EXIT_NOT_RUN;
}

static int plan_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct schema_plan *plan = NULL;
    const char *format = cli_flag(cli, "json") != NULL ? "json" : cli_flag(cli, "format"),
               *path = cli_flag(cli, "output");
    format = format != NULL ? format : "markdown";
    if (strcmp(format, "markdown") != 0 && strcmp(format, "html") != 0 && strcmp(format, "json") != 0)
        return cli_usage_error(cli, "--format: found \"%s\", expected markdown, html or json", format);
    if (!schema_plan_make(cli->cfg, &plan, &err))
        return could_not(cli, &err);
    struct strbuf text = STRBUF_INIT(SCHEMA_TEXT_BYTES_MAX);
    bool ok = render(plan, format, &text, &err);
    if (ok && path != NULL)
        ok = write_file(path, text.data, &err);
    else if (ok)
        (void)fputs(text.data, stdout);
    size_t open = schema_plan_decisions(plan);
    if (ok && open > 0)
        (void)fprintf(stderr, "crossfade schema: %zu decision%s open\n", open, open == 1 ? " is" : "s are");
    strbuf_release(&text);
    schema_plan_free(plan);
    return ok ? CLI_EXIT_OK : could_not(cli, &err);
}

struct talk {
    bool json, execute, redraw, drawn;
    json_t *steps, *decisions;
};

static const char *event_name(enum schema_event event)
{
    static const char *const names[] = {"?", "would make", "there", "differs", "making", "made", "waiting"};
    return names[event];
}

static void show_line(struct talk *t, const struct schema_progress *p)
{
    if (t->redraw && (p->event == SCHEMA_MAKING || p->event == SCHEMA_MADE)) {
        (void)fprintf(stderr, "\r\033[K%zu of %zu: %s %.60s", p->done, p->total, p->kind, p->name);
        t->drawn = true;
    } else if (p->event == SCHEMA_DIFFERS) {
        printf("differs: %s %s: %s\n", p->kind, p->name, p->why);
    } else if (p->event == SCHEMA_WOULD_MAKE) {
        size_t len = strlen(p->sql);
        while (len > 0 && (p->sql[len - 1] == '\n' || p->sql[len - 1] == ';'))
            len--;
        printf("-- %s %s\n%.*s;\n\n", p->kind, p->name, (int)len, p->sql);
    } else if (p->event == SCHEMA_WAITING) {
        (void)fprintf(stderr, "waiting: the %s %s\n", p->kind, p->name);
    } else if (p->event == SCHEMA_MADE) {
        printf("made: %s %s\n", p->kind, p->name);
        (void)fflush(stdout);
    }
}

static void show(void *ctx, const struct schema_progress *p)
{
    struct talk *t = ctx;
    if (!t->json) {
        show_line(t, p);
    } else if (p->event != SCHEMA_MAKING && p->event != SCHEMA_WAITING) {
        json_t *step = json_pack("{s:s, s:s, s:s, s:s?}", "state", event_name(p->event), "kind", p->kind,
                                 "name", p->name, "why", p->why);
        if (step != NULL)
            json_array_append_new(t->steps, step);
    }
}

static void show_decision(void *ctx, const char *kind, const char *name, const char *text, const char *line)
{
    struct talk *t = ctx;
    if (!t->json) {
        printf("decide: %s %s: %s\n", kind, name, text);
        if (line != NULL)
            printf("    %s\n", line);
        return;
    }
    json_t *decision =
        json_pack("{s:s, s:s, s:s, s:s?}", "kind", kind, "name", name, "text", text, "configuration", line);
    if (decision != NULL)
        json_array_append_new(t->decisions, decision);
}

static void print_result(const struct talk *t, const struct schema_result *r, bool ok)
{
    if (t->drawn)
        (void)fputs("\r\033[K", stderr);
    if (!t->json) {
        if (ok && t->execute)
            printf("%zu made, %zu were there\n", r->made, r->there);
        else if (ok)
            printf("%zu to make, %zu are there; --execute makes them\n", r->todo, r->there);
        return;
    }
    json_t *j =
        json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:O, s:O}", "ok", ok, "executed", t->execute, "made",
                  (json_int_t)r->made, "there", (json_int_t)r->there, "differ", (json_int_t)r->differ, "todo",
                  (json_int_t)r->todo, "steps", t->steps, "decisions", t->decisions);
    cli_print_json(j);
}

static int create_command(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct schema_plan *plan = NULL;
    struct schema_result result = {0};
    struct talk talk = {.json = cli_flag(cli, "json") != NULL,
                        .execute = cli_flag(cli, "execute") != NULL,
                        .redraw = isatty(STDERR_FILENO) == 1};
    struct schema_request req = {.execute = talk.execute,
                                 .indexes = cli_flag(cli, "indexes") != NULL,
                                 .copy =
                                     cli_flag(cli, "wait") != NULL ? SCHEMA_COPY_WAIT : SCHEMA_COPY_REFUSE,
                                 .stop_fd = cli->stop_fd,
                                 .progress = show,
                                 .ctx = &talk};
    if (req.copy == SCHEMA_COPY_WAIT && !(req.indexes && req.execute))
        return cli_usage_error(cli, "--wait belongs to --indexes --execute");
    if (!schema_plan_make(cli->cfg, &plan, &err))
        return could_not(cli, &err);
    talk.steps = json_array();
    talk.decisions = json_array();
    schema_plan_each_decision(plan, show_decision, &talk);
    bool ok = schema_create(cli->cfg, plan, &req, &result, &err);
    print_result(&talk, &result, ok);
    json_decref(talk.steps);
    json_decref(talk.decisions);
    schema_plan_free(plan);
    if (ok)
        return CLI_EXIT_OK;
    return could_not(cli, &err);
}

int cmd_schema(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    if (cli->arg_count > 1)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[1]);
    if (strcmp(verb, "plan") == 0)
        return plan_command(cli);
    if (strcmp(verb, "create") == 0)
        return create_command(cli);
    if (strcmp(verb, "compare") == 0)
        return schema_compare(cli);
    return cli_usage_error(cli, "found \"%s\", expected plan, create or compare",
                           verb[0] != '\0' ? verb : "nothing");
}
