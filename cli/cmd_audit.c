/* crossfade audit list | export | verify: the chain of what was decided. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "cli.h"
#include "core/alloc.h"
#include "maria/url.h"
#include "pg/conn.h"
#include "print_json.h"
#include "terminal.h"
#include "json/text.h"

#define LIMIT_DEFAULT     50
#define LIMIT_MAX         1000000
#define DETAIL_SHOWN      400
#define EXIT_BROKEN       1
#define EXIT_INCONCLUSIVE 3
#define ANCHORS_MAX       2

const struct cli_flag audit_flags[] = {
    {"json", NULL, "list: one JSON object a row; verify: one JSON object"},
    {"limit", "N", "list: the newest N rows (default: 50)"},
    {"event", "NAME", "list, export: rows of this event; '%' stands for any characters (cutover.%)"},
    {"cutover", "ID", "list, export: rows of this cutover"},
    {"after", "SEQ", "list, export: rows behind this number"},
    {"expect", "HASH", "verify: the chain must hold this hash; SEQ:HASH: at this number"},
    {"no-source", NULL, "verify: without the hash that the source knows"},
    {NULL, NULL, NULL},
};

static json_t *row_json(const struct audit_row *row)
{
    json_t *detail = json_loads(row->detail, 0, NULL);
    json_t *j = json_object();
    json_object_set_new(j, "seq", json_integer(row->seq));
    json_object_set_new(j, "at", json_text(row->at));
    json_object_set_new(j, "pipeline", json_text(row->pipeline));
    json_object_set_new(j, "cutover_id", json_text(row->cutover_id));
    json_object_set_new(j, "event", json_text(row->event));
    json_object_set_new(j, "os_user", json_text(row->os_user));
    json_object_set_new(j, "db_user", json_text(row->db_user));
    json_object_set_new(j, "host", json_text(row->host));
    json_object_set_new(j, "detail", detail != NULL ? detail : json_null());
    json_object_set_new(j, "detail_text", json_text(row->detail)); /* as it was hashed */
    json_object_set_new(j, "prev_hash", json_text(row->prev));
    json_object_set_new(j, "hash", json_text(row->hash));
    return j;
}

static bool print_row_json(void *ctx, const struct audit_row *row, struct err *err)
{
    (void)ctx;
    json_t *j = row_json(row);
    char *text = json_dumps(j, JSON_COMPACT);
    bool ok = puts(text != NULL ? text : "{}") >= 0;
    free(text);
    json_decref(j);
    return ok || err_set(err, ERR_IO, "stdout cannot be written");
}

static bool print_row(void *ctx, const struct audit_row *row, struct err *err)
{
    (void)ctx;
    bool ok =
        printf("%6" PRId64 "  %.19sZ  %-20s %s@%s as %s  %s%s%.*s%s\n", row->seq, row->at, row->event,
               row->os_user, row->host, row->db_user, row->cutover_id, row->cutover_id[0] != '\0' ? "  " : "",
               DETAIL_SHOWN, row->detail, strlen(row->detail) > DETAIL_SHOWN ? "…" : "") >= 0;
    return ok || err_set(err, ERR_IO, "stdout cannot be written");
}

/* The rows of the pipeline behind the last but N. With a filter that is more rows to look at, not more to show. */
struct newest {
    int64_t *seqs; /* a ring of the numbers of those that fit */
    size_t limit, count;
};

static bool keep_seq(void *ctx, const struct audit_row *row, struct err *err)
{
    struct newest *n = ctx;
    (void)err;
    n->seqs[n->count++ % n->limit] = row->seq;
    return true;
}

static bool skip_old(struct audit *a, struct audit_filter *filter, int64_t limit, struct err *err)
{
    struct newest n = {.seqs = xcalloc((size_t)limit + 1, sizeof *n.seqs), .limit = (size_t)limit + 1};
    bool ok = audit_read(a, filter, keep_seq, &n, err);
    if (ok && n.count > (size_t)limit)
        filter->after = n.seqs[n.count % n.limit]; /* the oldest kept: the one before those that are shown */
    free(n.seqs);
    return ok;
}

static int show(struct cli *cli, struct audit *a, bool all)
{
    struct err err = ERR_INIT;
    int64_t limit = 0, after = 0;
    if (!cli_flag_int(cli, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &limit) ||
        !cli_flag_int(cli, "after", 0, INT64_MAX, 0, &after))
        return CLI_EXIT_USAGE;
    struct audit_filter filter = {.after = after,
                                  .pipeline = all ? NULL : config_text(cli->cfg, "pipeline"),
                                  .event = cli_flag(cli, "event"),
                                  .cutover_id = cli_flag(cli, "cutover")};
    bool ok = all || skip_old(a, &filter, limit, &err);
    bool json = all || cli_flag(cli, "json") != NULL;
    ok = ok && audit_read(a, &filter, json ? print_row_json : print_row, NULL, &err);
    return ok ? CLI_EXIT_OK : cli_error(cli, &err);
}

/* --- verify --- */

struct verifying {
    struct audit_expected expected[ANCHORS_MAX];
    size_t count;
    const char *not_asked; /* why the source's hash is not known; NULL = it was asked for */
    struct err source;
};

static bool read_expected(struct cli *cli, struct verifying *v)
{
    const char *text = cli_flag(cli, "expect");
    if (text == NULL)
        return true;
    struct audit_expected *e = &v->expected[v->count++];
    const char *colon = strchr(text, ':'), *hash = colon != NULL ? colon + 1 : text;
    char *end = NULL;
    *e = (struct audit_expected){.from = "--expect"};
    e->mark.seq = colon != NULL ? strtoll(text, &end, 10) : 0;
    bool ok = strlen(hash) == SHA256_HEX - 1 && strspn(hash, "0123456789abcdef") == SHA256_HEX - 1 &&
              (colon == NULL || (end == colon && e->mark.seq > 0));
    if (!ok) {
        (void)cli_usage_error(cli, "--expect: found \"%.80s\", expected 64 hexadecimal digits, or SEQ:HASH",
                              text);
        return false;
    }
    (void)snprintf(e->mark.hash, sizeof e->mark.hash, "%s", hash);
    return true;
}

