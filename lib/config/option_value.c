/* Reads texts by a row of the option table, and says what the row expects. */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/option.h"
#include "core/alloc.h"

struct unit_name {
    const char *name;
    int64_t factor;
};

static const struct unit_name size_units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
};

static const struct unit_name duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

static const char *const type_names[] = {
    [OPT_UNKNOWN] = "?",   [OPT_TEXT] = "text",         [OPT_ENUM] = "choice", [OPT_INT] = "integer",
    [OPT_SIZE] = "size",   [OPT_DURATION] = "duration", [OPT_BOOL] = "bool",   [OPT_LIST] = "list",
    [OPT_URL] = "URL",     [OPT_LISTEN] = "host:port",  [OPT_PATH] = "path",   [OPT_MAP] = "map",
    [OPT_RULES] = "rules",
};

const char *option_type_name(enum option_type type)
{
    return type_names[type];
}

/* Digits and what follows them; false without digits or past int64. */
static bool read_number(const char *text, int64_t *ret, const char **ret_rest)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (!isdigit((unsigned char)*digits))
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno != 0)
        return false;
    *ret = n;
    *ret_rest = end;
    return true;
}

static bool read_with_unit(const char *text, const struct unit_name *units, size_t unit_count, int64_t *ret)
{
    const char *rest;
    int64_t n;
    if (!read_number(text, &n, &rest))
        return false;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(rest, units[i].name) == 0)
            return !__builtin_mul_overflow(n, units[i].factor, ret);
    }
    return false;
}

static bool read_duration(const struct option *opt, const char *text, int64_t *ret)
{
    const char *rest;
    if (opt->word != NULL && strcmp(text, opt->word) == 0) {
        *ret = -1;
        return true;
    }
    if (read_number(text, ret, &rest) && *rest == '\0')
        return true;
    int64_t ms;
    if (!read_with_unit(text, duration_units, ARRAY_LEN(duration_units), &ms))
        return false;
    if (opt->unit == UNIT_S && ms % 1000 != 0)
        return false;
    *ret = opt->unit == UNIT_S ? ms / 1000 : ms;
    return true;
}

static bool read_bool(const char *text, int64_t *ret)
{
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0) {
        *ret = 1;
        return true;
    }
    *ret = 0;
    return strcasecmp(text, "false") == 0 || strcasecmp(text, "no") == 0 || strcasecmp(text, "off") == 0;
}

static bool is_choice(const char *choices, const char *text, bool prefix_only)
{
    for (const char *p = choices; p != NULL; p = strchr(p, '|')) {
        p += *p == '|';
        size_t len = strcspn(p, "|");
        if (strncmp(p, text, len) == 0 && (text[len] == '\0') != prefix_only)
            return true;
    }
    return false;
}

static bool fits_pattern(const char *pattern, const char *text)
{
    regex_t re;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        BUG("option pattern %s does not compile", pattern);
    bool fits = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return fits;
}

/* user:pass@word@host: libpq would take a part of the password for the host, and name it in its messages. */
static bool has_loose_at(const char *url)
{
    const char *p = strstr(url, "://");
    size_t len = p != NULL ? strcspn(p, "?") : 0;
    const char *at = p != NULL ? memchr(p, '@', len) : NULL;
    return at != NULL && memchr(at + 1, '@', len - (size_t)(at + 1 - p)) != NULL;
}

/* host:port or [v6]:port. */
static bool is_listen(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strpbrk(text, "/ @") != NULL)
        return false;
    bool bracketed = text[0] == '[' && colon[-1] == ']';
    if (!bracketed && memchr(text, ':', (size_t)(colon - text)) != NULL)
        return false;
    const char *rest;
    int64_t port;
    return read_number(colon + 1, &port, &rest) && *rest == '\0' && port >= 0 && port <= 65535;
}

static bool in_range(const struct option *opt, int64_t n)
{
    if (opt->word != NULL && n == -1)
        return true;
    return (opt->min == 0 && opt->max == 0) || (n >= opt->min && n <= opt->max);
}

static bool fits(const struct option *opt, const char *text, int64_t *ret_number)
{
    const char *rest;
    switch (opt->type) {
    case OPT_TEXT:
        return opt->pattern == NULL || fits_pattern(opt->pattern, text);
    case OPT_ENUM:
        return is_choice(opt->choices, text, false);
    case OPT_INT:
        return read_number(text, ret_number, &rest) && *rest == '\0' && in_range(opt, *ret_number);
    case OPT_SIZE:
        return read_with_unit(text, size_units, ARRAY_LEN(size_units), ret_number) &&
               in_range(opt, *ret_number);
    case OPT_DURATION:
        return read_duration(opt, text, ret_number) && in_range(opt, *ret_number);
    case OPT_BOOL:
        return read_bool(text, ret_number);
    case OPT_URL:
        return is_choice(opt->choices, text, true) && !has_loose_at(text);
    case OPT_LISTEN:
        return is_listen(text);
    case OPT_PATH:
        return *text != '\0';
    case OPT_LIST:
    case OPT_MAP:
    case OPT_RULES:
    case OPT_UNKNOWN:
        break;
    }
    return false;
}

bool option_value_parse(const struct option *opt, const char *text, struct option_value *ret)
{
    int64_t number = 0;
    if (!fits(opt, text, &number))
        return false;
    option_value_release(ret);
    *ret = (struct option_value){.set = true, .text = xstrdup(text), .number = number};
    return true;
}

