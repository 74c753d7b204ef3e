/*
 * Loads a configuration: finds the file, walks its tree along the option table, lays flags over it, fills
 * defaults. All problems are collected (up to a limit), since a person mends a file faster when told
 * everything at once.
 */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_internal.h"
#include "config/expand.h"
#include "config/suggest.h"
#include "config/table_rule_read.h"
#include "config/yaml.h"
#include "core/alloc.h"
#include "core/log.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define PROBLEMS_MAX   10

struct loader {
    struct config *cfg;
    const char *name;        /* of the file, for messages */
    struct strbuf *problems; /* NULL = only the first is kept, in err */
    size_t problem_count;
    struct err *err;
};

/* Records one problem: the first goes to err, each of the first ten to a line of its own. */
static void problem(struct loader *ld, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void problem(struct loader *ld, const char *fmt, ...)
{
    char text[1000];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (ld->problem_count == 0)
        err_set(ld->err, ERR_CONFIG, "%s", text);
    if (ld->problem_count < PROBLEMS_MAX && ld->problems != NULL)
        strbuf_addf(ld->problems, "%s\n", text);
    ld->problem_count++;
}

static const char *nearest_key(const char *path)
{
    const char *best = NULL;
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < option_count; i++)
        suggest_consider(path, option_table[i].key, &best, &distance);
    if (best != NULL && suggest_is_near(path, distance))
        return best;
    const char *dot = strrchr(path, '.');
    const char *last = dot != NULL ? dot + 1 : path;
    for (size_t i = 0; i < option_count; i++) {
        const char *tail = strrchr(option_table[i].key, '.');
        if (tail != NULL && strcmp(tail + 1, last) == 0)
            return option_table[i].key;
    }
    return NULL;
}

static void problem_unknown(struct loader *ld, const char *where, const char *path)
{
    const char *near = nearest_key(path);
    if (near != NULL)
        problem(ld, "%s%s: unknown key (did you mean %s?)", where, path, near);
    else
        problem(ld, "%s%s: unknown key (docs/CONFIG.md lists all)", where, path);
}

/* raw is the text as written, before ${VAR}: what a variable holds may be secret. */
static void problem_value(struct loader *ld, const char *where, const struct option *opt, const char *raw)
{
    char shown[200];
    struct strbuf expected = STRBUF_INIT(2000);
    option_expected(opt, &expected);
    log_mask_url(opt->secret ? "***" : raw, shown, sizeof shown);
    problem(ld, "%s%s: found \"%s\", expected %s", where, opt->key, shown, expected.data);
    strbuf_release(&expected);
}

static void format_where(const struct loader *ld, int line, int column, char *out, size_t size)
{
    (void)snprintf(out, size, "%s:%d:%d: ", ld->name, line, column);
}

static const char *kind_text(enum yaml_kind kind)
{
    switch (kind) {
    case YAML_NULL:
        return "nothing";
    case YAML_SCALAR:
        return "a single value";
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "name: value pairs";
    case YAML_UNKNOWN:
        break;
    }
    return "?";
}

static void problem_kind(struct loader *ld, const char *where, const struct option *opt, enum yaml_kind found)
{
    struct strbuf expected = STRBUF_INIT(2000);
    option_expected(opt, &expected);
    problem(ld, "%s%s: found %s, expected %s", where, opt->key, kind_text(found), expected.data);
    strbuf_release(&expected);
}

/* The node's text with ${VAR} replaced; NULL after recording the problem. malloc'd. */
static char *expand_node(struct loader *ld, const struct yaml_node *node, const char *key)
{
    char where[300];
    struct err err = ERR_INIT;
    char *text = NULL;
    format_where(ld, node->line, node->column, where, sizeof where);
    if (!expand_variables(node->text, &text, &err))
        problem(ld, "%s%s: %s", where, key, err.text);
    return text;
}

