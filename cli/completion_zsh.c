/* crossfade docs zsh: the same for _arguments, with what each word does. */
#include <stdio.h>
#include <string.h>

#include "completion.h"
#include "completion_words.h"

#define HELP_MAX 90

static const char head[] = "#compdef crossfade\n"
                           "# zsh completion for crossfade. Made by \"crossfade docs zsh\" from the command "
                           "and option tables: change those, "
                           "not this.\n"
                           "\n"
                           "_crossfade() {\n"
                           "  local context state state_descr line ret=1\n"
                           "  typeset -A opt_args\n"
                           "  local -a commands shared own\n"
                           "  shared=(\n"
                           "    '(-c --config)-c[configuration]:file:_files'\n"
                           "    '(-c --config)--config=[configuration]:file:_files'\n"
                           "    '(- *)'{-h,--help}'[what there is]'\n"
                           "    '--reverse[work at the way back]'\n"
                           "  )\n"
                           "  commands=(\n";

static const char middle[] =
    "  )\n"
    "  _arguments -C $shared '(- *)--version[print the version]' '1: :->command' '*:: :->rest' && ret=0\n"
    "  case $state in\n"
    "  command) _describe -t commands command commands && ret=0 ;;\n"
    "  rest)\n"
    "    case $words[1] in\n";

static const char tail[] = "    esac\n"
                           "    ;;\n"
                           "  esac\n"
                           "  return ret\n"
                           "}\n"
                           "\n"
                           "_crossfade \"$@\"\n";

/* Inside '…[…]': without what ends either; cut at a word. */
static void add_help(const char *text, struct strbuf *out)
{
    size_t len = strlen(text);
    if (len > HELP_MAX) {
        len = HELP_MAX;
        while (len > 0 && text[len] != ' ')
            len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\'')
            strbuf_adds(out, "'\\''");
        else if (strchr("[]:\\", text[i]) != NULL)
            strbuf_addf(out, "\\%c", text[i]);
        else
            strbuf_addc(out, text[i] == '\n' ? ' ' : text[i]);
    }
}

static void add_spec(const char *name, const char *help, enum value_kind kind, const char *choices,
                     struct strbuf *out)
{
    strbuf_addf(out, "        '*--%s%s[", name, kind != VALUE_NONE ? "=" : "");
    add_help(help, out);
    strbuf_adds(out, "]");
    if (choices != NULL) {
        strbuf_adds(out, ":value:(");
        completion_choices(choices, out);
        strbuf_adds(out, ")");
    } else if (kind != VALUE_NONE) {
        strbuf_addf(out, ":value:%s",
                    kind == VALUE_FILE     ? "_files"
                    : kind == VALUE_FOLDER ? "_files -/"
                                           : " ");
    }
    strbuf_adds(out, "'\n");
}

static void add_command(const struct command *command, struct strbuf *out)
{
    struct strbuf verbs = STRBUF_INIT(2000);
    struct config_option_shape shape;
    strbuf_addf(out, "    %s)\n      own=(\n", command->name);
    for (const struct cli_flag *f = command->flags; f != NULL && f->name != NULL; f++) {
        enum value_kind kind = completion_value_kind(f->value);
        add_spec(f->name, f->help, kind, kind == VALUE_CHOICE ? f->value : NULL, out);
    }
    for (size_t i = 0; config_option_shape(i, &shape); i++) {
        if (config_option_is_read_by(i, command->name))
            add_spec(shape.key, shape.help, shape.is_path ? VALUE_FILE : VALUE_FREE, shape.choices, out);
    }
    completion_verbs(command, NULL, &verbs);
    for (const char *p = verbs.data; *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
        char first[40];
        struct strbuf more = STRBUF_INIT(2000);
        (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(p, " "), p);
        completion_verbs(command, first, &more);
        if (more.len > 0) /* the second word depends on the first */
            strbuf_addf(out, "      )\n      [[ $words[2] != %s ]] || own+=('2:what:(%s)')\n      own+=(\n",
                        first, more.data);
        strbuf_release(&more);
    }
    if (verbs.len > 0)
        strbuf_addf(out, "        '1:verb:(%s)'\n", verbs.data);
    strbuf_adds(out, "        '*: : '\n      )\n      _arguments $shared $own && ret=0\n      ;;\n");
    strbuf_release(&verbs);
}

void completion_zsh(struct strbuf *out)
{
    strbuf_adds(out, head);
    for (size_t i = 0; i < command_count; i++) {
        if (command_table[i].hidden)
            continue;
        strbuf_addf(out, "    '%s:", command_table[i].name);
        add_help(command_table[i].summary, out);
        strbuf_adds(out, "'\n");
    }
    strbuf_adds(out, middle);
    for (size_t i = 0; i < command_count; i++) {
        if (!command_table[i].hidden)
            add_command(&command_table[i], out);
    }
    strbuf_adds(out, tail);
}
