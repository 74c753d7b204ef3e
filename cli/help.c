/* --help and the man page, both made from the command and option tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "core/alloc.h"

#define WIDTH 78

static const struct cli_flag shared_flags[] = {
    {"config", "FILE",
     "configuration; also -c FILE. Default: $CROSSFADE_CONFIG, ./crossfade.yaml, "
     "~/.config/crossfade/crossfade.yaml, /etc/crossfade/crossfade.yaml"},
    {"KEY", "VALUE", "any option of the configuration, such as --source.url=…; it wins over the file"},
    {"reverse", NULL,
     "works at the way back, the same pipeline turned round (capture, apply, status, journal, compare, "
     "check, audit, cleanup)"},
    {"help", NULL, "this text; behind a command, its own"},
    {"version", NULL, "print the version"},
    {NULL, NULL, NULL},
};

/* Wraps at blanks; `used` columns of the first line are taken already. */
static void print_wrapped(const char *text, int indent, int used)
{
    int column = used;
    bool line_start = true;
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (!line_start && column + 1 + len > WIDTH) {
            (void)printf("\n%*s", indent, "");
            column = indent;
            line_start = true;
        }
        (void)printf("%s%.*s", line_start ? "" : " ", len, text);
        column += len + !line_start;
        line_start = false;
        text += len;
        text += *text == ' ';
    }
    (void)putchar('\n');
}

static void print_flags(const struct cli_flag *flags)
{
    for (const struct cli_flag *f = flags; f != NULL && f->name != NULL; f++) {
        char *left =
            xasprintf("  --%s%s%s", f->name, f->value != NULL ? "=" : "", f->value != NULL ? f->value : "");
        int used = printf("%-22s ", left);
        free(left);
        print_wrapped(f->help, 23, used);
    }
}

static void print_command_help(const struct command *command)
{
    (void)printf("usage: crossfade [-c FILE] %s %s\n\n", command->name, command->usage);
    (void)printf("%s\n", command->summary);
    if (command->text != NULL) {
        (void)putchar('\n');
        print_wrapped(command->text, 0, 0);
    }
    (void)printf("\nflags:\n");
    print_flags(command->flags);
    print_flags(shared_flags);
}

void cli_print_help(const struct command *command)
{
    if (command != NULL) {
        print_command_help(command);
        return;
    }
    (void)printf("usage: crossfade [-c FILE] [--KEY=VALUE…] COMMAND [ARGUMENT…]\n\n"
                 "Moves a live database to another one, proven equal, with a way back.\n\ncommands:\n");
    for (size_t i = 0; i < command_count; i++) {
        if (!command_table[i].hidden)
            (void)printf("  %-10s %s\n", command_table[i].name, command_table[i].summary);
    }
    (void)printf("\nflags:\n");
    print_flags(shared_flags);
    (void)printf(
        "\ncrossfade COMMAND --help tells more; docs/CONFIG.md lists the options of the configuration.\n");
}

static void print_roff(const char *text)
{
    for (bool line_start = true; *text != '\0'; line_start = *text == '\n', text++) {
        if (line_start && (*text == '.' || *text == '\''))
            (void)fputs("\\&", stdout);
        if (*text == '\\')
            (void)fputs("\\e", stdout);
        else if (*text == '-')
            (void)fputs("\\-", stdout);
        else
            (void)putchar(*text);
    }
}

static void print_man_flags(const struct cli_flag *flags)
{
    for (const struct cli_flag *f = flags; f != NULL && f->name != NULL; f++) {
        (void)printf(".TP\n.B \\-\\-");
        print_roff(f->name);
        if (f->value != NULL) {
            (void)putchar('=');
            print_roff(f->value);
        }
        (void)putchar('\n');
        print_roff(f->help);
        (void)putchar('\n');
    }
}

static void print_man_command(const struct command *command)
{
    (void)printf(".SS crossfade ");
    print_roff(command->name);
    (void)putchar(' ');
    print_roff(command->usage);
    (void)putchar('\n');
    print_roff(command->summary);
    (void)printf(".\n");
    if (command->text != NULL) {
        print_roff(command->text);
        (void)putchar('\n');
    }
    print_man_flags(command->flags);
}

void cli_print_man(void)
{
    (void)printf(
        ".\\\" Made by \"crossfade docs man\" from the command and option tables: change those, not this.\n"
        ".TH CROSSFADE 1 \"\" \"crossfade %s\" \"User Commands\"\n"
        ".ad l\n" /* long patterns cannot be adjusted */
        ".SH NAME\ncrossfade \\- moves a live database to another one, proven equal, with a way back\n"
        ".SH SYNOPSIS\n.B crossfade\n[\\-c FILE] [\\-\\-KEY=VALUE...] COMMAND [ARGUMENT...]\n"
        ".SH COMMANDS\n",
        CF_VERSION);
    for (size_t i = 0; i < command_count; i++) {
        if (!command_table[i].hidden)
            print_man_command(&command_table[i]);
    }
    (void)printf(".SH FLAGS\n");
    print_man_flags(shared_flags);
    (void)printf(
        ".SH CONFIGURATION\nOne YAML file; sections are written as name: { key: value }. In it, "
        "${VAR} stands for an "
        "environment variable, ${VAR:\\-text} has a default, ${credential:NAME} for what a file below "
        "$CREDENTIALS_DIRECTORY holds (${credential\\-url:NAME}: percent\\-encoded), $$ is a dollar sign.\n");
    struct strbuf options = STRBUF_INIT(1 << 20);
    config_reference_man(&options);
    (void)fputs(options.data, stdout);
    strbuf_release(&options);
    (void)printf(
        ".SH EXIT STATUS\n"
        ".B compare:\n0 match, 1 differ, 2 usage or configuration, 3 inconclusive, 4 could not run.\n.br\n"
        ".B cutover:\n0 done, 10 a gate refused and nothing changed, 11 aborted with the source serving, 12 "
        "needs a person.\n.br\n"
        ".B all others:\n0 done or stopped by signal, 1 a check failed, 2 usage or configuration, 4 could "
        "not run, 5 halted "
        "and needs a person.\n"
        ".SH ENVIRONMENT\nCROSSFADE_CONFIG names the configuration. NO_COLOR turns colours off. libpq's "
        "variables (PGPASSFILE, "
        "PGSSLROOTCERT, ...) hold for connections.\n");
}