static void read_list(struct loader *ld, const struct option *opt, const struct yaml_node *node,
                      struct option_value *value)
{
    char where[300];
    for (size_t i = 0; i < node->child_count; i++) {
        const struct yaml_node *item = &node->children[i];
        format_where(ld, item->line, item->column, where, sizeof where);
        if (item->kind != YAML_SCALAR) {
            problem(ld, "%s%s: found %s, expected text", where, opt->key, kind_text(item->kind));
            continue;
        }
        char *text = expand_node(ld, item, opt->key);
        if (text != NULL && opt->item_fits != NULL && !opt->item_fits(text))
            problem_value(ld, where, opt, item->text);
        else if (text != NULL)
            option_value_add(value, opt->type == OPT_MAP ? item->key : NULL, text);
        free(text);
    }
    value->set = true;
}

struct expanding {
    struct loader *ld;
    const char *key;
};

static char *expand_scalar(void *ctx, const struct yaml_node *node)
{
    const struct expanding *e = ctx;
    return expand_node(e->ld, node, e->key);
}

static void read_rule(struct loader *ld, const struct option *opt, const struct yaml_node *item,
                      struct option_value *value)
{
    char where[300];
    struct expanding expanding = {ld, opt->key};
    struct err why = ERR_INIT;
    struct strbuf text = STRBUF_INIT(FILE_BYTES_MAX);
    format_where(ld, item->line, item->column, where, sizeof where);
    if (yaml_flow(item, expand_scalar, &expanding, &text)) {
        if (strbuf_ok(&text, opt->key, &why) && opt->item_check(text.data, &why))
            option_value_add(value, NULL, text.data);
        else
            problem(ld, "%s%s", where, why.text);
    }
    strbuf_release(&text);
}

/* Each map becomes one text. */
static void read_rules(struct loader *ld, const struct option *opt, const struct yaml_node *node,
                       struct option_value *value)
{
    for (size_t i = 0; i < node->child_count; i++)
        read_rule(ld, opt, &node->children[i], value);
    value->set = true;
}

static void read_option(struct loader *ld, size_t index, const struct yaml_node *node)
{
    const struct option *opt = &option_table[index];
    struct setting *setting = &ld->cfg->settings[index];
    char where[300];
    format_where(ld, node->line, node->column, where, sizeof where);
    setting->origin = ORIGIN_FILE;
    setting->line = node->line;
    bool many = option_is_many(opt);
    enum yaml_kind wanted = opt->type == OPT_MAP ? YAML_MAP : many ? YAML_LIST : YAML_SCALAR;
    if (opt->type == OPT_RULES && opt->one_rule && node->kind == YAML_MAP) {
        read_rule(ld, opt, node, &setting->value);
        setting->value.set = true;
        return;
    }
    if (opt->type == OPT_LIST && opt->one_rule && node->kind == YAML_SCALAR) {
        struct yaml_node item = *node;
        const struct yaml_node list = {.kind = YAML_LIST, .children = &item, .child_count = 1};
        read_list(ld, opt, &list, &setting->value);
        return;
    }
    if (node->kind != wanted) {
        problem_kind(ld, where, opt, node->kind);
        return;
    }
    if (many) {
        (opt->type == OPT_RULES ? read_rules : read_list)(ld, opt, node, &setting->value);
        return;
    }
    char *text = expand_node(ld, node, opt->key);
    if (text != NULL && !option_value_parse(opt, text, &setting->value))
        problem_value(ld, where, opt, node->text);
    free(text);
}

/* True if an earlier sibling has the same key (which is recorded as a problem). */
static bool is_duplicate(struct loader *ld, const struct yaml_node *map, size_t index, const char *path)
{
    const struct yaml_node *node = &map->children[index];
    for (size_t i = 0; i < index; i++) {
        if (strcmp(map->children[i].key, node->key) == 0) {
            problem(ld, "%s:%d:%d: %s: found twice, first in line %d", ld->name, node->key_line,
                    node->key_column, path, map->children[i].key_line);
            return true;
        }
    }
    return false;
}

