/* Owns: what the texts of cutover.poolers mean. See pooler_rules.h. */
#include "config/pooler_rules.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/semantic_read.h"
#include "core/alloc.h"

#define A_URL "a URL postgresql://user@host:port/pgbouncer"

static void rule_release(struct pooler_rule *r)
{
    free(r->admin);
    free(r->ini);
    free(r->database);
    free(r->host);
    free(r->port);
    free(r->dbname);
    free(r->login);
    *r = (struct pooler_rule){0};
}

static bool is_url(const char *text)
{
    return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0;
}

/* What was found is not shown: it may hold a password. */
static bool url_fits(const struct fields *f, const char *key, const char *url)
{
    return url == NULL || is_url(url) ||
           err_set(f->err, ERR_CONFIG, "%s: %s: %s: expected " A_URL, f->option, f->label, key);
}

static bool port_fits(const struct fields *f)
{
    int64_t port = 0;
    return fields_int(f, "port", 1, 65535, &port);
}

static bool needed(const struct fields *f, const char *key, const char *expected, const char *value)
{
    return value != NULL || fields_refuse(f, key, NULL, expected);
}

/* It goes into a configuration of others, line by line. */
static bool one_line(const struct fields *f, const char *key, const char *value)
{
    return value == NULL || value[strcspn(value, "\r\n\t")] == '\0' ||
           fields_refuse(f, key, NULL, "a text without tabs or line ends");
}

static bool read_rule(const struct fields *f, void *ret)
{
    struct pooler_rule *r = ret;
    static const char ini[] = "the absolute path of its configuration", name[] = "a name in its [databases]";
    if (!fields_known(f, "admin|ini|database|host|port|dbname|login") ||
        !fields_text(f, "admin", A_URL, &r->admin) || !fields_text(f, "ini", ini, &r->ini) ||
        !fields_text(f, "database", name, &r->database) ||
        !fields_text(f, "host", "the target's host", &r->host) || !port_fits(f) ||
        !fields_text(f, "port", "the target's port", &r->port) ||
        !fields_text(f, "dbname", "the target's database", &r->dbname) ||
        !fields_text(f, "login", A_URL, &r->login))
        return false;
    if (!needed(f, "admin", A_URL, r->admin) || !needed(f, "ini", ini, r->ini) ||
        !needed(f, "database", name, r->database) || !url_fits(f, "admin", r->admin) ||
        !url_fits(f, "login", r->login))
        return false;
    return one_line(f, "database", r->database) && one_line(f, "host", r->host) &&
           one_line(f, "dbname", r->dbname) &&
           (r->ini[0] == '/' || fields_refuse(f, "ini", fields_find(f, "ini"), ini));
}

static bool rule_read(const char *text, struct pooler_rule *ret, struct err *err)
{
    static const struct labelled what = {"cutover.poolers", "pooler of database", "database"};
    *ret = (struct pooler_rule){0};
    if (read_labelled(&what, text, read_rule, ret, err))
        return true;
    rule_release(ret);
    return false;
}

bool pooler_rule_check(const char *text, struct err *err)
{
    struct pooler_rule rule;
    if (!rule_read(text, &rule, err))
        return false;
    rule_release(&rule);
    return true;
}

bool pooler_rules_from_config(const struct config *cfg, struct pooler_rule **ret, size_t *ret_count,
                              struct err *err)
{
    size_t count;
    const char *const *texts = config_list(cfg, "cutover.poolers", &count);
    struct pooler_rule *rules = count > 0 ? xcalloc(count, sizeof *rules) : NULL;
    for (size_t i = 0; i < count; i++) {
        if (!rule_read(texts[i], &rules[i], err)) {
            pooler_rules_free(rules, i);
            return false;
        }
    }
    *ret = rules;
    *ret_count = count;
    return true;
}

void pooler_rules_free(struct pooler_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rule_release(&rules[i]);
    free(rules);
}

bool read_share_fits(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 3 && text[digits] == '\0' && *text != '0' && atoi(text) <= 100;
}
