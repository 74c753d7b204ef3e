/* Owns: reading plans. See plan_shape.h. */
#include "plan_shape.h"

#include <jansson.h>

#include "core/strbuf.h"

#define SHAPE_BYTES_MAX 65536
#define DEPTH_MAX       100

static const char *text_of(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text != NULL ? text : "";
}

static void add_if(struct strbuf *out, const char *before, const char *text)
{
    if (*text != '\0')
        strbuf_addf(out, "%s%s", before, text);
}

static void add_node(struct strbuf *out, const json_t *node, int depth)
{
    const json_t *plans = json_object_get(node, "Plans"), *child;
    const char *join = text_of(node, "Join Type"), *strategy = text_of(node, "Strategy");
    size_t i;
    if (strcmp(join, "") != 0 && strcmp(join, "Inner") != 0)
        strbuf_addf(out, "%s ", join);
    if (strcmp(strategy, "") != 0 && strcmp(strategy, "Plain") != 0)
        strbuf_addf(out, "%s ", strategy);
    strbuf_adds(out, text_of(node, "Node Type"));
    add_if(out, " on ", text_of(node, "Relation Name"));
    add_if(out, " on function ", text_of(node, "Function Name"));
    add_if(out, " on WITH ", text_of(node, "CTE Name"));
    add_if(out, " using ", text_of(node, "Index Name"));
    if (strcmp(text_of(node, "Scan Direction"), "Backward") == 0)
        strbuf_adds(out, " backward");
    if (json_array_size(plans) == 0 || depth > DEPTH_MAX)
        return;
    strbuf_addc(out, '(');
    json_array_foreach((json_t *)plans, i, child)
    {
        strbuf_adds(out, i > 0 ? ", " : "");
        add_node(out, child, depth + 1);
    }
    strbuf_addc(out, ')');
}

char *plan_shape(const char *explained)
{
    struct strbuf out = STRBUF_INIT(SHAPE_BYTES_MAX);
    json_t *root = json_loads(explained, 0, NULL);
    const json_t *plan = json_object_get(json_array_get(root, 0), "Plan");
    if (json_is_object(plan))
        add_node(&out, plan, 0);
    json_decref(root);
    if (out.len == 0) {
        strbuf_release(&out);
        return NULL;
    }
    return strbuf_detach(&out);
}