static void ask_source(struct cli *cli, struct verifying *v)
{
    const char *url = config_text(cli->cfg, "source.url");
    struct pg_options options = {.application_name = "crossfade audit"};
    struct pg_conn *source = NULL;
    struct audit_mark mark = {0};
    if (cli_flag(cli, "no-source") != NULL || url == NULL) {
        v->not_asked = url == NULL ? "source.url is not set" : "--no-source";
        return;
    }
    if (maria_is_url(url)) {
        v->not_asked = "the source is MariaDB, which notes none";
        return;
    }
    if (!pg_open(url, &options, &source, &v->source) ||
        !audit_anchor_get(source, config_text(cli->cfg, "pipeline"), &mark, &v->source))
        v->not_asked = v->source.text;
    pg_close(source);
    if (v->not_asked == NULL && mark.seq > 0)
        v->expected[v->count++] = (struct audit_expected){.from = "the source", .mark = mark};
}

/* The chain is whole, but nothing outside of it tells that it goes on to its end. */
static bool lacks_anchor(const struct verifying *v)
{
    return v->count == 0 && err_is_set(&v->source);
}

static int verdict_code(const struct verifying *v, const struct audit_verdict *verdict)
{
    if (verdict->finding_count > 0)
        return EXIT_BROKEN;
    return lacks_anchor(v) ? EXIT_INCONCLUSIVE : CLI_EXIT_OK;
}

static const char *verdict_name(int code)
{
    return code == CLI_EXIT_OK ? "ok" : code == EXIT_BROKEN ? "broken" : "inconclusive";
}

static void print_verdict_json(const struct verifying *v, const struct audit_verdict *verdict, int code)
{
    json_t *findings = json_array(), *anchors = json_array();
    for (size_t i = 0; i < verdict->shown; i++)
        json_array_append_new(findings, json_text(verdict->findings[i]));
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(anchors, json_pack("{s:s, s:I, s:s, s:b}", "from", v->expected[i].from, "seq",
                                                 (json_int_t)v->expected[i].mark.seq, "hash",
                                                 v->expected[i].mark.hash, "met", v->expected[i].met));
    json_t *j = json_pack("{s:s, s:I, s:I, s:s, s:I, s:o, s:o, s:o}", "verdict", verdict_name(code), "rows",
                          (json_int_t)verdict->rows, "last_seq", (json_int_t)verdict->last.seq, "last_hash",
                          verdict->last.hash, "finding_count", (json_int_t)verdict->finding_count, "findings",
                          findings, "anchors", anchors, "source_not_asked", json_text(v->not_asked));
    cli_print_json(j);
}

static void print_verdict(const struct verifying *v, const struct audit_verdict *verdict, int code)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(65536);
    terminal_look(&term);
    for (size_t i = 0; i < verdict->shown; i++)
        strbuf_addf(&out, "  %s\n", verdict->findings[i]);
    if (verdict->finding_count > verdict->shown)
        strbuf_addf(&out, "  and %" PRIu64 " more\n", verdict->finding_count - verdict->shown);
    terminal_paint(&term, &out,
                   code == CLI_EXIT_OK   ? COLOR_GREEN
                   : code == EXIT_BROKEN ? COLOR_RED
                                         : COLOR_YELLOW,
                   verdict_name(code));
    strbuf_addf(&out, "  %" PRId64 " rows, last seq %" PRId64 ", hash %s\n", verdict->rows, verdict->last.seq,
                verdict->rows > 0 ? verdict->last.hash : "none");
    if (v->not_asked != NULL)
        strbuf_addf(&out, "  the source was not asked for the last hash: %s\n", v->not_asked);
    if (v->count == 0)
        strbuf_adds(
            &out,
            "  rows cut off at the end would not be seen: no hash is known from elsewhere (--expect)\n");
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

static int verify(struct cli *cli, struct audit *a)
{
    struct err err = ERR_INIT;
    struct audit_verdict verdict;
    struct verifying v = {.source = ERR_INIT};
    if (!read_expected(cli, &v))
        return CLI_EXIT_USAGE;
    ask_source(cli, &v);
    if (v.source.code == ERR_UNSUPPORTED) /* a newer version has worked there: not to be had by waiting */
        return cli_error(cli, &v.source);
    if (!audit_verify(a, v.expected, v.count, &verdict, &err))
        return cli_error(cli, &err) == CLI_EXIT_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_NOT_RUN;
    int code = verdict_code(&v, &verdict);
    if (cli_flag(cli, "json") != NULL)
        print_verdict_json(&v, &verdict, code);
    else
        print_verdict(&v, &verdict, code);
    return code;
}

int cmd_audit(struct cli *cli)
{
    const char *verb = cli_arg(cli, 0);
    struct err err = ERR_INIT;
    struct audit *a = NULL;
    bool list = strcmp(verb, "list") == 0, export = strcmp(verb, "export") == 0;
    if (cli->arg_count != 1 || (!list && !export && strcmp(verb, "verify") != 0))
        return cli_usage_error(cli, "say list, export or verify");
    if (!audit_open(config_text(cli->cfg, "target.url"), config_text(cli->cfg, "pipeline"), &a, &err))
        return cli_error(cli, &err);
    int code = list || export ? show(cli, a, export) : verify(cli, a);
    audit_close(a);
    return code;
}
