/* Reads a loaded configuration by key. A key that is not in the table, or of another type, is a BUG of the
 * caller. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/config_internal.h"

static const struct option_value *find_value(const struct config *cfg, const char *key,
                                             const struct option **ret_opt)
{
    int index = option_find(key);
    if (index < 0)
        BUG("option %s is not in the table", key);
    *ret_opt = &option_table[index];
    return &cfg->settings[index].value;
}

const char *config_text(const struct config *cfg, const char *key)
{
    const struct option *opt;
    const struct option_value *value = find_value(cfg, key, &opt);
    if (option_is_many(opt))
        BUG("option %s is a list", key);
    return value->text;
}

int64_t config_int(const struct config *cfg, const char *key)
{
    const struct option *opt;
    const struct option_value *value = find_value(cfg, key, &opt);
    if (opt->type != OPT_INT && opt->type != OPT_SIZE && opt->type != OPT_DURATION)
        BUG("option %s is not a number", key);
    return value->number;
}

bool config_bool(const struct config *cfg, const char *key)
{
    const struct option *opt;
    const struct option_value *value = find_value(cfg, key, &opt);
    if (opt->type != OPT_BOOL)
        BUG("option %s is not true or false", key);
    return value->number != 0;
}

const char *const *config_list(const struct config *cfg, const char *key, size_t *ret_count)
{
    static const char *const none[] = {NULL};
    const struct option *opt;
    const struct option_value *value = find_value(cfg, key, &opt);
    if (!option_is_many(opt))
        BUG("option %s is not a list", key);
    if (ret_count != NULL)
        *ret_count = value->list_count;
    return value->list != NULL ? (const char *const *)value->list : none;
}

bool config_is_set(const struct config *cfg, const char *key)
{
    const struct option *opt;
    return find_value(cfg, key, &opt)->set;
}

static bool require_one(const struct config *cfg, const char *key, struct err *err)
{
    const struct option *opt;
    if (find_value(cfg, key, &opt)->set)
        return true;
    const char *file =
        *cfg->file != '\0' ? cfg->file : "no configuration file (give -c FILE, or make ./crossfade.yaml)";
    return err_set(err, ERR_CONFIG, "%s: %s: is not set, and this command needs it%s%s", file, key,
                   opt->example != NULL ? "; for example " : "", opt->example != NULL ? opt->example : "");
}

bool config_require(const struct config *cfg, struct err *err, const char *key, ...)
{
    bool good = true;
    va_list ap;
    va_start(ap, key);
    for (; good && key != NULL; key = va_arg(ap, const char *))
        good = require_one(cfg, key, err);
    va_end(ap);
    return good;
}

/* Others capture: what needs a source or a journal of ours has none. */
static bool require_ours(const struct config *cfg, const char *command, const char *key, struct err *err)
{
    bool ours = strcmp(key, "source.url") == 0 || strcmp(key, "journal.url") == 0;
    if (!ours || config_text(cfg, key) != NULL || config_text(cfg, "source.debezium.brokers") == NULL)
        return true;
    return err_set(err, ERR_CONFIG,
                   "%s: %s works on a source and a journal of Crossfade's own; with source.debezium apply "
                   "and status are "
                   "all there is (docs/DEBEZIUM.md, \"Reading Debezium's topics\")",
                   key, command);
}

/* Of a source that is MariaDB there are capture, check and status (and apply, which knows no source). */
static bool require_postgres(const struct config *cfg, const char *command, struct err *err)
{
    static const char *const commands[] = {"compare", "cutover", "schema", "approve"};
    const char *url = config_text(cfg, "source.url");
    bool maria = url != NULL && strncmp(url, "mariadb:", 8) == 0;
    for (size_t i = 0; maria && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i], command) == 0)
            return err_set(
                err, ERR_CONFIG,
                "source.url: %s does not work on a source that is MariaDB yet; capture, apply, check, "
                "journal and status do",
                command);
    }
    return true;
}

bool config_require_for(const struct config *cfg, const char *command, struct err *err)
{
    if (!require_postgres(cfg, command, err))
        return false;
    for (size_t i = 0; i < option_count; i++) {
        bool needed;
        if (option_used_by(&option_table[i], command, &needed) && needed &&
            (!require_ours(cfg, command, option_table[i].key, err) ||
             !require_one(cfg, option_table[i].key, err)))
            return false;
    }
    return true;
}

const char *config_file(const struct config *cfg)
{
    return cfg->file;
}
