/* Owns: what the text of a rule means. See table_rule_read.h. */
#include "config/table_rule_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/pattern.h"
#include "core/alloc.h"

#define TOPIC_BYTES_MAX 200
#define NAME_BYTES_MAX  63 /* PostgreSQL's NAMEDATALEN - 1 */

void table_rule_release(struct table_rule *rule)
{
    for (size_t i = 0; i < rule->column_count; i++)
        free(rule->columns[i].glob);
    for (size_t i = 0; rule->key != NULL && rule->key[i] != NULL; i++)
        free(rule->key[i]);
    for (size_t i = 0; i < rule->mask_count; i++) {
        free(rule->masks[i].column);
        free(rule->masks[i].fixed);
    }
    for (size_t i = 0; i < rule->rename_count; i++) {
        free(rule->renames[i].from);
        free(rule->renames[i].to);
    }
    table_filter_free(rule->tables);
    free(rule->text);
    free(rule->pattern);
    free(rule->columns);
    free(rule->where);
    free(rule->key);
    free(rule->masks);
    free(rule->renames);
    free(rule->topic);
    *rule = (struct table_rule){0};
}

static bool refuse(const struct table_rule *rule, const char *key, const char *found, const char *expected,
                   struct err *err)
{
    return err_set(err, ERR_CONFIG, "source.filters: table %s: %s: found %s%s%s, expected %s",
                   rule->pattern != NULL ? rule->pattern : "?", key, found != NULL ? "\"" : "",
                   found != NULL ? found : "another kind of value", found != NULL ? "\"" : "", expected);
}

static bool read_table(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    if (node->kind != YAML_SCALAR || node->text[0] == '!' || !table_pattern_fits(node->text))
        return refuse(rule, "table", node->text, "a pattern schema.table, such as public.orders or public.*",
                      err);
    rule->pattern = xstrdup(node->text);
    const char *const patterns[] = {node->text};
    return table_filter_new(patterns, 1, &rule->tables, err);
}

/* A list of texts, or one text. */
static bool list_of(const struct table_rule *rule, const struct yaml_node *node, const char *expected,
                    const struct yaml_node **ret, size_t *ret_count, struct err *err)
{
    *ret = node->kind == YAML_LIST ? node->children : node;
    *ret_count = node->kind == YAML_LIST ? node->child_count : 1;
    for (size_t i = 0; i < *ret_count; i++) {
        if ((*ret)[i].kind != YAML_SCALAR || (*ret)[i].text[0] == '\0')
            return refuse(rule, node->key, NULL, expected, err);
    }
    return *ret_count > 0 || refuse(rule, node->key, "", expected, err);
}

static bool read_columns(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    static const char expected[] =
        "names of columns with '*' as wildcard, such as [id, addr_*] or [\"!secret\"]";
    const struct yaml_node *items;
    size_t count;
    if (!list_of(rule, node, expected, &items, &count, err))
        return false;
    rule->columns = xcalloc(count, sizeof *rule->columns);
    for (size_t i = 0; i < count; i++) {
        const char *at = items[i].text + (items[i].text[0] == '!');
        char *glob = pattern_read(&at);
        if (glob == NULL || *at != '\0') {
            free(glob);
            return refuse(rule, "columns", items[i].text, expected, err);
        }
        rule->columns[rule->column_count++] = (struct column_pattern){items[i].text[0] == '!', glob};
    }
    return true;
}

static bool read_key(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    const struct yaml_node *items;
    size_t count;
    if (!list_of(rule, node, "a list of columns", &items, &count, err))
        return false;
    rule->key = xcalloc(count + 1, sizeof *rule->key);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(rule->key[k], items[i].text) == 0)
                return refuse(rule, "key", items[i].text, "each column once", err);
        }
        rule->key[i] = xstrdup(items[i].text);
    }
    return true;
}

