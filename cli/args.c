/* Values of a command's own flags, and messages about them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "maria/url.h"

const char *cli_flag_nth(const struct cli *cli, const char *name, size_t n)
{
    for (size_t i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].flag->name, name) == 0 && n-- == 0)
            return cli->given[i].text;
    }
    return NULL;
}

const char *cli_flag(const struct cli *cli, const char *name)
{
    const char *last = NULL;
    for (size_t i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].flag->name, name) == 0)
            last = cli->given[i].text;
    }
    return last;
}

bool cli_flag_int(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t def,
                  int64_t *ret)
{
    const char *text = cli_flag(cli, name);
    if (text == NULL) {
        *ret = def;
        return true;
    }
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && n >= min && n <= max) {
        *ret = n;
        return true;
    }
    (void)cli_usage_error(cli, "--%s: found \"%s\", expected a whole number from %lld to %lld", name, text,
                          (long long)min, (long long)max);
    return false;
}

const char *cli_arg(const struct cli *cli, size_t n)
{
    return n < cli->arg_count ? cli->args[n] : "";
}

int cli_usage_error(const struct cli *cli, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "crossfade %s: %s\n", cli->command->name, text);
    return CLI_EXIT_USAGE;
}

bool cli_refuses_mariadb(const struct cli *cli, int *ret_code)
{
    const char *url = cli->cfg != NULL ? config_text(cli->cfg, "target.url") : NULL;
    if (url == NULL || !maria_is_url(url))
        return false;
    *ret_code = cli_usage_error(
        cli, "target.url names MariaDB, which this part of %s cannot read yet: it needs a PostgreSQL target",
        cli->command->name);
    return true;
}

int cli_error(const struct cli *cli, const struct err *err)
{
    (void)fprintf(stderr, "crossfade %s: %s\n", cli->command->name, err->text);
    return err_exit_code(err->code);
}
