/*
 * Owns: a configuration as a text for another process of the same executable. What is set is written option by option, each piece with its length
 * in front ("5:hello,"): nothing has to be quoted, and nothing is read from files or the environment a second time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_internal.h"
#include "core/alloc.h"

#define TURNED "turned"
#define PLAIN  "plain"

static void put(struct strbuf *out, const char *text)
{
    strbuf_addf(out, "%zu:%s,", strlen(text), text);
}

static void put_option(struct strbuf *out, const struct option *opt, const struct option_value *value)
{
    char count[24];
    bool many = option_is_many(opt);
    (void)snprintf(count, sizeof count, "%zu", many ? value->list_count : 1);
    put(out, opt->key);
    put(out, count);
    for (size_t i = 0; many && i < value->list_count; i++)
        put(out, value->list[i]);
    if (!many)
        put(out, value->text);
}

void config_pack(const struct config *cfg, struct strbuf *out)
{
    const struct config *written = cfg->forward != NULL ? cfg->forward : cfg;
    put(out, cfg->forward != NULL ? TURNED : PLAIN);
    put(out, written->file);
    for (size_t i = 0; i < option_count; i++) {
        if (written->settings[i].value.set)
            put_option(out, &option_table[i], &written->settings[i].value);
    }
}

/* --- reading --- */

struct cursor {
    const char *at, *end;
    bool failed;
};

/* malloc'd; "" once it has failed. */
static char *take(struct cursor *c)
{
    char *colon = NULL;
    size_t left = (size_t)(c->end - c->at);
    unsigned long len = c->failed || left == 0 ? 0 : strtoul(c->at, &colon, 10);
    if (colon == NULL || colon == c->at || *colon != ':' || len >= (size_t)(c->end - colon) - 1 ||
        colon[1 + len] != ',') {
        c->failed = true;
        return xstrdup("");
    }
    c->at = colon + len + 2;
    return xstrndup(colon + 1, len);
}

static void take_values(struct cursor *c, const struct option *opt, size_t count, struct option_value *ret)
{
    ret->set = option_is_many(opt);
    for (size_t i = 0; i < count && !c->failed; i++) {
        char *text CLEANUP(free_ptr) = take(c);
        if (option_is_many(opt))
            option_value_add(ret, NULL, text);
        else if (count != 1 || !option_value_parse(opt, text, ret))
            c->failed = true;
    }
}

static void take_option(struct cursor *c, struct config *cfg)
{
    char *key CLEANUP(free_ptr) = take(c);
    char *count CLEANUP(free_ptr) = take(c);
    int index = option_find(key);
    if (index < 0 || cfg->settings[index].value.set) {
        c->failed = true;
        return;
    }
    cfg->settings[index].origin = ORIGIN_FILE;
    take_values(c, &option_table[index], strtoul(count, NULL, 10), &cfg->settings[index].value);
}

bool config_unpack(const char *text, size_t len, struct config **ret, struct err *err)
{
    struct cursor c = {.at = text, .end = text + len};
    struct config *cfg = xcalloc(1, sizeof *cfg + option_count * sizeof cfg->settings[0]);
    char *kind CLEANUP(free_ptr) = take(&c);
    bool turned = strcmp(kind, TURNED) == 0;
    cfg->file = take(&c);
    while (!c.failed && c.at < c.end)
        take_option(&c, cfg);
    bool ok = !c.failed && (turned || strcmp(kind, PLAIN) == 0);
    if (!ok)
        (void)err_set(err, ERR_DATA, "this is no configuration as another process of ours hands it over");
    else if (turned)
        ok = config_reversed(cfg, ret, err);
    else
        *ret = cfg;
    if (!ok || turned)
        config_free(cfg);
    return ok;
}