static bool read_count(const char **at, uint32_t *ret)
{
    uint32_t n = 0;
    const char *p = *at;
    for (; isdigit((unsigned char)*p) && n < 100000; p++)
        n = n * 10 + (uint32_t)(*p - '0');
    bool good = p > *at && !isdigit((unsigned char)*p);
    *at = p;
    *ret = n;
    return good;
}

/* FIRST:LAST */
static bool read_partial(const char *text, struct mask_rule *mask)
{
    return read_count(&text, &mask->first) && *text++ == ':' && read_count(&text, &mask->last) &&
           *text == '\0';
}

static bool read_mask_kind(const struct yaml_node *node, struct mask_rule *mask)
{
    const char *text = node->kind == YAML_SCALAR ? node->text : "";
    if (node->kind == YAML_NULL || strcmp(text, "null") == 0)
        mask->kind = MASK_NULL;
    else if (strcmp(text, "hash") == 0)
        mask->kind = MASK_HASH;
    else if (strncmp(text, "fixed:", 6) == 0)
        mask->kind = MASK_FIXED;
    else if (strncmp(text, "partial:", 8) == 0 && read_partial(text + 8, mask))
        mask->kind = MASK_PARTIAL;
    if (mask->kind == MASK_FIXED)
        mask->fixed = xstrdup(text + 6);
    return mask->kind != MASK_NONE;
}

static bool twice(const struct yaml_node *map, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(map->children[i].key, map->children[index].key) == 0)
            return true;
    }
    return false;
}

static bool read_masks(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    static const char expected[] =
        "hash, \"null\", \"fixed:VALUE\" or \"partial:FIRST:LAST\" for each column";
    if (node->kind != YAML_MAP || node->child_count == 0)
        return refuse(rule, "mask", NULL, expected, err);
    rule->masks = xcalloc(node->child_count, sizeof *rule->masks);
    for (size_t i = 0; i < node->child_count; i++) {
        const struct yaml_node *item = &node->children[i];
        struct mask_rule *mask = &rule->masks[rule->mask_count++];
        mask->column = xstrdup(item->key);
        if (!read_mask_kind(item, mask) || twice(node, i)) {
            char *key CLEANUP(free_ptr) = xasprintf("mask: %s", item->key);
            return refuse(rule, key, item->text, expected, err);
        }
    }
    return true;
}

static bool read_renames(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    if (node->kind != YAML_MAP || node->child_count == 0)
        return refuse(rule, "rename", NULL, "old: new for each column", err);
    rule->renames = xcalloc(node->child_count, sizeof *rule->renames);
    for (size_t i = 0; i < node->child_count; i++) {
        const struct yaml_node *item = &node->children[i];
        const char *to = item->kind == YAML_SCALAR ? item->text : "";
        if (*to == '\0' || strlen(to) > NAME_BYTES_MAX || twice(node, i)) {
            char *key CLEANUP(free_ptr) = xasprintf("rename: %s", item->key);
            return refuse(rule, key, item->text, "a name of 1 to 63 bytes, once for each column", err);
        }
        rule->renames[rule->rename_count++] = (struct column_rename){xstrdup(item->key), xstrdup(to)};
    }
    return true;
}

static bool read_topic(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *text = node->kind == YAML_SCALAR ? node->text : "";
    size_t len = strlen(text);
    bool good = len > 0 && len <= TOPIC_BYTES_MAX && strspn(text, letters) == len;
    good = good && strcmp(text, "fence") != 0 && strcmp(text, "schemas") != 0 &&
           strcmp(text, "transaction") != 0;
    if (!good)
        return refuse(
            rule, "topic", node->text,
            "what follows the prefix: letters, digits and . _ -, and none of fence, schemas, transaction",
            err);
    rule->topic = xstrdup(text);
    return true;
}