static void read_map(struct loader *ld, const struct yaml_node *map, const char *section)
{
    char where[300];
    for (size_t i = 0; i < map->child_count; i++) {
        const struct yaml_node *node = &map->children[i];
        char *path = *section != '\0' ? xasprintf("%s.%s", section, node->key) : xstrdup(node->key);
        int index = option_find(path);
        format_where(ld, node->key_line, node->key_column, where, sizeof where);
        if (is_duplicate(ld, map, i, path)) {
            /* told already */
        } else if (index >= 0) {
            if (option_table[index].type == OPT_MAP) {
                for (size_t k = 1; k < node->child_count && node->kind == YAML_MAP; k++)
                    (void)is_duplicate(ld, node, k, node->children[k].key);
            }
            read_option(ld, (size_t)index, node);
        } else if (!option_is_section(path)) {
            problem_unknown(ld, where, path);
        } else if (node->kind == YAML_MAP) {
            read_map(ld, node, path);
        } else if (node->kind != YAML_NULL) {
            problem(ld, "%s%s: found %s, expected name: value pairs", where, path, kind_text(node->kind));
        }
        free(path);
    }
}

/* --journal.kafka.acks=all means --journal.kafka=acks=all. Index of the map option, or -1. */
static int find_map_option(const char *key, const char **ret_name)
{
    for (size_t i = 0; i < option_count; i++) {
        size_t len = strlen(option_table[i].key);
        if (option_table[i].type == OPT_MAP && strncmp(option_table[i].key, key, len) == 0 &&
            key[len] == '.') {
            *ret_name = key + len + 1;
            return (int)i;
        }
    }
    return -1;
}

/* Scalars: the last flag wins. Lists and maps: the first flag replaces what the file says, later ones add. */
static void read_flag(struct loader *ld, const char *override)
{
    const char *equals = strchr(override, '=');
    char *key = equals != NULL ? xstrndup(override, (size_t)(equals - override)) : xstrdup(override);
    const char *text = equals != NULL ? equals + 1 : "";
    const char *map_name = NULL;
    int index = option_find(key);
    if (index < 0)
        index = find_map_option(key, &map_name);
    if (index < 0) {
        problem_unknown(ld, "--", key);
        free(key);
        return;
    }
    const struct option *opt = &option_table[index];
    struct setting *setting = &ld->cfg->settings[index];
    bool many = option_is_many(opt);
    if (many && setting->origin != ORIGIN_FLAG)
        option_value_release(&setting->value);
    setting->origin = ORIGIN_FLAG;
    bool good = true;
    struct err why = ERR_INIT;
    if (map_name != NULL)
        option_value_add(&setting->value, map_name, text);
    else if (opt->type == OPT_RULES && !opt->item_check(text, &why)) /* one flag is one rule */
        problem(ld, "--%s: %s", opt->key, why.text);
    else if (opt->type == OPT_RULES)
        option_value_add(&setting->value, NULL, text);
    else if (many)
        good = option_value_split(opt, text, &setting->value);
    else
        good = option_value_parse(opt, text, &setting->value);
    setting->value.set |= many;
    if (!good)
        problem_value(ld, "--", opt, text);
    free(key);
}

static void fill_defaults(struct config *cfg)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *opt = &option_table[i];
        struct setting *setting = &cfg->settings[i];
        const char *def = opt->def;
        if (setting->value.set)
            continue;
        if (opt->def_key != NULL)
            def = config_text(cfg, opt->def_key);
        if (def != NULL && !option_value_parse(opt, def, &setting->value))
            BUG("default of %s does not fit it", opt->key);
        setting->origin = ORIGIN_DEFAULT;
    }
}

