/* Owns: what people see of dead letters, and what they ask for. The asking is done by apply (apply/retry.c); the command waits
 * for it a while. */
#include "dlq.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply/foreign.h"
#include "apply/letters.h"
#include "audit_note.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "journal/journal_settings.h"
#include "record_json.h"
#include "target/dead_letter.h"
#include "json/text.h"

#define IDS_MAX        10000
#define LOOK_AGAIN_MS  100
#define WAIT_DEFAULT_S 10
#define RECORD_MAX     ((size_t)1 << 30)

struct dlq {
    struct cli *cli;
    struct letters_query query;
    bool json;
    int64_t *ids; /* that were named; count 0 = all */
    size_t id_count;
    size_t seen;
    /* of a wait */
    size_t open, held, asked;
};

static json_t *view_json(const struct letter_view *v)
{
    const struct dead_letter *l = &v->letter;
    char op[] = {l->op, '\0'};
    json_t *j = json_object();
    json_object_set_new(j, "id", json_integer(l->id));
    json_object_set_new(j, "chain", json_integer(l->chain));
    json_object_set_new(j, "state", json_text_or_null(v->state));
    json_object_set_new(j, "request", json_text_or_null(v->request));
    json_object_set_new(j, "behind", json_boolean(l->behind));
    json_object_set_new(j, "schema", json_text_or_null(l->schema_name));
    json_object_set_new(j, "table", json_text_or_null(l->table_name));
    json_object_set_new(j, "op", json_text_or_null(op));
    json_object_set_new(j, "key", json_text_or_null(l->key_shown));
    json_object_set_new(j, "topic", json_text_or_null(l->stream));
    json_object_set_new(j, "partition", json_integer(l->partition));
    json_object_set_new(j, "offset", json_integer((json_int_t)l->offset));
    json_object_set_new(j, "commit_lsn", json_text_or_null(v->commit_lsn));
    json_object_set_new(j, "total_order", json_integer((json_int_t)l->total_order));
    json_object_set_new(j, "fence_id", json_integer((json_int_t)l->fence_id));
    json_object_set_new(j, "sqlstate", json_text_or_null(l->sqlstate));
    json_object_set_new(j, "message", json_text_or_null(l->message));
    json_object_set_new(j, "attempts", json_integer(v->attempts));
    json_object_set_new(j, "last_error", json_text_or_null(v->last_error));
    json_object_set_new(j, "first_seen", json_text_or_null(v->first_seen));
    json_object_set_new(j, "tried_at", json_text_or_null(v->tried_at));
    json_object_set_new(j, "settled_at", json_text_or_null(v->settled_at));
    json_object_set_new(j, "reason", json_text_or_null(v->reason));
    return j;
}

static void print_json(json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(j);
}

static bool show_line(void *ctx, const struct letter_view *v, struct err *err)
{
    struct dlq *d = ctx;
    (void)err;
    d->seen++;
    if (d->json) {
        print_json(view_json(v));
        return true;
    }
    const struct dead_letter *l = &v->letter;
    printf("%" PRId64 "  %s%s%s  %s.%s %c %s  lsn=%s  %s  %s\n", l->id, v->state,
           v->request[0] != '\0' ? ", asked: " : "", v->request, l->schema_name, l->table_name, l->op,
           l->key_shown, v->commit_lsn, l->sqlstate,
           l->behind ? "behind an earlier one of its key" : l->message);
    return true;
}

static int list(struct dlq *d)
{
    struct err err = ERR_INIT;
    d->query.settled = cli_flag(d->cli, "all") != NULL;
    if (!target_letters_look(&d->query, show_line, d, &err))
        return cli_error(d->cli, &err);
    if (d->seen == 0 && !d->json)
        puts("no dead letters");
    return CLI_EXIT_OK;
}

/* The record as `crossfade journal cat` prints it; null when its schema cannot be had. */
static json_t *record_line(const struct dlq *d, const struct letter_view *v)
{
    struct journal_config config = {0};
    struct journal_record rec;
    struct record_texts texts;
    struct strbuf line = STRBUF_INIT(RECORD_MAX);
    struct foreign_settings foreign = {.on = false};
    struct err err = ERR_INIT;
    bool ok = foreign_settings_read(d->cli->cfg, &foreign, &err);
    if (!foreign.on)
        journal_settings(d->cli->cfg, &config);
    struct record_printer *printer = record_printer_new(&config);
    if (foreign.on)
        record_printer_foreign(printer, &foreign);
    ok = ok && letters_record(&v->letter, &rec, &err) && record_texts(printer, &rec, &texts, &err) &&
         record_write(printer, &rec, &texts, false, &line, &err);
    json_t *j = ok ? json_loads(line.data, 0, NULL) : NULL;
    if (j == NULL)
        (void)fprintf(stderr, "crossfade apply dlq: the record cannot be shown: %s\n", err.text);
    record_printer_free(printer);
    foreign_settings_release(&foreign);
    strbuf_release(&line);
    return j != NULL ? j : json_null();
}

static void print_pairs(const json_t *j)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        char *text =
            json_is_string(value) ? xstrdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
        if (!json_is_null(value))
            printf("%-12s %s\n", key, text != NULL ? text : "?");
        free(text);
    }
}

static bool show_whole(void *ctx, const struct letter_view *v, struct err *err)
{
    struct dlq *d = ctx;
    (void)err;
    d->seen++;
    json_t *j = view_json(v);
    json_object_set_new(j, "record", record_line(d, v));
    if (d->json) {
        print_json(j);
    } else {
        print_pairs(j);
        json_decref(j);
    }
    return true;
}

