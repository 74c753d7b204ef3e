/* crossfade docs config|man: the generated documents, for tools/docs. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

int cmd_docs(struct cli *cli)
{
    const char *what = cli_arg(cli, 0);
    if (strcmp(what, "man") == 0) {
        cli_print_man();
        return CLI_EXIT_OK;
    }
    if (strcmp(what, "config") != 0)
        return cli_usage_error(cli, "expected config or man");
    struct strbuf out = STRBUF_INIT(1 << 20);
    config_reference_markdown(&out);
    (void)fputs(out.data, stdout);
    strbuf_release(&out);
    return CLI_EXIT_OK;
}
