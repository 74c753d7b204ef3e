/* Fields of one rule given as a map of YAML, with messages that say the option, the rule, the field, what was found and what
 * was expected. Private to this module.
 */
#ifndef CONFIG_FIELDS_H
#define CONFIG_FIELDS_H

#include <stdint.h>

#include "config/yaml.h"
#include "core/err.h"

struct fields {
    const char *option; /* "compare.queries" */
    const char *label;  /* "query revenue"; "" while it is not known */
    const struct yaml_node *map;
    struct err *err;
};

/* node NULL or a list or map: "another kind of value" was found. Always false. */
bool fields_refuse(const struct fields *f, const char *key, const struct yaml_node *node,
                   const char *expected);
/* The field; NULL where there is none. */
const struct yaml_node *fields_find(const struct fields *f, const char *key);
/* That it is a map, and every key is one of `known` ("a|b|c"), once. */
bool fields_known(const struct fields *f, const char *known) MUST_CHECK;

/* Each leaves *ret alone where there is no such field. malloc'd. */
bool fields_text(const struct fields *f, const char *key, const char *expected, char **ret) MUST_CHECK;
/* A list of texts, or one text. */
bool fields_texts(const struct fields *f, const char *key, const char *expected, char ***ret,
                  size_t *ret_count) MUST_CHECK;
bool fields_int(const struct fields *f, const char *key, int64_t min, int64_t max, int64_t *ret) MUST_CHECK;
bool fields_bool(const struct fields *f, const char *key, bool *ret) MUST_CHECK;
/* Its place (from 1) among "a|b|c". */
bool fields_choice(const struct fields *f, const char *key, const char *choices, int *ret) MUST_CHECK;

bool node_texts(const struct fields *f, const struct yaml_node *node, const char *key, const char *expected,
                char ***ret, size_t *ret_count) MUST_CHECK;
/* "12", "-0.5", "1e-9"; plain digits up to 60 characters. */
bool text_is_decimal(const char *text);
/* Place of text among "a|b|c", from 1; 0 = it is none of them. */
int text_choice(const char *choices, const char *text);

#endif
