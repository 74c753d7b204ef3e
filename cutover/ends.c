/* Owns: what of the two sides' URLs is told to people and hooks. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "cutover_internal.h"
#include "maria/url.h"
#include "pg/url.h"

static char *maria_part(const char *url, const char *keyword)
{
    struct maria_url parts = {0};
    struct err ignored = ERR_INIT; /* a URL that does not read would have been told before */
    const char *text = NULL;
    if (!maria_url_parse(url, &parts, &ignored))
        return xstrdup("");
    if (strcmp(keyword, "host") == 0)
        text = parts.host;
    else if (strcmp(keyword, "dbname") == 0)
        text = parts.database;
    else if (strcmp(keyword, "password") == 0)
        text = parts.password;
    char *ret =
        strcmp(keyword, "port") == 0 ? xasprintf("%u", parts.port) : xstrdup(text != NULL ? text : "");
    maria_url_release(&parts);
    return ret;
}

char *cutover_url_part(const struct config *cfg, const char *key, const char *keyword)
{
    const char *url = config_text(cfg, key);
    char *value = NULL;
    struct err ignored = ERR_INIT;
    if (maria_is_url(url))
        return maria_part(url, keyword);
    if (!pg_url_value(url, keyword, &value, &ignored) || value == NULL)
        value = xstrdup("");
    return value;
}
