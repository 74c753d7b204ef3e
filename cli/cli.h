/*
 * The executable: what subcommands get, and the table row that makes one (commands.c). A subcommand is one
 * file, cmd_<name>.c. stdout holds the result, stderr the talk. Exit codes: DESIGN/ARCHITECTURE,
 * err_exit_code().
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "core/err.h"
#include "core/log.h"

enum {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILED = 1, /* a check failed */
    CLI_EXIT_USAGE = 2,
    CLI_EXIT_NOT_RUN = 4
};

/* A command's own flag. Options of the configuration are flags of every command that needs one, by
 * themselves. */
struct cli_flag {
    const char *name;  /* "timeout": --timeout=S or --timeout S */
    const char *value; /* "S"; NULL = takes none */
    const char *help;
};

struct cli_given {
    const struct cli_flag *flag;
    const char *text; /* "" for a flag without value */
};

enum cli_stop {
    STOP_DEFAULT = 0, /* SIGINT and SIGTERM end the process */
    STOP_BOUNDED,     /* first: stop_fd; second, or 10 s after the first: exit at once (roles lose nothing) */
    STOP_TWICE,       /* first: stop_fd; second: exit at once */
    STOP_PATIENT      /* stop_fd; further ones change nothing (a command that must put something back) */
};

struct command;
struct invocation;

struct cli {
    const struct command *command;
    const struct config *cfg; /* NULL if the command needs none */
    int stop_fd; /* readable once an orderly end is asked for (never read it); -1 with STOP_DEFAULT */
    const char *const *args; /* what is neither command nor flag: "run", "cat", … */
    size_t arg_count;
    const struct cli_given *given; /* own flags, in order */
    size_t given_count;
    const struct invocation *invocation;
};

/* The same configuration, read once more from where it came. *problems gets every one, a line each. */
bool cli_load_again(const struct cli *cli, struct strbuf *problems, struct config **ret,
                    struct err *err) MUST_CHECK;
/* log.level as a configuration has it. */
enum log_level cli_log_level(const struct config *cfg);

struct command {
    const char *name;
    int (*run)(struct cli *cli); /* exit code */
    bool needs_config;           /* config_require_for(name) has been asked as well */
    bool hidden;
    bool turns;         /* --reverse is understood: it then works at the way back */
    bool reversed;      /* it always does */
    bool turns_mariadb; /* also where that begins at MariaDB */
    bool logs;          /* log.level and log.format hold; else only warnings are logged */
    enum cli_stop stop;
    const char *usage;            /* behind the name; "" = nothing */
    const char *summary;          /* one line */
    const char *text;             /* for --help and the man page; NULL = none */
    const struct cli_flag *flags; /* ends with name NULL; NULL = none */
};

extern const struct command command_table[];
extern const size_t command_count;

/* Last value of an own flag ("" for one without value), NULL if it was not given. */
const char *cli_flag(const struct cli *cli, const char *name);
/* n-th value (from 0) of a flag that may be repeated, NULL behind the last. */
const char *cli_flag_nth(const struct cli *cli, const char *name, size_t n);
/* As cli_flag, as a whole number from min to max; `def` if it was not given. Says so and gives false if it
 * does not fit. */
bool cli_flag_int(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t def,
                  int64_t *ret) MUST_CHECK;
/* From now on the log is written as log.level and log.format say, also for a command that else only warns. */
void cli_log_as_role(const struct cli *cli);
/* args[n], or "" if there is none. */
const char *cli_arg(const struct cli *cli, size_t n);

/* One line on stderr, "crossfade status: …"; returns CLI_EXIT_USAGE or the error's own code. */
int cli_usage_error(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
int cli_error(const struct cli *cli, const struct err *err);
/* For commands that read a PostgreSQL target alone: whether target.url names MariaDB. Then *ret_code is set, and one line was said. */
bool cli_refuses_mariadb(const struct cli *cli, int *ret_code);

/* --help of one command, or of all (NULL). */
void cli_print_help(const struct command *command);
/* The man page in roff. */
void cli_print_man(void);

/* Blocks SIGINT and SIGTERM in this and all later threads and turns them into stop_fd as `how` says. Call
 * before threads start. False: not possible. */
bool cli_signals_init(enum cli_stop how, int *ret_stop_fd, struct err *err) MUST_CHECK;
/* STOP_BOUNDED: SIGHUP calls this, on the thread of signals, with the uid of its sender, from now on (NULL: no more). */
typedef void cli_on_hup(void *ctx, unsigned uid);
void cli_signals_on_hup(cli_on_hup *on_hup, void *ctx);
/* STOP_BOUNDED: the work has ended with this exit code, and what is left is bounded by end_guard.h. A second signal still ends the process
 * at once, with this code. @thread any */
void cli_signals_ends(int code);
/* For a command that looks on until it is stopped (STOP_DEFAULT): SIGINT and SIGTERM become its ordinary end,
 * exit code 0. */
void cli_signals_end_well(void);

/* Subcommands. */
int cmd_capture(struct cli *cli);
int cmd_apply(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_journal(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_docs(struct cli *cli);
/* Written with their modules; listed in commands.c once they exist. */
int cmd_compare(struct cli *cli);
int cmd_cutover(struct cli *cli);
int cmd_schema(struct cli *cli);
int cmd_audit(struct cli *cli);
int cmd_approve(struct cli *cli);
int cmd_rollback(struct cli *cli);
int cmd_cleanup(struct cli *cli);
int cmd_decommission(struct cli *cli);
int cmd_take_over(struct cli *cli);

extern const struct cli_flag capture_flags[], apply_flags[], status_flags[], journal_flags[], check_flags[],
    compare_flags[], cutover_flags[], schema_flags[], audit_flags[], approve_flags[], rollback_flags[],
    cleanup_flags[], decommission_flags[];

#endif
