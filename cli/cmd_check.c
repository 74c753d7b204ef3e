/* crossfade check: makes all checks, then prints them by side, for people or as JSON. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "print_json.h"
#include "terminal.h"

#define TEXT_BYTES_MAX ((size_t)16 << 20)

const struct cli_flag check_flags[] = {
    {"json", NULL, "one JSON object: ok, counts, checks [{side, check, state, found, hint}]"},
    {NULL, NULL, NULL},
};

static const char *const state_names[] = {
    [CHECK_UNKNOWN] = "?", [CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "FAIL"};

static PRINTF_LIKE(6, 0) void add_result(struct check *ck, const char *side, const char *name,
                                         enum check_state state, char *hint, const char *fmt, va_list ap)
{
    struct strbuf found = STRBUF_INIT(8000);
    strbuf_vaddf(&found, fmt, ap);
    ck->results = xrealloc(ck->results, (ck->count + 1) * sizeof *ck->results);
    ck->results[ck->count++] = (struct check_result){
        .side = side, .name = name, .state = state, .found = strbuf_detach(&found), .hint = hint};
}

void check_add(struct check *ck, const char *side, const char *name, enum check_state state, const char *hint,
               const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_result(ck, side, name, state, hint != NULL ? xstrdup(hint) : NULL, fmt, ap);
    va_end(ap);
}

void check_add_hint(struct check *ck, const char *side, const char *name, enum check_state state, char *hint,
                    const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_result(ck, side, name, state, hint, fmt, ap);
    va_end(ap);
}

static void check_release(struct check *ck)
{
    for (size_t i = 0; i < ck->count; i++) {
        free(ck->results[i].found);
        free(ck->results[i].hint);
    }
    free(ck->results);
    for (size_t i = 0; i < ck->table_count; i++) {
        source_table_release(&ck->tables[i].source);
        table_schema_free(ck->tables[i].schema);
    }
    free(ck->tables);
    free(ck->source_system_id);
    table_filter_free(ck->filter);
    table_rules_free(ck->rules);
    topic_routing_free(ck->routing);
    pg_close(ck->source);
    pg_close(ck->target);
    maria_close(ck->maria);
}

static bool run_checks(struct check *ck, struct err *err)
{
    (void)snprintf(ck->slot, sizeof ck->slot, "crossfade_%s", config_text(ck->cfg, "pipeline"));
    return table_filter_from_config(ck->cfg, &ck->filter, err) &&
           table_rules_with_salt(ck->cfg, &ck->rules, err) &&
           topic_routing_from_config(ck->cfg, &ck->routing, err) && check_source(ck, err) &&
           check_journal(ck, err) && check_target(ck, err) && check_source_tables(ck, err) &&
           check_target_tables(ck, err);
}

static size_t count_state(const struct check *ck, enum check_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < ck->count; i++)
        n += ck->results[i].state == state;
    return n;
}

static void print_json(const struct check *ck)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ck->count; i++) {
        const struct check_result *r = &ck->results[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:s?}", "side", r->side, "check", r->name,
                                        "state", r->state == CHECK_FAIL ? "fail" : state_names[r->state],
                                        "found", r->found, "hint", r->hint));
    }
    json_t *root =
        json_pack("{s:b, s:{s:i, s:i, s:i}, s:o}", "ok", count_state(ck, CHECK_FAIL) == 0, "counts", "ok",
                  (int)count_state(ck, CHECK_OK), "warn", (int)count_state(ck, CHECK_WARN), "fail",
                  (int)count_state(ck, CHECK_FAIL), "checks", list);
    cli_print_json(root);
}

static void add_line(const struct terminal *term, struct strbuf *out, const struct check_result *r,
                     size_t width)
{
    static const enum color colors[] = {COLOR_PLAIN, COLOR_GREEN, COLOR_YELLOW, COLOR_RED};
    char padded[8];
    (void)snprintf(padded, sizeof padded, "%-4s", state_names[r->state]);
    strbuf_adds(out, "  ");
    terminal_paint(term, out, colors[r->state], padded);
    strbuf_addf(out, "  %-*s  %s\n", (int)width, r->name, r->found);
    if (r->hint != NULL)
        strbuf_addf(out, "        %-*s  -> %s\n", (int)width, "", r->hint);
}

static void print_text(const struct check *ck)
{
    static const char *const sides[] = {"source", "journal", "target", "tables"};
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    size_t width = 0;
    terminal_look(&term);
    term.width = 0; /* hints are worth a second line */
    for (size_t i = 0; i < ck->count; i++)
        width = MAX_OF(width, strlen(ck->results[i].name));
    for (size_t s = 0; s < ARRAY_LEN(sides); s++) {
        bool headed = false;
        for (size_t i = 0; i < ck->count; i++) {
            if (strcmp(ck->results[i].side, sides[s]) != 0)
                continue;
            if (!headed) {
                terminal_paint(&term, &out, COLOR_BOLD, sides[s]);
                strbuf_addc(&out, '\n');
            }
            headed = true;
            add_line(&term, &out, &ck->results[i], width);
        }
    }
    strbuf_addf(&out, "%zu ok, warnings: %zu, failed: %zu\n", count_state(ck, CHECK_OK),
                count_state(ck, CHECK_WARN), count_state(ck, CHECK_FAIL));
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

int cmd_check(struct cli *cli)
{
    if (cli->arg_count > 0)
        return cli_usage_error(cli, "unexpected argument \"%s\"", cli->args[0]);
    struct check ck = {.cfg = cli->cfg};
    struct err err = ERR_INIT;
    bool done = run_checks(&ck, &err);
    if (cli_flag(cli, "json") != NULL)
        print_json(&ck);
    else
        print_text(&ck);
    int code = count_state(&ck, CHECK_FAIL) > 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
    if (!done) {
        (void)cli_error(cli, &err);
        code = CLI_EXIT_NOT_RUN;
    }
    check_release(&ck);
    return code;
}
