/* Owns: what people see of conflicts, and which side they take. Apply does it at its next start. */
#include "conflicts.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_note.h"
#include "core/alloc.h"
#include "target/conflicts.h"
#include "json/text.h"

struct conflicts {
    struct cli *cli;
    struct conflicts_query query;
    bool json, whole;
    int64_t *ids;
    size_t id_count, seen;
};

static json_t *row_or_null(const char *text)
{
    json_t *json = text[0] != '\0' ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    return json != NULL ? json : json_null();
}

static json_t *view_json(const struct conflict_view *v, bool whole)
{
    json_t *j = json_object();
    json_object_set_new(j, "id", json_integer(v->id));
    json_object_set_new(j, "schema", json_text_or_null(v->schema_name));
    json_object_set_new(j, "table", json_text_or_null(v->table_name));
    json_object_set_new(j, "key", row_or_null(v->key));
    json_object_set_new(j, "kind", json_text_or_null(v->kind));
    json_object_set_new(j, "policy", json_text_or_null(v->policy));
    json_object_set_new(j, "state", json_text_or_null(v->state));
    json_object_set_new(j, "decision", json_text_or_null(v->decision));
    json_object_set_new(j, "request", json_text_or_null(v->request));
    json_object_set_new(j, "commit_lsn", json_text_or_null(v->commit_lsn));
    json_object_set_new(j, "seen_at", json_text_or_null(v->seen_at));
    json_object_set_new(j, "settled_at", json_text_or_null(v->settled_at));
    if (whole) {
        json_object_set_new(j, "source_row", row_or_null(v->source_row));
        json_object_set_new(j, "target_row", row_or_null(v->target_row));
    }
    return j;
}

static void print_pairs(json_t *j)
{
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value)
    {
        char *text = json_is_string(value) ? xstrdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (!json_is_null(value))
            printf("%-12s %s\n", key, text != NULL ? text : "?");
        else if (strcmp(key, "source_row") == 0 || strcmp(key, "target_row") == 0)
            printf("%-12s (not there)\n", key);
        free(text);
    }
}

static bool show(void *ctx, const struct conflict_view *v, struct err *err)
{
    struct conflicts *c = ctx;
    (void)err;
    c->seen++;
    if (!c->json && !c->whole) {
        printf("%" PRId64 "  %s%s%s%s%s  %s.%s %s  %s  lsn=%s  %s\n", v->id, v->state,
               v->decision[0] != '\0' ? ": " : "", v->decision, v->request[0] != '\0' ? ", asked: " : "",
               v->request, v->schema_name, v->table_name, v->key, v->kind, v->commit_lsn, v->policy);
        return true;
    }
    json_t *j = view_json(v, c->whole);
    if (c->json) {
        char *text = json_dumps(j, JSON_COMPACT);
        puts(text != NULL ? text : "{}");
        free(text);
    } else {
        print_pairs(j);
    }
    json_decref(j);
    return true;
}

static int list(struct conflicts *c)
{
    struct err err = ERR_INIT;
    c->query.decided = cli_flag(c->cli, "all") != NULL;
    if (!target_conflicts_look(&c->query, show, c, &err))
        return cli_error(c->cli, &err);
    if (c->seen == 0 && !c->json)
        puts(c->query.decided ? "no conflicts" : "no open conflicts");
    return CLI_EXIT_OK;
}

static int show_one(struct conflicts *c)
{
    struct err err = ERR_INIT;
    if (c->id_count != 1)
        return cli_usage_error(
            c->cli, "conflicts show: one ID is expected, as `crossfade apply conflicts list` shows it");
    c->query.id = c->ids[0];
    c->whole = true;
    if (!target_conflicts_look(&c->query, show, c, &err))
        return cli_error(c->cli, &err);
    if (c->seen == 0)
        (void)fprintf(stderr, "crossfade apply: there is no conflict %" PRId64 "\n", c->ids[0]);
    return c->seen > 0 ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static int resolve(struct conflicts *c)
{
    struct err err = ERR_INIT;
    int64_t found = 0;
    const char *side = cli_flag(c->cli, "take");
    if (c->id_count == 0)
        return cli_usage_error(c->cli, "conflicts resolve: IDs are expected");
    if (side == NULL || (strcmp(side, "source") != 0 && strcmp(side, "target") != 0))
        return cli_usage_error(c->cli, "conflicts resolve: --take source or --take target is expected");
    json_t *detail = audit_note_ids(c->ids, c->id_count);
    json_object_set_new(detail, "take", json_string(side));
    if (!audit_note(c->cli, "conflicts.resolve", detail, c->json, &err))
        return cli_error(c->cli, &err);
    if (!target_conflicts_answer(&c->query, c->ids, c->id_count, side, &found, &err))
        return cli_error(c->cli, &err);
    if (c->json)
        printf("{\"asked\":%" PRId64 "}\n", found);
    else
        printf("noted for %" PRId64 "; apply does it when it is started again\n", found);
    if (found < (int64_t)c->id_count)
        (void)fprintf(stderr, "crossfade apply: %" PRId64 " of %zu conflicts are open\n", found, c->id_count);
    return found == (int64_t)c->id_count ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static bool read_ids(struct conflicts *c)
{
    c->ids = xcalloc(c->cli->arg_count + 1, sizeof *c->ids);
    for (size_t i = 2; i < c->cli->arg_count; i++) {
        char *end = NULL;
        int64_t id = strtoll(c->cli->args[i], &end, 10);
        if (end == c->cli->args[i] || *end != '\0' || id <= 0) {
            (void)cli_usage_error(c->cli, "conflicts: found \"%s\", expected the ID of a conflict",
                                  c->cli->args[i]);
            return false;
        }
        c->ids[c->id_count++] = id;
    }
    return true;
}

int conflicts_main(struct cli *cli)
{
    const char *verb = cli_arg(cli, 1);
    struct conflicts c = {
        .cli = cli,
        .json = cli_flag(cli, "json") != NULL,
        .query = {.url = config_text(cli->cfg, "target.url"), .pipeline = config_text(cli->cfg, "pipeline")}};
    int code = CLI_EXIT_USAGE;
    if (read_ids(&c)) {
        if (strcmp(verb, "list") == 0 && c.id_count == 0)
            code = list(&c);
        else if (strcmp(verb, "show") == 0)
            code = show_one(&c);
        else if (strcmp(verb, "resolve") == 0)
            code = resolve(&c);
        else
            code = cli_usage_error(
                cli, "conflicts: list, show ID, or resolve ID… --take source|target is expected");
    }
    free(c.ids);
    return code;
}