static int show(struct dlq *d)
{
    struct err err = ERR_INIT;
    if (d->id_count != 1)
        return cli_usage_error(d->cli,
                               "dlq show: one ID is expected, as `crossfade apply dlq list` shows it");
    d->query.id = d->ids[0];
    if (!target_letters_look(&d->query, show_whole, d, &err))
        return cli_error(d->cli, &err);
    if (d->seen == 0)
        (void)fprintf(stderr, "crossfade apply: there is no dead letter %" PRId64 "\n", d->ids[0]);
    return d->seen > 0 ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static bool is_named(const struct dlq *d, int64_t id)
{
    for (size_t i = 0; i < d->id_count; i++) {
        if (d->ids[i] == id)
            return true;
    }
    return d->id_count == 0;
}

static bool count_open(void *ctx, const struct letter_view *v, struct err *err)
{
    struct dlq *d = ctx;
    (void)err;
    if (!is_named(d, v->letter.id) || strcmp(v->state, "held") != 0)
        return true;
    d->open += v->request[0] != '\0';
    d->held++;
    return true;
}

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL);
}

/* Until apply has done what was asked. */
static int wait_for_apply(struct dlq *d, int64_t timeout_s)
{
    struct err err = ERR_INIT;
    int64_t deadline_us = clock_mono_us() + timeout_s * 1000000;
    for (;;) {
        d->open = d->held = 0;
        if (!target_letters_look(&d->query, count_open, d, &err))
            return cli_error(d->cli, &err);
        if (d->open == 0 || clock_mono_us() >= deadline_us)
            break;
        pause_ms(LOOK_AGAIN_MS);
    }
    if (d->json)
        print_json(json_pack("{s:I,s:I,s:I}", "asked", (json_int_t)d->asked, "held", (json_int_t)d->held,
                             "pending", (json_int_t)d->open));
    else if (d->open > 0)
        printf("asked for %zu; %zu wait for apply, which does it as soon as it runs\n", d->asked, d->open);
    else
        printf("asked for %zu; %zu are still held%s\n", d->asked, d->held,
               d->held > 0 ? ": `crossfade apply dlq list` says why" : "");
    return d->held > 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

static int ask(struct dlq *d, const char *request)
{
    struct err err = ERR_INIT;
    int64_t timeout_s = WAIT_DEFAULT_S, found = 0;
    const char *reason = cli_flag(d->cli, "reason");
    bool all = cli_flag(d->cli, "all") != NULL, discards = strcmp(request, "discard") == 0;
    if (all == (d->id_count > 0))
        return cli_usage_error(d->cli, "dlq %s: IDs are expected, or --all", request);
    if (discards && (reason == NULL || reason[0] == '\0'))
        return cli_usage_error(d->cli,
                               "dlq discard: --reason TEXT is expected: it stays with what is given up");
    if (!discards && reason != NULL)
        return cli_usage_error(d->cli, "--reason belongs to discard");
    if (!cli_flag_int(d->cli, "timeout", 0, 86400, WAIT_DEFAULT_S, &timeout_s))
        return CLI_EXIT_USAGE;
    json_t *detail = audit_note_ids(d->ids, d->id_count);
    if (reason != NULL)
        json_object_set_new(detail, "reason", json_text(reason));
    if (!audit_note(d->cli, discards ? "dlq.discard" : "dlq.retry", detail, d->json, &err))
        return cli_error(d->cli, &err);
    if (!target_letters_ask(&d->query, d->ids, d->id_count, request, reason, &found, &err))
        return cli_error(d->cli, &err);
    d->asked = (size_t)found;
    if (found < (int64_t)d->id_count) {
        (void)fprintf(stderr, "crossfade apply: %" PRId64 " of %zu dead letters are held\n", found,
                      d->id_count);
        return CLI_EXIT_FAILED;
    }
    return wait_for_apply(d, timeout_s);
}

static bool read_ids(struct dlq *d)
{
    size_t first = 2;
    if (d->cli->arg_count <= first)
        return true;
    d->ids = xcalloc(d->cli->arg_count, sizeof *d->ids);
    for (size_t i = first; i < d->cli->arg_count && d->id_count < IDS_MAX; i++) {
        char *end = NULL;
        int64_t id = strtoll(d->cli->args[i], &end, 10);
        if (end == d->cli->args[i] || *end != '\0' || id <= 0) {
            (void)cli_usage_error(d->cli, "dlq: found \"%s\", expected the ID of a dead letter",
                                  d->cli->args[i]);
            return false;
        }
        d->ids[d->id_count++] = id;
    }
    return true;
}

int dlq_main(struct cli *cli)
{
    const char *verb = cli_arg(cli, 1);
    struct dlq d = {
        .cli = cli,
        .json = cli_flag(cli, "json") != NULL,
        .query = {.url = config_text(cli->cfg, "target.url"), .pipeline = config_text(cli->cfg, "pipeline")}};
    int code = CLI_EXIT_USAGE;
    if (read_ids(&d)) {
        if (strcmp(verb, "list") == 0 && d.id_count == 0)
            code = list(&d);
        else if (strcmp(verb, "show") == 0)
            code = show(&d);
        else if (strcmp(verb, "retry") == 0 || strcmp(verb, "discard") == 0)
            code = ask(&d, verb);
        else
            code = cli_usage_error(cli,
                                   "dlq: list, show ID, retry ID…, or discard ID… --reason TEXT is expected");
    }
    free(d.ids);
    return code;
}
