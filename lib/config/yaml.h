/* A YAML document as a neutral tree with positions. Private to this module; libfyaml is seen by yaml.c only.
 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

enum yaml_kind { YAML_UNKNOWN = 0, YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    int line, column; /* of the value (lists and maps: of their key), from 1 */
    char *text;       /* YAML_SCALAR */
    char *key;        /* inside a map */
    int key_line, key_column;
    struct yaml_node *children;
    size_t child_count;
};

/* `name` stands in messages. ERR_CONFIG with name:line:column if it does not parse. An empty document is an
 * empty map. */
bool yaml_parse(const char *name, const char *text, size_t len, struct yaml_node **ret,
                struct err *err) MUST_CHECK;
void yaml_free(struct yaml_node *root); /* NULL allowed */

#endif
