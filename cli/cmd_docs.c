/* crossfade docs config|man|types|metrics|events|cutover|alerts|bash|zsh: the generated documents, for tools/docs. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "completion.h"
#include "control/metric_table.h"
#include "core/alert_events.h"
#include "core/log_events.h"
#include "cutover/cutover.h"
#include "schema/schema.h"

int cmd_docs(struct cli *cli)
{
    const char *what = cli_arg(cli, 0);
    if (strcmp(what, "man") == 0) {
        cli_print_man();
        return CLI_EXIT_OK;
    }
    static const struct {
        const char *name;
        void (*write)(struct strbuf *out);
    } pages[] = {{"config", config_reference_markdown},
                 {"types", schema_rules_markdown},
                 {"metrics", metrics_markdown},
                 {"events", log_events_markdown},
                 {"cutover", cutover_markdown},
                 {"alerts", alert_events_markdown},
                 {"bash", completion_bash},
                 {"zsh", completion_zsh}};
    struct strbuf out = STRBUF_INIT(1 << 20);
    size_t i = 0;
    while (i < ARRAY_LEN(pages) && strcmp(pages[i].name, what) != 0)
        i++;
    if (i == ARRAY_LEN(pages))
        return cli_usage_error(cli,
                               "expected config, man, types, metrics, events, cutover, alerts, bash or zsh");
    pages[i].write(&out);
    (void)fputs(out.data, stdout);
    strbuf_release(&out);
    return CLI_EXIT_OK;
}