void option_value_add(struct option_value *value, const char *name, const char *text)
{
    value->list = xrealloc(value->list, (value->list_count + 2) * sizeof *value->list);
    value->list[value->list_count++] = name != NULL ? xasprintf("%s=%s", name, text) : xstrdup(text);
    value->list[value->list_count] = NULL;
    value->set = true;
}

bool option_value_split(const struct option *opt, const char *text, struct option_value *ret)
{
    while (*text != '\0') {
        bool quoted = false;
        size_t len = 0;
        for (; text[len] != '\0' && (quoted || text[len] != ','); len++)
            quoted ^= text[len] == '"';
        char *part = xstrndup(text, len);
        const char *equals = strchr(part, '=');
        bool good = len > 0 && (opt->type != OPT_MAP || (equals != NULL && equals > part));
        good = good && (opt->item_fits == NULL || opt->item_fits(part));
        if (good)
            option_value_add(ret, NULL, part);
        free(part);
        if (!good)
            return false;
        text += len;
        text += *text == ',';
    }
    return true;
}

void option_value_release(struct option_value *value)
{
    for (size_t i = 0; i < value->list_count; i++)
        free(value->list[i]);
    free(value->list);
    free(value->text);
    *value = (struct option_value){0};
}

static void add_number(const struct option *opt, int64_t n, struct strbuf *out)
{
    const struct unit_name *units = opt->type == OPT_SIZE ? size_units + 6 : duration_units;
    size_t count = opt->type == OPT_SIZE ? 4 : ARRAY_LEN(duration_units);
    int64_t scaled = opt->type == OPT_DURATION && opt->unit == UNIT_S ? n * 1000 : n;
    const struct unit_name *best = NULL;
    if (opt->type == OPT_SIZE || opt->type == OPT_DURATION) {
        for (size_t i = 0; i < count; i++) {
            if (scaled != 0 && scaled % units[i].factor == 0)
                best = &units[i];
        }
    }
    if (best == NULL)
        strbuf_addf(out, "%lld", (long long)n);
    else
        strbuf_addf(out, "%lld%s", (long long)(scaled / best->factor), best->name);
}

static void add_choices(const char *choices, struct strbuf *out)
{
    for (const char *p = choices; *p != '\0'; p++) {
        if (*p == '|')
            strbuf_adds(out, ", ");
        else
            strbuf_addc(out, *p);
    }
}

static void add_range(const struct option *opt, struct strbuf *out)
{
    if (opt->min == 0 && opt->max == 0)
        return;
    strbuf_adds(out, " from ");
    add_number(opt, opt->min, out);
    strbuf_adds(out, " to ");
    add_number(opt, opt->max, out);
}

void option_expected(const struct option *opt, struct strbuf *out)
{
    switch (opt->type) {
    case OPT_TEXT:
        strbuf_adds(out, "text");
        if (opt->pattern != NULL)
            strbuf_addf(out, " that matches %s", opt->pattern);
        break;
    case OPT_ENUM:
        strbuf_adds(out, "one of ");
        add_choices(opt->choices, out);
        break;
    case OPT_INT:
        strbuf_adds(out, "a whole number");
        add_range(opt, out);
        break;
    case OPT_SIZE:
        strbuf_adds(out, "a size such as 64MiB");
        add_range(opt, out);
        break;
    case OPT_DURATION:
        strbuf_addf(out, "a duration such as 500ms, 10s, 24h (a plain number is %s)",
                    opt->unit == UNIT_S ? "seconds" : "milliseconds");
        add_range(opt, out);
        if (opt->word != NULL)
            strbuf_addf(out, ", or %s", opt->word);
        break;
    case OPT_BOOL:
        strbuf_adds(out, "true or false");
        break;
    case OPT_LIST:
        strbuf_addf(out, "a list of %s", opt->items != NULL ? opt->items : "texts");
        break;
    case OPT_URL:
        strbuf_adds(out, "a URL that begins with one of ");
        add_choices(opt->choices, out);
        if (strstr(opt->choices, "postgresql") != NULL || strstr(opt->choices, "https") != NULL)
            strbuf_adds(out, " (a password's @ is written %40)");
        break;
    case OPT_LISTEN:
        strbuf_adds(out, "host:port, such as 127.0.0.1:7301");
        break;
    case OPT_PATH:
        strbuf_adds(out, "a path");
        break;
    case OPT_MAP:
        strbuf_adds(out, "name: value pairs");
        break;
    case OPT_RULES:
        strbuf_addf(out, "a list of %s", opt->items);
        break;
    case OPT_UNKNOWN:
        break;
    }
}

bool option_is_many(const struct option *opt)
{
    return opt->type == OPT_LIST || opt->type == OPT_MAP || opt->type == OPT_RULES;
}

int option_find(const char *key)
{
    for (size_t i = 0; i < option_count; i++) {
        if (strcmp(option_table[i].key, key) == 0)
            return (int)i;
    }
    return -1;
}

bool option_is_section(const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < option_count; i++) {
        if (strncmp(option_table[i].key, path, len) == 0 && option_table[i].key[len] == '.')
            return true;
    }
    return false;
}

bool option_used_by(const struct option *opt, const char *command, bool *ret_needed)
{
    size_t len = strlen(command);
    for (const char *p = opt->used_by; p != NULL && *p != '\0';) {
        bool needed = *p == '!';
        p += needed;
        size_t word = strcspn(p, " ");
        if (word == len && strncmp(p, command, len) == 0) {
            *ret_needed = needed;
            return true;
        }
        p += word;
        p += strspn(p, " ");
    }
    return false;
}
