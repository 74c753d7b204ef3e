/* Replaces ${VAR} and ${VAR:-text}; one pass, what a variable holds is not looked at again. */
#include "config/expand.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"

#define VALUE_BYTES_MAX ((size_t)64 << 10)

static const char name_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

/* at points behind "${"; *ret_end behind the closing brace. */
static bool expand_one(const char *at, struct strbuf *out, const char **ret_end, struct err *err)
{
    size_t len = strspn(at, name_letters);
    const char *close = strchr(at, '}');
    if (close == NULL)
        return err_set(err, ERR_CONFIG,
                       "found \"${\" without \"}\", expected ${VAR} (a plain dollar sign is $$)");
    bool has_default = strncmp(at + len, ":-", 2) == 0;
    if (len == 0 || (*at >= '0' && *at <= '9') || (at + len != close && !has_default))
        return err_set(err, ERR_CONFIG, "found \"${%.*s}\", expected ${VAR} or ${VAR:-default}",
                       (int)(close - at), at);
    char *name = xstrndup(at, len);
    const char *value = getenv(name);
    bool unset = value == NULL;
    if (has_default && (unset || *value == '\0'))
        strbuf_add(out, at + len + 2, (size_t)(close - at) - len - 2);
    else if (!unset)
        strbuf_adds(out, value);
    else
        err_set(err, ERR_CONFIG, "environment variable %s is not set (set it, or write ${%s:-default})", name,
                name);
    free(name);
    *ret_end = close + 1;
    return has_default || !unset;
}

bool expand_variables(const char *text, char **ret, struct err *err)
{
    struct strbuf out = STRBUF_INIT(VALUE_BYTES_MAX);
    bool good = true;
    while (good && *text != '\0') {
        if (text[0] == '$' && text[1] == '{') {
            good = expand_one(text + 2, &out, &text, err);
        } else {
            text += text[0] == '$' && text[1] == '$';
            strbuf_addc(&out, *text++);
        }
    }
    good = good && strbuf_ok(&out, "value", err);
    if (good)
        *ret = strbuf_detach(&out);
    strbuf_release(&out);
    return good;
}