static bool read_where(const struct yaml_node *node, struct table_rule *rule, struct err *err)
{
    if (node->kind != YAML_SCALAR || node->text[strspn(node->text, " \t\r\n")] == '\0')
        return refuse(rule, "where", node->text, "a condition in SQL, without the word WHERE", err);
    rule->where = xstrdup(node->text);
    return true;
}

static const struct {
    const char *key;
    bool (*read)(const struct yaml_node *node, struct table_rule *rule, struct err *err);
} readers[] = {
    {"table", read_table}, {"columns", read_columns}, {"where", read_where}, {"key", read_key},
    {"mask", read_masks},  {"rename", read_renames},  {"topic", read_topic},
};

static const struct yaml_node *child_of(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->child_count; i++) {
        if (strcmp(map->children[i].key, key) == 0)
            return &map->children[i];
    }
    return NULL;
}

static bool check_keys(const struct yaml_node *map, const struct table_rule *rule, struct err *err)
{
    for (size_t i = 0; i < map->child_count; i++) {
        bool known = false;
        for (size_t r = 0; r < ARRAY_LEN(readers); r++)
            known = known || strcmp(readers[r].key, map->children[i].key) == 0;
        if (!known || twice(map, i))
            return refuse(rule, "key of the rule", map->children[i].key,
                          "table, columns, where, key, mask, rename or topic, each once", err);
    }
    return true;
}

static bool read_rule(const struct yaml_node *root, struct table_rule *rule, struct err *err)
{
    const struct yaml_node nothing = {.kind = YAML_NULL};
    if (root->kind != YAML_MAP)
        return refuse(rule, "rule", root->text,
                      "name: value pairs, such as {table: public.users, columns: [\"!pw\"]}", err);
    if (!read_table(child_of(root, "table") != NULL ? child_of(root, "table") : &nothing, rule, err) ||
        !check_keys(root, rule, err))
        return false;
    for (size_t r = 1; r < ARRAY_LEN(readers); r++) {
        const struct yaml_node *node = child_of(root, readers[r].key);
        if (node != NULL && !readers[r].read(node, rule, err))
            return false;
    }
    return root->child_count > 1 || refuse(rule, "rule", "", "something that it says of the table", err);
}

bool table_rule_read(const char *text, struct table_rule *ret, struct err *err)
{
    struct table_rule rule = {0};
    struct yaml_node *root = NULL;
    if (!yaml_parse("source.filters", text, strlen(text), &root, err))
        return false;
    bool ok = read_rule(root, &rule, err);
    yaml_free(root);
    if (!ok) {
        table_rule_release(&rule);
        return false;
    }
    rule.text = xstrdup(text);
    *ret = rule;
    return true;
}

/* --- and back --- */

static void add_quoted(const char *text, struct strbuf *out)
{
    strbuf_addc(out, '"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            strbuf_addf(out, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\')
            strbuf_addc(out, '\\');
        strbuf_addc(out, (char)c);
    }
    strbuf_addc(out, '"');
}

bool yaml_flow(const struct yaml_node *node, yaml_expand *expand, void *ctx, struct strbuf *out)
{
    bool many = node->kind == YAML_MAP || node->kind == YAML_LIST;
    if (node->kind == YAML_NULL)
        strbuf_adds(out, "null");
    if (node->kind == YAML_SCALAR) {
        char *text CLEANUP(free_ptr) = expand(ctx, node);
        if (text == NULL)
            return false;
        add_quoted(text, out);
    }
    if (many)
        strbuf_addc(out, node->kind == YAML_MAP ? '{' : '[');
    for (size_t i = 0; many && i < node->child_count; i++) {
        strbuf_adds(out, i > 0 ? ", " : "");
        if (node->kind == YAML_MAP) {
            add_quoted(node->children[i].key, out);
            strbuf_adds(out, ": ");
        }
        if (!yaml_flow(&node->children[i], expand, ctx, out))
            return false;
    }
    if (many)
        strbuf_addc(out, node->kind == YAML_MAP ? '}' : ']');
    return true;
}
