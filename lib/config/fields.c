/* Owns: reading single fields of a rule. See fields.h. */
#include "config/fields.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"

#define DECIMAL_BYTES_MAX 60
#define FOUND_BYTES_SHOWN 80

bool fields_refuse(const struct fields *f, const char *key, const struct yaml_node *node,
                   const char *expected)
{
    bool text = node != NULL && node->kind == YAML_SCALAR;
    return err_set(f->err, ERR_CONFIG, "%s: %s%s%s: found %s%.*s%s, expected %s", f->option, f->label,
                   *f->label != '\0' ? ": " : "", key, text ? "\"" : "", FOUND_BYTES_SHOWN,
                   text           ? node->text
                   : node == NULL ? "nothing"
                                  : "another kind of value",
                   text ? "\"" : "", expected);
}

const struct yaml_node *fields_find(const struct fields *f, const char *key)
{
    for (size_t i = 0; f->map->kind == YAML_MAP && i < f->map->child_count; i++) {
        if (strcmp(f->map->children[i].key, key) == 0)
            return &f->map->children[i];
    }
    return NULL;
}

int text_choice(const char *choices, const char *text)
{
    size_t wanted = strlen(text);
    int place = 1;
    for (const char *p = choices;; p++, place++) {
        size_t len = strcspn(p, "|");
        if (len == wanted && strncmp(p, text, len) == 0)
            return place;
        p += len;
        if (*p == '\0')
            return 0;
    }
}

static char *spoken(const char *choices)
{
    char *text = xstrdup(choices);
    for (char *p = text; *p != '\0'; p++)
        *p = *p == '|' ? ' ' : *p;
    return text;
}

bool fields_known(const struct fields *f, const char *known)
{
    if (f->map->kind != YAML_MAP || f->map->child_count == 0)
        return fields_refuse(f, "item", f->map, "name: value pairs");
    for (size_t i = 0; i < f->map->child_count; i++) {
        const struct yaml_node key = {.kind = YAML_SCALAR, .text = f->map->children[i].key};
        bool twice = fields_find(f, key.text) != &f->map->children[i];
        if (!twice && text_choice(known, key.text) > 0)
            continue;
        char *words CLEANUP(free_ptr) = spoken(known),
                    *expected CLEANUP(free_ptr) = xasprintf("each at most once: %s", words);
        return fields_refuse(f, "field", &key, expected);
    }
    return true;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

bool fields_text(const struct fields *f, const char *key, const char *expected, char **ret)
{
    const struct yaml_node *node = fields_find(f, key);
    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || is_blank(node->text))
        return fields_refuse(f, key, node, expected);
    free(*ret);
    *ret = xstrdup(node->text);
    return true;
}

bool node_texts(const struct fields *f, const struct yaml_node *node, const char *key, const char *expected,
                char ***ret, size_t *ret_count)
{
    const struct yaml_node *items = node->kind == YAML_LIST ? node->children : node;
    size_t count = node->kind == YAML_LIST ? node->child_count : 1;
    for (size_t i = 0; i < count; i++) {
        if (items[i].kind != YAML_SCALAR)
            return fields_refuse(f, key, &items[i], expected);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(items[k].text, items[i].text) == 0)
                return fields_refuse(f, key, &items[i], "each once");
        }
    }
    if (count == 0)
        return fields_refuse(f, key, NULL, expected);
    char **texts = xcalloc(count + 1, sizeof *texts);
    for (size_t i = 0; i < count; i++)
        texts[i] = xstrdup(items[i].text);
    *ret = texts;
    *ret_count = count;
    return true;
}

bool fields_texts(const struct fields *f, const char *key, const char *expected, char ***ret,
                  size_t *ret_count)
{
    const struct yaml_node *node = fields_find(f, key);
    return node == NULL || node_texts(f, node, key, expected, ret, ret_count);
}

bool fields_int(const struct fields *f, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    const struct yaml_node *node = fields_find(f, key);
    char *end = NULL;
    if (node == NULL)
        return true;
    errno = 0;
    long long n = node->kind == YAML_SCALAR && isdigit((unsigned char)node->text[0])
                      ? strtoll(node->text, &end, 10)
                      : 0;
    if (end == NULL || *end != '\0' || errno != 0 || n < min || n > max) {
        char *expected CLEANUP(free_ptr) =
            xasprintf("a whole number from %lld to %lld", (long long)min, (long long)max);
        return fields_refuse(f, key, node, expected);
    }
    *ret = n;
    return true;
}

bool fields_bool(const struct fields *f, const char *key, bool *ret)
{
    const struct yaml_node *node = fields_find(f, key);
    if (node == NULL)
        return true;
    const char *text = node->kind == YAML_SCALAR ? node->text : "";
    bool yes = strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0;
    if (!yes && strcasecmp(text, "false") != 0 && strcasecmp(text, "no") != 0)
        return fields_refuse(f, key, node, "true or false");
    *ret = yes;
    return true;
}

bool fields_choice(const struct fields *f, const char *key, const char *choices, int *ret)
{
    const struct yaml_node *node = fields_find(f, key);
    if (node == NULL)
        return true;
    int place = node->kind == YAML_SCALAR ? text_choice(choices, node->text) : 0;
    if (place == 0) {
        char *words CLEANUP(free_ptr) = spoken(choices),
                    *expected CLEANUP(free_ptr) = xasprintf("one of: %s", words);
        return fields_refuse(f, key, node, expected);
    }
    *ret = place;
    return true;
}

bool text_is_decimal(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+');
    size_t whole = strspn(p, "0123456789");
    p += whole;
    size_t fraction = 0;
    if (*p == '.') {
        fraction = strspn(p + 1, "0123456789");
        p += 1 + fraction;
        if (fraction == 0)
            return false;
    }
    if (whole == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        size_t exponent = strspn(p, "0123456789");
        if (exponent == 0 || exponent > 3)
            return false;
        p += exponent;
    }
    return *p == '\0' && strlen(text) <= DECIMAL_BYTES_MAX;
}
