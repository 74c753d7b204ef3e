/* See cutover_report.h. */
#include "cutover_report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cutover/dossier/dossier.h"
#include "cutover_text.h"
#include "print_json.h"

#define TEXT_BYTES_MAX ((size_t)4 << 20)

bool cutover_report_place_fits(const struct cli *cli, int *ret_code)
{
    const char *place = cli_flag(cli, "report");
    if (place == NULL || dossier_place_fits(place))
        return true;
    *ret_code = cli_usage_error(cli, "--report %s: say a folder, or a file ….html or ….json", place);
    return false;
}

char *cutover_report_write(const struct cli *cli, const struct cutover_report *now, const struct err *failed,
                           struct err *err)
{
    const char *place = cli_flag(cli, "report");
    const struct dossier_request req = {
        .command = cli_arg(cli, 0), .now = now, .failed = err_is_set(failed) ? failed->text : NULL};
    json_t *doc = NULL;
    char *file = NULL;
    if (place == NULL || !dossier_make(cli->cfg, &req, &doc, err))
        return NULL;
    if (!dossier_write(cli->cfg, doc, place, &file, err)) {
        free(file);
        file = NULL;
    }
    json_decref(doc);
    return file;
}

static void print_text(const json_t *doc)
{
    struct terminal term;
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    terminal_look(&term);
    cutover_text_report(&term, doc, &out);
    terminal_write(&term, out.data);
    strbuf_release(&out);
}

int cutover_report_verb(struct cli *cli, const char *id)
{
    const struct dossier_request req = {.command = cli_arg(cli, 0), .id = id};
    const char *place = cli_flag(cli, "report");
    struct err err = ERR_INIT;
    json_t *doc = NULL;
    char *file = NULL;
    if (!dossier_make(cli->cfg, &req, &doc, &err))
        return cli_error(cli, &err);
    bool ok = place == NULL || dossier_write(cli->cfg, doc, place, &file, &err);
    if (ok && cli_flag(cli, "json") != NULL)
        cli_print_json(json_incref(doc));
    else if (ok && file != NULL)
        puts(file);
    else if (ok)
        print_text(doc);
    free(file);
    json_decref(doc);
    return ok ? CLI_EXIT_OK : cli_error(cli, &err);
}
