/*
 * crossfade [-c FILE] [--key=value…] COMMAND [ARGUMENT…] [FLAG…]: finds the command, divides its arguments
 * into its own flags and options of the configuration, loads that, and runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "config/suggest.h"
#include "core/alloc.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/no_dump.h"
#include "guard_terminal.h"
#include "hide_args.h"

struct invocation {
    const struct command *command;
    const char *config_path;
    bool help, version, reverse;
    const char **overrides; /* "key=value" */
    size_t override_count;
    const char **args;
    size_t arg_count;
    struct cli_given *given;
    size_t given_count;
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    }
    return NULL;
}

static bool complain_command(const char *name)
{
    const char *best = NULL;
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < command_count; i++) {
        if (!command_table[i].hidden)
            suggest_consider(name, command_table[i].name, &best, &distance);
    }
    if (best != NULL && suggest_is_near(name, distance))
        (void)fprintf(stderr, "crossfade: unknown command \"%s\" (did you mean %s?)\n", name, best);
    else
        (void)fprintf(stderr, "crossfade: unknown command \"%s\" (crossfade --help lists all)\n", name);
    return false;
}

static const char *place(const struct invocation *inv)
{
    return inv->command != NULL ? inv->command->name : "";
}

static bool complain(const struct invocation *inv, const char *flag, const char *what)
{
    (void)fprintf(stderr, "crossfade%s%s: %s: %s\n", inv->command != NULL ? " " : "", place(inv), flag, what);
    return false;
}

static bool complain_flag(const struct invocation *inv, const char *word)
{
    const char *best = NULL;
    char what[200] = "unknown flag (see --help; options of the configuration are written --key=value)";
    size_t distance = SIZE_MAX;
    suggest_consider(word + 2, "help", &best, &distance);
    suggest_consider(word + 2, "version", &best, &distance);
    for (const struct cli_flag *f = inv->command != NULL ? inv->command->flags : NULL;
         f != NULL && f->name != NULL; f++)
        suggest_consider(word + 2, f->name, &best, &distance);
    if (suggest_is_near(word + 2, distance))
        (void)snprintf(what, sizeof what, "unknown flag (did you mean --%s?)", best);
    return complain(inv, word, what);
}

/* The command's own flag of this name (up to '='), or NULL. */
static const struct cli_flag *find_flag(const struct command *command, const char *name, size_t len)
{
    for (const struct cli_flag *f = command != NULL ? command->flags : NULL; f != NULL && f->name != NULL;
         f++) {
        if (strlen(f->name) == len && strncmp(f->name, name, len) == 0)
            return f;
    }
    return NULL;
}

/* --name, --name=text or --name text. `next` is the word behind it, or NULL; *ret_used tells whether it was
 * taken. */
static bool take_own_flag(struct invocation *inv, const struct cli_flag *flag, const char *word,
                          const char *next, bool *ret_used)
{
    const char *equals = strchr(word, '=');
    *ret_used = false;
    if (flag->value == NULL && equals != NULL)
        return complain(inv, word, "takes no value");
    const char *text = equals != NULL ? equals + 1 : "";
    if (flag->value != NULL && equals == NULL) {
        if (next == NULL)
            return complain(inv, word, "needs a value");
        text = next;
        *ret_used = true;
    }
    inv->given[inv->given_count++] = (struct cli_given){.flag = flag, .text = text};
    return true;
}

static bool take_config_path(struct invocation *inv, const char *word, const char *next, bool *ret_used)
{
    const char *equals = strchr(word, '=');
    *ret_used = equals == NULL;
    inv->config_path = equals != NULL ? equals + 1 : next;
    return inv->config_path != NULL || complain(inv, word, "needs a file name");
}

static bool take_flag(struct invocation *inv, const char *word, const char *next, bool *ret_used)
{
    *ret_used = false;
    if (strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0 || strncmp(word, "--config=", 9) == 0)
        return take_config_path(inv, word, next, ret_used);
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        inv->help = true;
        return true;
    }
    if (strcmp(word, "--version") == 0) {
        inv->version = true;
        return true;
    }
    if (strcmp(word, "--reverse") == 0) {
        inv->reverse = true;
        return true;
    }
    const struct cli_flag *output = strcmp(word, "-o") == 0 ? find_flag(inv->command, "output", 6) : NULL;
    if (output != NULL)
        return take_own_flag(inv, output, word, next, ret_used);
    if (strncmp(word, "--", 2) != 0 || word[2] == '\0')
        return complain(inv, word, "unknown flag (see --help)");
    const struct cli_flag *own = find_flag(inv->command, word + 2, strcspn(word + 2, "="));
    if (own != NULL)
        return take_own_flag(inv, own, word, next, ret_used);
    if (strchr(word, '=') == NULL)
        return complain_flag(inv, word);
    inv->overrides[inv->override_count++] = word + 2;
    return true;
}

static bool parse(int argc, char **argv, struct invocation *inv)
{
    size_t room = (size_t)argc + 1;
    inv->overrides = xcalloc(room, sizeof *inv->overrides);
    inv->args = xcalloc(room, sizeof *inv->args);
    inv->given = xcalloc(room, sizeof *inv->given);
    bool flags_end = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool used = false;
        if (!flags_end && strcmp(word, "--") == 0) {
            flags_end = true;
        } else if (!flags_end && word[0] == '-' && word[1] != '\0') {
            if (!take_flag(inv, word, i + 1 < argc ? argv[i + 1] : NULL, &used))
                return false;
            i += used;
        } else if (inv->command == NULL) {
            inv->command = find_command(word);
            if (inv->command == NULL)
                return complain_command(word);
        } else {
            inv->args[inv->arg_count++] = word;
        }
    }
    return true;
}

