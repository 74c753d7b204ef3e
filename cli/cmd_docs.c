/* crossfade docs config|man|types: the generated documents, for tools/docs. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "schema/schema.h"

int cmd_docs(struct cli *cli)
{
    const char *what = cli_arg(cli, 0);
    if (strcmp(what, "man") == 0) {
        cli_print_man();
        return CLI_EXIT_OK;
    }
    bool types = strcmp(what, "types") == 0;
    if (!types && strcmp(what, "config") != 0)
        return cli_usage_error(cli, "expected config, man or types");
    struct strbuf out = STRBUF_INIT(1 << 20);
    if (types)
        schema_rules_markdown(&out);
    else
        config_reference_markdown(&out);
    (void)fputs(out.data, stdout);
    strbuf_release(&out);
    return CLI_EXIT_OK;
}
