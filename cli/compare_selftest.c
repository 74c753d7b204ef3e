/* Owns: what `compare selftest` prints: one line for each type, and the verdict. */
#include "compare_selftest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare/selftest.h"
#include "print_json.h"
#include "terminal.h"
#include "json/text.h"

#define TEXT_BYTES_MAX ((size_t)1 << 20)

static enum color color_of(const struct selftest_type *t)
{
    return t->verdict == VERDICT_PASS ? COLOR_GREEN : t->verdict == VERDICT_FAIL ? COLOR_RED : COLOR_YELLOW;
}

static void print_text(const struct selftest_result *r)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    for (size_t i = 0; i < r->count; i++) {
        const struct selftest_type *t = &r->types[i];
        strbuf_adds(&out, "  ");
        terminal_paint(&term, &out, color_of(t), compare_verdict_name(t->verdict));
        if (t->rule != NULL)
            strbuf_addf(&out, "  %s (%zu values)\n", t->rule, t->values);
        else
            strbuf_addf(&out, "  %s to %s\n", t->source, t->target);
        if (t->detail != NULL)
            strbuf_addf(&out, "      %s%s\n", t->absent ? "a server has no such type: " : "", t->detail);
    }
    terminal_paint(&term, &out, r->verdict == VERDICT_PASS ? COLOR_GREEN : COLOR_RED,
                   compare_verdict_name(r->verdict));
    strbuf_addf(&out, "  %zu types, %zu values have one form on both sides: %s, %s\n", r->count, r->values,
                r->server[0], r->server[1]);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

static json_t *type_json(const struct selftest_type *t)
{
    json_t *j = json_object();
    json_object_set_new(j, "source", json_text(t->source));
    json_object_set_new(j, "target", json_text(t->target));
    json_object_set_new(j, "rule", json_text(t->rule));
    json_object_set_new(j, "verdict", json_text(compare_verdict_name(t->verdict)));
    json_object_set_new(j, "values", json_amount(t->values));
    json_object_set_new(j, "absent", json_boolean(t->absent));
    json_object_set_new(j, "detail", json_text(t->detail));
    return j;
}

static void print_json(const struct selftest_result *r)
{
    json_t *j = json_object(), *types = json_array();
    json_object_set_new(j, "verdict", json_text(compare_verdict_name(r->verdict)));
    json_object_set_new(j, "source", json_text(r->server[0]));
    json_object_set_new(j, "target", json_text(r->server[1]));
    json_object_set_new(j, "values", json_amount(r->values));
    for (size_t i = 0; i < r->count; i++)
        json_array_append_new(types, type_json(&r->types[i]));
    json_object_set_new(j, "types", types);
    cli_print_json(j);
}

int cmd_compare_selftest(struct cli *cli)
{
    struct selftest_result result;
    struct err err = ERR_INIT;
    if (!compare_selftest(cli->cfg, cli->stop_fd, &result, &err))
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    if (cli_flag(cli, "json") != NULL)
        print_json(&result);
    else
        print_text(&result);
    int code = compare_exit_code(result.verdict);
    selftest_release(&result);
    return code;
}