static enum log_level level_of(const char *name)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0)
            return (enum log_level)(LOG_LEVEL_DEBUG + (int)i);
    }
    return LOG_LEVEL_INFO;
}

/* The pipeline of the way back in place of the configured one. */
static bool turn_round(const struct command *command, struct config **cfg, struct err *err)
{
    struct config *turned = NULL;
    if (!config_reversed(*cfg, &turned, err))
        return false;
    if (config_comes_from_mariadb(turned) && !command->turns_mariadb) {
        config_free(turned);
        return err_set(
            err, ERR_CONFIG,
            "%s: not there for a way back that begins at MariaDB (target.url). Hint: docs/OPERATIONS.md, "
            "\"The way back from MariaDB\"",
            command->name);
    }
    config_free(*cfg);
    *cfg = turned;
    return true;
}

static bool read_config(const struct invocation *inv, struct strbuf *problems, struct config **ret,
                        struct err *err)
{
    if (!config_load_reporting(inv->config_path, inv->overrides, inv->override_count, problems, ret, err))
        return false;
    bool turned = inv->reverse || inv->command->reversed;
    if ((!turned || turn_round(inv->command, ret, err)) && config_require_for(*ret, inv->command->name, err))
        return true;
    strbuf_addf(problems, "%s\n", err->text);
    config_free(*ret);
    *ret = NULL;
    return false;
}

static bool load_config(const struct invocation *inv, struct config **ret, int *ret_exit)
{
    struct strbuf problems = STRBUF_INIT(64 << 10);
    struct err err = ERR_INIT;
    bool good = read_config(inv, &problems, ret, &err);
    if (!good)
        (void)fputs(problems.data, stderr);
    strbuf_release(&problems);
    *ret_exit = good ? 0 : err_exit_code(err.code);
    return good;
}

bool cli_load_again(const struct cli *cli, struct strbuf *problems, struct config **ret, struct err *err)
{
    return read_config(cli->invocation, problems, ret, err);
}

enum log_level cli_log_level(const struct config *cfg)
{
    return level_of(config_text(cfg, "log.level"));
}

static void log_as_configured(const struct command *command, const struct config *cfg)
{
    log_init(command->name, level_of(config_text(cfg, "log.level")),
             strcmp(config_text(cfg, "log.format"), "json") == 0);
}

void cli_log_as_role(const struct cli *cli)
{
    log_as_configured(cli->command, cli->cfg);
}

static void start_log(const struct command *command, const struct config *cfg)
{
    if (command->logs && cfg != NULL)
        log_as_configured(command, cfg);
    else
        log_init(command->name, LOG_LEVEL_WARN, false);
}

static int run_command(const struct invocation *inv)
{
    if (inv->reverse && !inv->command->turns) {
        (void)complain(inv, "--reverse", "this command does not work at the way back");
        return CLI_EXIT_USAGE;
    }
    struct config *cfg = NULL;
    struct err err = ERR_INIT;
    int code = 0;
    if (inv->command->needs_config && !load_config(inv, &cfg, &code))
        return code;
    start_log(inv->command, cfg);
    failpoint_init();
    struct cli cli = {.command = inv->command,
                      .cfg = cfg,
                      .args = inv->args,
                      .arg_count = inv->arg_count,
                      .given = inv->given,
                      .given_count = inv->given_count,
                      .invocation = inv};
    if (!cli_signals_init(inv->command->stop, &cli.stop_fd, &err))
        code = cli_error(&cli, &err);
    else
        code = inv->command->run(&cli);
    config_free(cfg);
    return code;
}

/* Before anything is read that is nobody else's business. */
static bool keep_to_ourselves(void)
{
    struct err err = ERR_INIT;
    bool ok = no_dump_init(&err);
    if (!ok)
        (void)fprintf(stderr, "crossfade: %s\n", err.text);
    return ok;
}

static int dispatch(const struct invocation *inv)
{
    guard_terminal(inv->command != NULL && strcmp(inv->command->name, "status") == 0);
    if (inv->version) {
        (void)printf("crossfade %s\n", CF_VERSION);
        return CLI_EXIT_OK;
    }
    if (inv->help) {
        cli_print_help(inv->command);
        return CLI_EXIT_OK;
    }
    if (inv->command == NULL) {
        (void)fputs("crossfade: a command is missing (crossfade --help lists all)\n", stderr);
        return CLI_EXIT_USAGE;
    }
    return run_command(inv);
}

int main(int argc, char **argv)
{
    struct invocation inv = {0};
    memory_init();
    char **words = hide_args(argc, argv);
    int code = keep_to_ourselves() && parse(argc, words, &inv) ? dispatch(&inv) : CLI_EXIT_USAGE;
    free(inv.overrides);
    free(inv.args);
    free(inv.given);
    hide_args_free(words);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_EXIT_OK) {
        (void)fputs("crossfade: stdout cannot be written\n", stderr);
        code = CLI_EXIT_NOT_RUN;
    }
    return code;
}
