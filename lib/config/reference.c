/* Writes the option table for people: docs/CONFIG.md, the man page's section, and the dump of a loaded
 * configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_internal.h"
#include "core/alloc.h"
#include "core/log.h"

static void add_commands(const struct option *opt, bool needed_only, struct strbuf *out)
{
    bool first = true;
    for (const char *p = opt->used_by; p != NULL && *p != '\0';) {
        bool needed = *p == '!';
        p += needed;
        size_t len = strcspn(p, " ");
        if (needed || !needed_only) {
            strbuf_addf(out, "%s%.*s", first ? "" : ", ", (int)len, p);
            first = false;
        }
        p += len;
        p += strspn(p, " ");
    }
}

static bool is_needed(const struct option *opt)
{
    return opt->used_by != NULL && strchr(opt->used_by, '!') != NULL;
}

static void add_default(const struct option *opt, const char *quote, struct strbuf *out)
{
    if (opt->def_key != NULL)
        strbuf_addf(out, "the value of %s%s%s", quote, opt->def_key, quote);
    else if (opt->def != NULL)
        strbuf_addf(out, "%s%s%s", quote, opt->def, quote);
    else
        strbuf_adds(out, "none");
}

static void add_section_heading(const struct option *opt, const char *last_section, struct strbuf *out)
{
    const char *dot = strchr(opt->key, '.');
    int len = dot != NULL ? (int)(dot - opt->key) : 0;
    if (strncmp(last_section, opt->key, (size_t)len) == 0 && (int)strlen(last_section) == len)
        return;
    strbuf_addf(out, "## %.*s\n\n", len, opt->key);
}

static void copy_section(const struct option *opt, char *out, size_t size)
{
    const char *dot = strchr(opt->key, '.');
    (void)snprintf(out, size, "%.*s", dot != NULL ? (int)(dot - opt->key) : 0, opt->key);
}

static void add_markdown(const struct option *opt, struct strbuf *out)
{
    strbuf_addf(out, "### `%s`\n%s\n\n- expects ", opt->key, opt->help);
    struct strbuf expected = STRBUF_INIT(2000);
    option_expected(opt, &expected);
    if (opt->pattern != NULL)
        strbuf_addf(out, "text that matches `%s`", opt->pattern);
    else
        strbuf_adds(out, expected.data);
    strbuf_release(&expected);
    strbuf_adds(out, "\n- default: ");
    add_default(opt, "`", out);
    if (opt->example != NULL)
        strbuf_addf(out, "\n- example: `%s`", opt->example);
    if (opt->live)
        strbuf_adds(out,
                    "\n- a running role takes up a new value (SIGHUP, or `crossfade apply|capture reload`)");
    strbuf_adds(out, "\n- read by: ");
    add_commands(opt, false, out);
    if (is_needed(opt)) {
        strbuf_adds(out, "; needed by: ");
        add_commands(opt, true, out);
    }
    strbuf_adds(out, "\n\n");
}

void config_reference_markdown(struct strbuf *out)
{
    strbuf_adds(
        out,
        "# Configuration\n\n"
        "<!-- Made by `crossfade docs config` from lib/config/options.c: change that, not this. -->\n\n"
        "One YAML file: `-c FILE`, else `$CROSSFADE_CONFIG`, `./crossfade.yaml`,\n"
        "`$XDG_CONFIG_HOME/crossfade/crossfade.yaml` (`~/.config` if that is not set) or\n"
        "`/etc/crossfade/crossfade.yaml`, whichever is found first. Every option is a flag as well, and the "
        "flag wins:\n"
        "`--source.url=…`. A list as a flag is divided by commas, or the flag is repeated.\n\n"
        "In the file, `${VAR}` is replaced by an environment variable (refused when it is not set), "
        "`${VAR:-text}` has a\n"
        "default, `$$` is a dollar sign. `${credential:NAME}` is what the file `NAME` below "
        "`$CREDENTIALS_DIRECTORY` holds\n"
        "(systemd's `LoadCredential=`, a mounted secret), without a newline at its end; "
        "`${credential-url:NAME}` the "
        "same,\n"
        "percent-encoded, as a password inside a URL has to be. Unknown keys, keys given twice and values "
        "that do not fit are "
        "refused with file, line\n"
        "and column. The file is read at start. A running role reads it again at SIGHUP or when it is told "
        "to "
        "(`crossfade apply reload`,\n"
        "`crossfade capture reload`): options below that say so take up their new values; if any other "
        "option of that role "
        "has changed,\n"
        "nothing is taken up and the option is named (docs/CONTROL.md).\n\n"
        "```yaml\n"
        "pipeline: shop\n"
        "source:  { url: \"postgresql://crossfade@db1/shop\", tables: [\"public.*\", \"!public.audit_*\"] }\n"
        "target:  { url: \"postgresql://crossfade@db2/shop\" }\n"
        "journal: { url: \"lmdb:/var/lib/crossfade/shop\" }\n"
        "```\n\n");
    char section[40] = "?";
    for (size_t i = 0; i < option_count; i++) {
        if (strchr(option_table[i].key, '.') != NULL)
            add_section_heading(&option_table[i], section, out);
        copy_section(&option_table[i], section, sizeof section);
        add_markdown(&option_table[i], out);
    }
    if (out->len > 1 && !out->failed)
        out->data[--out->len] = '\0'; /* one newline at the end */
}

