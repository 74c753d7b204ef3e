/* Replaces ${VAR}, ${credential:NAME} and their forms with a default; one pass, what a value holds is not looked at again. */
#include "config/expand.h"

#include <stdlib.h>
#include <string.h>

#include "config/credential.h"
#include "core/alloc.h"
#include "core/attr.h"
#include "core/strbuf.h"

#define VALUE_BYTES_MAX ((size_t)64 << 10)

static const char name_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

enum kind { VARIABLE = 0, CREDENTIAL, CREDENTIAL_IN_URL };

static enum kind kind_of(const char *at, size_t *ret_skip)
{
    static const struct {
        const char *prefix;
        enum kind kind;
    } kinds[] = {{"credential:", CREDENTIAL}, {"credential-url:", CREDENTIAL_IN_URL}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        *ret_skip = strlen(kinds[i].prefix);
        if (strncmp(at, kinds[i].prefix, *ret_skip) == 0)
            return kinds[i].kind;
    }
    *ret_skip = 0;
    return VARIABLE;
}

/* True: it has a value, which was added, or an error was met. `keep_empty`: an empty one counts as well. */
static bool add_value(enum kind kind, const char *name, bool keep_empty, struct strbuf *out, struct err *err)
{
    bool missing = false;
    size_t before = out->len;
    const char *value = kind == VARIABLE ? getenv(name) : NULL;
    if (kind == VARIABLE)
        missing = value == NULL;
    else if (!credential_add(name, kind == CREDENTIAL_IN_URL, out, &missing, err))
        return true;
    if (value != NULL)
        strbuf_adds(out, value);
    return !missing && (keep_empty || out->len > before);
}

static void complain_unset(enum kind kind, const char *name, struct err *err)
{
    if (kind == VARIABLE)
        err_set(err, ERR_CONFIG, "environment variable %s is not set (set it, or write ${%s:-default})", name,
                name);
    else
        err_set(
            err, ERR_CONFIG,
            "credential %s is not there: expected a file of this name below $CREDENTIALS_DIRECTORY (%s; in a "
            "systemd unit: LoadCredential=%s:/path)",
            name, getenv("CREDENTIALS_DIRECTORY") != NULL ? getenv("CREDENTIALS_DIRECTORY") : "not set",
            name);
}

/* at points behind "${"; *ret_end behind the closing brace. */
static bool expand_one(const char *at, struct strbuf *out, const char **ret_end, struct err *err)
{
    size_t skip = 0;
    enum kind kind = kind_of(at, &skip);
    const char *begin = at + skip, *close = strchr(begin, '}');
    if (close == NULL)
        return err_set(err, ERR_CONFIG,
                       "found \"${\" without \"}\", expected ${VAR} (a plain dollar sign is $$)");
    size_t len = kind == VARIABLE ? strspn(begin, name_letters) : strcspn(begin, ":}");
    bool has_default = strncmp(begin + len, ":-", 2) == 0;
    if (len == 0 || (kind == VARIABLE && *begin >= '0' && *begin <= '9') ||
        (begin + len != close && !has_default))
        return err_set(err, ERR_CONFIG, "found \"${%.*s}\", expected ${VAR} or ${VAR:-default}",
                       (int)(close - at), at);
    char *name = xstrndup(begin, len);
    bool there = add_value(kind, name, !has_default, out, err);
    if (!there && has_default)
        strbuf_add(out, begin + len + 2, (size_t)(close - begin) - len - 2);
    else if (!there)
        complain_unset(kind, name, err);
    free(name);
    *ret_end = close + 1;
    return !err_is_set(err);
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
