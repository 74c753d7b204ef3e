/* Wraps libfyaml: text → tree of texts with positions. Anchors and aliases are refused (a configuration needs
 * none). */
#include "config/yaml.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define DEPTH_MAX 16

struct yaml_reader {
    const char *name;
    struct err *err;
};

static void node_release(struct yaml_node *node)
{
    for (size_t i = 0; i < node->child_count; i++)
        node_release(&node->children[i]);
    free(node->children);
    free(node->text);
    free(node->key);
}

static void position_of(struct fy_node *fyn, int *line, int *column)
{
    struct fy_token *token = fy_node_is_scalar(fyn) ? fy_node_get_scalar_token(fyn) : NULL;
    const struct fy_mark *mark = token != NULL ? fy_token_start_mark(token) : NULL;
    if (mark != NULL) {
        enum fy_node_style style = fy_node_get_style(fyn);
        bool quoted =
            style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED; /* the mark is behind the quote */
        *line = mark->line + 1;
        *column = mark->column + (quoted && mark->column > 0 ? 0 : 1);
    }
}

static bool refuse(struct yaml_reader *yr, const struct yaml_node *at, const char *what)
{
    return err_set(yr->err, ERR_CONFIG, "%s:%d:%d: %s", yr->name, at->line, at->column, what);
}

static bool read_scalar(struct yaml_reader *yr, struct fy_node *fyn, struct yaml_node *node)
{
    size_t len;
    const char *text = fy_node_get_scalar(fyn, &len);
    bool plain = fy_node_get_style(fyn) == FYNS_PLAIN;
    if (text != NULL && memchr(text, '\0', len) != NULL)
        return refuse(yr, node, "found a NUL character, expected text");
    node->text = xstrndup(text != NULL ? text : "", text != NULL ? len : 0);
    bool null = text == NULL ||
                (plain && (len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0));
    node->kind = null ? YAML_NULL : YAML_SCALAR;
    return true;
}

static struct yaml_node *add_child(struct yaml_node *node)
{
    node->children = xrealloc(node->children, (node->child_count + 1) * sizeof *node->children);
    struct yaml_node *child = &node->children[node->child_count++];
    *child = (struct yaml_node){.line = node->line, .column = node->column};
    return child;
}

static bool read_key(struct yaml_reader *yr, struct fy_node *fyn, struct yaml_node *child)
{
    size_t len;
    const char *text = fyn != NULL && fy_node_is_scalar(fyn) ? fy_node_get_scalar(fyn, &len) : NULL;
    if (fyn != NULL)
        position_of(fyn, &child->line, &child->column);
    if (text == NULL || len == 0 || memchr(text, '\0', len) != NULL)
        return refuse(yr, child, "found a key that is not a name");
    child->key = xstrndup(text, len);
    child->key_line = child->line;
    child->key_column = child->column;
    return true;
}

static bool read_node(struct yaml_reader *yr, struct fy_node *fyn, struct yaml_node *node, int depth)
{
    if (depth > DEPTH_MAX)
        return refuse(yr, node, "nested too deep");
    if (fyn == NULL) {
        node->kind = YAML_NULL;
        return true;
    }
    position_of(fyn, &node->line, &node->column);
    if (fy_node_is_alias(fyn))
        return refuse(yr, node, "found an alias (*name), expected the value itself");
    if (fy_node_is_scalar(fyn))
        return read_scalar(yr, fyn, node);
    void *iter = NULL;
    if (fy_node_is_sequence(fyn)) {
        node->kind = YAML_LIST;
        for (struct fy_node *item; (item = fy_node_sequence_iterate(fyn, &iter)) != NULL;) {
            if (!read_node(yr, item, add_child(node), depth + 1))
                return false;
        }
        return true;
    }
    node->kind = YAML_MAP;
    for (struct fy_node_pair *pair; (pair = fy_node_mapping_iterate(fyn, &iter)) != NULL;) {
        struct yaml_node *child = add_child(node);
        if (!read_key(yr, fy_node_pair_key(pair), child) ||
            !read_node(yr, fy_node_pair_value(pair), child, depth + 1))
            return false;
    }
    return true;
}

static void refuse_syntax(struct yaml_reader *yr, struct fy_diag *diag)
{
    void *iter = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iter);
    if (e == NULL || e->msg == NULL)
        err_set(yr->err, ERR_CONFIG, "%s: is not YAML", yr->name);
    else
        err_set(yr->err, ERR_CONFIG, "%s:%d:%d: not YAML: %s", yr->name, e->line, e->column, e->msg);
}

static void discard_output(struct fy_diag *diag UNUSED, void *user UNUSED, const char *buf UNUSED,
                           size_t len UNUSED)
{
}

/* Nothing but blanks and comments: libfyaml makes no document of it. */
static bool is_empty(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '#') {
            const char *newline = memchr(text + i, '\n', len - i);
            i = newline != NULL ? (size_t)(newline - text) : len;
        } else if (memchr(" \r\n", text[i], 3) == NULL) {
            return false;
        }
    }
    return true;
}

bool yaml_parse(const char *name, const char *text, size_t len, struct yaml_node **ret, struct err *err)
{
    struct yaml_reader yr = {.name = name, .err = err};
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.output_fn = discard_output;
    diag_cfg.level = FYET_ERROR;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (diag == NULL)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory for the YAML reader", name);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_ALLOW_DUPLICATE_KEYS | FYPCF_DISABLE_MMAP_OPT, .diag = diag};
    struct fy_document *doc = !is_empty(text, len) ? fy_document_build_from_string(&cfg, text, len) : NULL;
    bool good = true;
    struct yaml_node *root = xcalloc(1, sizeof *root);
    root->line = root->column = 1;
    if (doc == NULL && !is_empty(text, len)) {
        refuse_syntax(&yr, diag);
        good = false;
    } else if (doc != NULL) {
        good = read_node(&yr, fy_document_root(doc), root, 0);
    }
    if (good && (doc == NULL || root->kind == YAML_NULL))
        root->kind = YAML_MAP;
    fy_document_destroy(doc);
    fy_diag_destroy(diag);
    if (!good) {
        yaml_free(root);
        return false;
    }
    *ret = root;
    return true;
}

void yaml_free(struct yaml_node *root)
{
    if (root != NULL)
        node_release(root);
    free(root);
}