static void add_roff(const char *text, struct strbuf *out)
{
    for (bool line_start = true; *text != '\0'; line_start = *text == '\n', text++) {
        if (line_start && (*text == '.' || *text == '\''))
            strbuf_adds(out, "\\&");
        if (*text == '\\')
            strbuf_adds(out, "\\e");
        else if (*text == '-')
            strbuf_adds(out, "\\-");
        else
            strbuf_addc(out, *text);
    }
}

void config_reference_man(struct strbuf *out)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *opt = &option_table[i];
        strbuf_adds(out, ".TP\n.B ");
        add_roff(opt->key, out);
        strbuf_adds(out, "\n");
        add_roff(opt->help, out);
        struct strbuf rest = STRBUF_INIT(2000);
        strbuf_adds(&rest, "\nExpects ");
        option_expected(opt, &rest);
        strbuf_adds(&rest, ". Default: ");
        add_default(opt, "", &rest);
        strbuf_adds(&rest, opt->live ? ". Reloadable.\n" : ".\n");
        add_roff(rest.data, out);
        strbuf_release(&rest);
    }
}

static void dump_list(const struct option *opt, const struct option_value *value, struct strbuf *out)
{
    strbuf_addc(out, '[');
    for (size_t i = 0; i < value->list_count; i++) {
        const char *item = value->list[i];
        if (i > 0)
            strbuf_adds(out, ", ");
        if (opt->type == OPT_RULES) /* what they put in place of values may come from variables */
            strbuf_adds(out, "{…}");
        else if (opt->type == OPT_MAP) /* any of them may be a password */
            strbuf_addf(out, "%.*s=***", (int)strcspn(item, "="), item);
        else
            strbuf_adds(out, item);
    }
    strbuf_addc(out, ']');
}

void config_dump(const struct config *cfg, struct strbuf *out)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct setting *setting = &cfg->settings[i];
        const struct option *opt = &option_table[i];
        char masked[1000];
        strbuf_addf(out, "%s = ", opt->key);
        if (option_is_many(opt))
            dump_list(opt, &setting->value, out);
        else if (setting->value.text == NULL)
            strbuf_adds(out, "(not set)");
        else if (opt->secret)
            strbuf_adds(out, "***");
        else
            strbuf_adds(out, log_mask_url(setting->value.text, masked, sizeof masked));
        if (setting->origin == ORIGIN_FILE)
            strbuf_addf(out, "  # %s:%d\n", cfg->file, setting->line);
        else
            strbuf_addf(out, "  # %s\n", setting->origin == ORIGIN_FLAG ? "flag" : "default");
    }
}

static void add_masked(const char *text, struct strbuf *out)
{
    size_t size = 3 * strlen(text) + 16; /* a character may become three */
    char *masked = xmalloc(size);
    strbuf_adds(out, log_mask_url(text, masked, size));
    free(masked);
}

void config_section(const struct config *cfg, const char *prefix, struct strbuf *out)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *opt = &option_table[i];
        const struct option_value *value = &cfg->settings[i].value;
        if (strncmp(opt->key, prefix, strlen(prefix)) != 0)
            continue;
        strbuf_addf(out, "%s =", opt->key);
        for (size_t k = 0; option_is_many(opt) && k < value->list_count; k++) {
            strbuf_addf(out, " [%zu] ", k);
            add_masked(value->list[k], out);
        }
        if (!option_is_many(opt) && value->text != NULL) {
            strbuf_addc(out, ' ');
            opt->secret ? strbuf_adds(out, "***") : add_masked(value->text, out);
        }
        strbuf_addc(out, '\n');
    }
}

bool config_option_shape(size_t n, struct config_option_shape *ret)
{
    if (n >= option_count)
        return false;
    const struct option *opt = &option_table[n];
    *ret = (struct config_option_shape){.key = opt->key, .help = opt->help, .is_path = opt->type == OPT_PATH};
    if (opt->type == OPT_ENUM)
        ret->choices = opt->choices;
    else if (opt->type == OPT_BOOL)
        ret->choices = "true|false";
    return true;
}

bool config_option_is_read_by(size_t n, const char *command)
{
    bool needed = false;
    return n < option_count && option_used_by(&option_table[n], command, &needed);
}
