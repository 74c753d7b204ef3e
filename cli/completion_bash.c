/* crossfade docs bash: what `complete -F` asks. Bash cuts words at '=', so a value may stand in a word of its own. */
#include <stdio.h>
#include <string.h>

#include "completion.h"
#include "completion_words.h"

static const char head[] =
    "# bash completion for crossfade. Made by \"crossfade docs bash\" from the command and option tables: "
    "change those, "
    "not this.\n"
    "# shellcheck shell=bash disable=SC2207\n"
    "\n"
    "# What may stand behind a flag: sets kind (none, free, file, folder) and choices.\n"
    "_crossfade_value() {\n"
    "    kind=none choices=\n"
    "    case \"$1 $2\" in\n";

static const char middle[] = "    esac\n"
                             "}\n"
                             "\n"
                             "# The words of a command: verbs, flags.\n"
                             "_crossfade_command() {\n"
                             "    verbs= flags=\n"
                             "    case \"$1\" in\n";

static const char tail[] =
    "    esac\n"
    "}\n"
    "\n"
    "_crossfade() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} flag='' command='' verb='' word kind choices verbs flags i\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $word == = ]]; then # --flag = value\n"
    "            if ((i + 1 < COMP_CWORD)); then flag='' && ((i++)); fi\n"
    "            continue\n"
    "        fi\n"
    "        if [[ -n $flag ]]; then\n"
    "            _crossfade_value \"$command\" \"$flag\"\n"
    "            flag=''\n"
    "            [[ $kind == none ]] || continue # the flag's value\n"
    "        fi\n"
    "        if [[ $word == -* ]]; then flag=$word\n"
    "        elif [[ -z $command ]]; then command=$word\n"
    "        else verb=\"$verb${verb:+ }$word\"\n"
    "        fi\n"
    "    done\n"
    "    COMPREPLY=()\n"
    "    [[ $cur != = ]] || cur=''\n"
    "    if [[ -n $flag ]]; then\n"
    "        _crossfade_value \"$command\" \"$flag\"\n"
    "        if [[ -n $choices ]]; then COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\")); return; fi\n"
    "        case $kind in\n"
    "        file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
    "        folder) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
    "        free) return ;;\n"
    "        esac\n"
    "    fi\n"
    "    _crossfade_command \"$command\"\n"
    "    if [[ $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
    "        [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null\n"
    "    elif [[ -z $command || -z $verb ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
    "    else\n"
    "        _crossfade_command \"$command $verb\"\n"
    "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
    "    fi\n"
    "}\n"
    "\n"
    "complete -F _crossfade crossfade\n";

static void add_kind(const char *command, const char *flag, enum value_kind kind, const char *choices,
                     struct strbuf *out)
{
    static const char *const names[] = {
        [VALUE_FREE] = "free", [VALUE_FILE] = "file", [VALUE_FOLDER] = "folder", [VALUE_CHOICE] = "free"};
    strbuf_addf(out, "    '%s%s--%s') kind=%s", command != NULL ? command : "", command != NULL ? " " : "",
                flag, names[kind]);
    if (choices != NULL) {
        strbuf_adds(out, " choices='");
        completion_choices(choices, out);
        strbuf_adds(out, "'");
    }
    strbuf_adds(out, " ;;\n");
}

static void add_values(struct strbuf *out)
{
    strbuf_adds(out, "    *' -c' | *' --config') kind=file ;;\n");
    for (size_t i = 0; i < command_count; i++) {
        for (const struct cli_flag *f = command_table[i].flags; f != NULL && f->name != NULL; f++) {
            enum value_kind kind = completion_value_kind(f->value);
            if (kind != VALUE_NONE && !command_table[i].hidden)
                add_kind(command_table[i].name, f->name, kind, kind == VALUE_CHOICE ? f->value : NULL, out);
        }
    }
    struct config_option_shape shape;
    for (size_t i = 0; config_option_shape(i, &shape); i++) {
        if (shape.choices != NULL || shape.is_path)
            strbuf_addf(out, "    *' --%s') kind=%s", shape.key, shape.is_path ? "file" : "free");
        if (shape.choices != NULL) {
            strbuf_adds(out, " choices='");
            completion_choices(shape.choices, out);
            strbuf_adds(out, "'");
        }
        if (shape.choices != NULL || shape.is_path)
            strbuf_adds(out, " ;;\n");
    }
    strbuf_adds(out, "    *' --'*.*) kind=free ;;\n");
}

static void add_flags(const struct command *command, struct strbuf *out)
{
    strbuf_adds(out, " flags='");
    for (const struct cli_flag *f = command != NULL ? command->flags : NULL; f != NULL && f->name != NULL;
         f++)
        strbuf_addf(out, "--%s%s ", f->name, f->value != NULL ? "=" : "");
    strbuf_adds(out, command != NULL && command->turns ? "--config= --reverse --help" : "--config= --help");
    if (command == NULL)
        strbuf_adds(out, " --reverse --version");
    struct config_option_shape shape;
    for (size_t i = 0; command != NULL && config_option_shape(i, &shape); i++) {
        if (config_option_is_read_by(i, command->name))
            strbuf_addf(out, " --%s=", shape.key);
    }
    strbuf_adds(out, "' ;;\n");
}

static void add_sub_verbs(const struct command *command, const char *verbs, struct strbuf *out)
{
    for (const char *p = verbs; *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
        char first[40];
        struct strbuf more = STRBUF_INIT(2000);
        (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(p, " "), p);
        completion_verbs(command, first, &more);
        if (more.len > 0)
            strbuf_addf(out, "    '%s %s') verbs='%s' ;;\n", command->name, first, more.data);
        strbuf_release(&more);
    }
}

void completion_bash(struct strbuf *out)
{
    strbuf_adds(out, head);
    add_values(out);
    strbuf_adds(out, middle);
    strbuf_adds(out, "    '') verbs='");
    for (size_t i = 0, n = 0; i < command_count; i++) {
        if (!command_table[i].hidden)
            strbuf_addf(out, "%s%s", n++ > 0 ? " " : "", command_table[i].name);
    }
    strbuf_adds(out, "'");
    add_flags(NULL, out);
    for (size_t i = 0; i < command_count; i++) {
        struct strbuf verbs = STRBUF_INIT(2000);
        if (command_table[i].hidden)
            continue;
        completion_verbs(&command_table[i], NULL, &verbs);
        strbuf_addf(out, "    %s) verbs='%s'", command_table[i].name, verbs.data);
        add_flags(&command_table[i], out);
        add_sub_verbs(&command_table[i], verbs.data, out);
        strbuf_release(&verbs);
    }
    strbuf_adds(out, tail);
}