bool config_load_text(const char *name, const char *text, size_t len, const char *const *overrides,
                      size_t override_count, struct strbuf *problems, struct config **ret, struct err *err)
{
    struct err first = ERR_INIT;
    struct config *cfg = xcalloc(1, sizeof *cfg + option_count * sizeof cfg->settings[0]);
    cfg->file = xstrdup(name);
    struct loader ld = {.cfg = cfg, .name = name, .problems = problems, .err = &first};
    struct yaml_node *root = NULL;
    if (!yaml_parse(name, text, len, &root, &first)) {
        ld.problem_count = 1;
        if (problems != NULL)
            strbuf_addf(problems, "%s\n", first.text);
    } else if (root->kind != YAML_MAP) {
        problem(&ld, "%s:%d:%d: found %s, expected name: value pairs", name, root->line, root->column,
                kind_text(root->kind));
    } else {
        read_map(&ld, root, "");
    }
    yaml_free(root);
    for (size_t i = 0; i < override_count; i++)
        read_flag(&ld, overrides[i]);
    if (ld.problem_count > 0) {
        if (ld.problem_count > PROBLEMS_MAX && problems != NULL)
            strbuf_addf(problems, "%s: and %zu more\n", name, ld.problem_count - PROBLEMS_MAX);
        config_free(cfg);
        *err = first;
        return false;
    }
    fill_defaults(cfg);
    *ret = cfg;
    return true;
}

/* The file to read when none was named; NULL if there is none. malloc'd. */
static char *find_file(void)
{
    const char *named = getenv("CROSSFADE_CONFIG");
    if (named != NULL && *named != '\0')
        return xstrdup(named);
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char *candidates[3] = {xstrdup("crossfade.yaml"), NULL, xstrdup("/etc/crossfade/crossfade.yaml")};
    if (xdg != NULL && *xdg == '/')
        candidates[1] = xasprintf("%s/crossfade/crossfade.yaml", xdg);
    else if (home != NULL && *home == '/')
        candidates[1] = xasprintf("%s/.config/crossfade/crossfade.yaml", home);
    char *found = NULL;
    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        if (found == NULL && candidates[i] != NULL && access(candidates[i], F_OK) == 0)
            found = candidates[i];
        else
            free(candidates[i]);
    }
    return found;
}

static bool read_file(const char *path, struct strbuf *out, struct err *err)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return err_set(err, ERR_CONFIG, "%s: cannot be read: %s", path, strerror(errno));
    char chunk[8192];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        strbuf_add(out, chunk, n);
    bool failed = ferror(file) != 0;
    int read_errno = errno;
    (void)fclose(file);
    if (failed)
        return err_set(err, ERR_CONFIG, "%s: cannot be read: %s", path, strerror(read_errno));
    if (out->failed)
        return err_set(err, ERR_CONFIG, "%s: is larger than 1 MiB: not a configuration", path);
    return true;
}

bool config_load_reporting(const char *path, const char *const *overrides, size_t override_count,
                           struct strbuf *problems, struct config **ret, struct err *err)
{
    char *file = path != NULL ? xstrdup(path) : find_file();
    struct strbuf text = STRBUF_INIT(FILE_BYTES_MAX);
    bool good = true;
    if (file != NULL && !read_file(file, &text, err)) {
        good = false;
        if (problems != NULL)
            strbuf_addf(problems, "%s\n", err->text);
    }
    good = good && config_load_text(file != NULL ? file : "", text.data, text.len, overrides, override_count,
                                    problems, ret, err);
    strbuf_release(&text);
    free(file);
    return good;
}

bool config_load(const char *path, const char *const *overrides, size_t override_count, struct config **ret,
                 struct err *err)
{
    return config_load_reporting(path, overrides, override_count, NULL, ret, err);
}

void config_free(struct config *cfg)
{
    if (cfg == NULL)
        return;
    for (size_t i = 0; i < option_count; i++)
        option_value_release(&cfg->settings[i].value);
    config_free(cfg->forward);
    free(cfg->file);
    free(cfg);
}
