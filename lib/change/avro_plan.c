/*
 * Compiles the JSON text of an Avro envelope schema into a plan. The text comes from a schema store, hence it
 * is checked: unknown types, missing names, wrong shapes give ERR_PROTOCOL; columns of a type that has no
 * datum (arrays, records) give ERR_UNSUPPORTED.
 */
#include <stdlib.h>
#include <string.h>

#include "change/avro_schema.h"
#include "change/connect.h"
#include "change/envelope.h"
#include "core/alloc.h"

#define PLAN_MAX_BYTES ((size_t)64 << 20)
#define NESTING_MAX    64

struct named {
    const char *full;
    struct avro_node *node;
    struct named *next;
};

struct parser {
    struct arena *arena;
    struct named *names;
    struct err *err;
    int depth;
};

/* Allocation failures of the plan's arena are one kind of "too large". */
static void *plan_alloc(struct parser *ps, size_t size)
{
    void *p = arena_alloc(ps->arena, size);
    if (p == NULL)
        (void)err_set(ps->err, ERR_NO_MEMORY, "schema is larger than %zu bytes", PLAN_MAX_BYTES);
    else
        memset(p, 0, size);
    return p;
}

static struct avro_node *new_node(struct parser *ps, enum avro_kind kind)
{
    struct avro_node *node = plan_alloc(ps, sizeof *node);
    if (node != NULL)
        node->kind = kind;
    return node;
}

static struct avro_node *bad_node(struct parser *ps, const char *why, const char *what)
{
    (void)err_set(ps->err, ERR_PROTOCOL, "schema is no valid Avro: %s: %.80s", why, what);
    return NULL;
}

/* name with the enclosing namespace, unless it has one. */
static const char *full_name(struct parser *ps, const char *name, const char *name_space)
{
    if (strchr(name, '.') != NULL || name_space[0] == '\0')
        return name;
    size_t a = strlen(name_space), b = strlen(name);
    char *full = plan_alloc(ps, a + b + 2);
    if (full == NULL)
        return NULL;
    memcpy(full, name_space, a);
    full[a] = '.';
    memcpy(full + a + 1, name, b + 1);
    return full;
}

static struct avro_node *find_named(struct parser *ps, const char *name, const char *name_space)
{
    const char *full = full_name(ps, name, name_space);
    for (struct named *n = ps->names; full != NULL && n != NULL; n = n->next) {
        if (strcmp(n->full, full) == 0)
            return n->node;
    }
    return full == NULL ? NULL : bad_node(ps, "type is not defined", name);
}

static bool add_named(struct parser *ps, const char *full, struct avro_node *node)
{
    struct named *n = plan_alloc(ps, sizeof *n);
    if (n == NULL)
        return false;
    *n = (struct named){.full = full, .node = node, .next = ps->names};
    ps->names = n;
    return true;
}

static enum avro_kind primitive_kind(const char *name)
{
    static const char *const names[] = {
        [AVRO_KIND_NULL] = "null",   [AVRO_KIND_BOOL] = "boolean",  [AVRO_KIND_INT] = "int",
        [AVRO_KIND_LONG] = "long",   [AVRO_KIND_FLOAT] = "float",   [AVRO_KIND_DOUBLE] = "double",
        [AVRO_KIND_BYTES] = "bytes", [AVRO_KIND_STRING] = "string",
    };
    for (size_t i = AVRO_KIND_NULL; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0)
            return (enum avro_kind)i;
    }
    return AVRO_KIND_UNKNOWN;
}

static struct avro_node *parse_type(struct parser *ps, const json_t *type, const char *name_space);

static bool alloc_items(struct parser *ps, struct avro_node *node, size_t count, bool named)
{
    node->items = plan_alloc(ps, (count + 1) * sizeof(struct avro_node *));
    node->names = named ? plan_alloc(ps, (count + 1) * sizeof(char *)) : NULL;
    return node->items != NULL && (!named || node->names != NULL);
}

static struct avro_node *parse_union(struct parser *ps, const json_t *branches, const char *name_space)
{
    size_t count = json_array_size(branches);
    struct avro_node *node = new_node(ps, AVRO_KIND_UNION);
    if (node == NULL || !alloc_items(ps, node, count, false))
        return NULL;
    for (; node->count < count; node->count++) {
        node->items[node->count] = parse_type(ps, json_array_get(branches, node->count), name_space);
        if (node->items[node->count] == NULL)
            return NULL;
    }
    return node;
}

static struct avro_node *parse_record(struct parser *ps, const json_t *type, struct avro_node *node,
                                      const char *name_space)
{
    const json_t *fields = json_object_get(type, "fields");
    size_t count = json_array_size(fields);
    if (!json_is_array(fields))
        return bad_node(ps, "record without fields", name_space);
    if (!alloc_items(ps, node, count, true))
        return NULL;
    for (; node->count < count; node->count++) {
        const json_t *field = json_array_get(fields, node->count);
        const char *name = json_string_value(json_object_get(field, "name"));
        if (name == NULL)
            return bad_node(ps, "field without a name", name_space);
        node->names[node->count] = arena_copy(ps->arena, name, strlen(name));
        node->items[node->count] = parse_type(ps, json_object_get(field, "type"), name_space);
        if (node->items[node->count] == NULL || node->names[node->count] == NULL)
            return NULL;
    }
    return node;
}

/* record, enum, fixed: types with a name, which is known inside of themselves. */
static struct avro_node *parse_named(struct parser *ps, const json_t *type, enum avro_kind kind,
                                     const char *name_space)
{
    const char *name = json_string_value(json_object_get(type, "name"));
    const char *own_space = json_string_value(json_object_get(type, "namespace"));
    if (name == NULL)
        return bad_node(ps, "named type without a name", name_space);
    const char *full = full_name(ps, name, own_space != NULL ? own_space : name_space);
    struct avro_node *node = full != NULL ? new_node(ps, kind) : NULL;
    if (node == NULL || !add_named(ps, full, node))
        return NULL;
    if (kind == AVRO_KIND_FIXED) {
        json_int_t size = json_integer_value(json_object_get(type, "size"));
        node->count = (size_t)size;
        return size >= 0 && size <= INT32_MAX ? node : bad_node(ps, "fixed without a proper size", name);
    }
    if (kind == AVRO_KIND_ENUM) {
        node->count = json_array_size(json_object_get(type, "symbols"));
        return node;
    }
    const char *dot = strrchr(full, '.');
    char *inner = arena_copy(ps->arena, full, dot != NULL ? (size_t)(dot - full) : 0);
    return inner != NULL ? parse_record(ps, type, node, inner) : NULL;
}

static struct avro_node *parse_object(struct parser *ps, const json_t *type, const char *name_space)
{
    const json_t *inner = json_object_get(type, "type");
    const char *name = json_string_value(inner);
    if (name == NULL)
        return parse_type(ps, inner, name_space);
    if (strcmp(name, "record") == 0)
        return parse_named(ps, type, AVRO_KIND_RECORD, name_space);
    if (strcmp(name, "enum") == 0)
        return parse_named(ps, type, AVRO_KIND_ENUM, name_space);
    if (strcmp(name, "fixed") == 0)
        return parse_named(ps, type, AVRO_KIND_FIXED, name_space);
    bool array = strcmp(name, "array") == 0;
    if (!array && strcmp(name, "map") != 0)
        return parse_type(ps, inner, name_space);
    struct avro_node *node = new_node(ps, array ? AVRO_KIND_ARRAY : AVRO_KIND_MAP);
    if (node == NULL || !alloc_items(ps, node, 1, false))
        return NULL;
    node->count = 1;
    node->items[0] = parse_type(ps, json_object_get(type, array ? "items" : "values"), name_space);
    return node->items[0] != NULL ? node : NULL;
}

static struct avro_node *parse_type(struct parser *ps, const json_t *type, const char *name_space)
{
    if (ps->depth >= NESTING_MAX)
        return bad_node(ps, "nested too deeply", name_space);
    ps->depth++;
    struct avro_node *node;
    if (json_is_string(type)) {
        const char *name = json_string_value(type);
        enum avro_kind kind = primitive_kind(name);
        node = kind != AVRO_KIND_UNKNOWN ? new_node(ps, kind) : find_named(ps, name, name_space);
    } else if (json_is_array(type)) {
        node = parse_union(ps, type, name_space);
    } else if (json_is_object(type)) {
        node = parse_object(ps, type, name_space);
    } else {
        node = bad_node(ps, "type is missing", name_space);
    }
    ps->depth--;
    return node;
}

/* --- from nodes to steps --- */

/* A type as one step: a union of null and one other type is looked through; wider unions stay unions. */
static struct avro_step step_of(const struct avro_node *node)
{
    struct avro_step step = {.kind = node->kind, .null_branch = -1, .node = node};
    if (node->kind != AVRO_KIND_UNION || node->count != 2)
        return step;
    bool first = node->items[0]->kind == AVRO_KIND_NULL, second = node->items[1]->kind == AVRO_KIND_NULL;
    if (first == second)
        return step;
    step.null_branch = first ? 0 : 1;
    step.node = node->items[first ? 1 : 0];
    step.kind = step.node->kind;
    return step;
}

struct role_name {
    const char *name;
    enum avro_role role;
    enum avro_kind kind;
};

static const struct role_name envelope_roles[] = {
    {"before", ROLE_BEFORE, AVRO_KIND_RECORD}, {"after", ROLE_AFTER, AVRO_KIND_RECORD},
    {"source", ROLE_SOURCE, AVRO_KIND_RECORD}, {"transaction", ROLE_TRANSACTION, AVRO_KIND_RECORD},
    {"op", ROLE_OP, AVRO_KIND_STRING},         {"ts_ms", ROLE_TS_MS, AVRO_KIND_LONG},
    {"ts_us", ROLE_TS_US, AVRO_KIND_LONG},     {HINTS_FIELD, ROLE_HINTS, AVRO_KIND_RECORD},
    {NULL, ROLE_SKIP, AVRO_KIND_UNKNOWN},
};
static const struct role_name source_roles[] = {
    {"name", ROLE_SOURCE_NAME, AVRO_KIND_STRING},
    {"db", ROLE_SOURCE_DB, AVRO_KIND_STRING},
    {"ts_ms", ROLE_SOURCE_TS_MS, AVRO_KIND_LONG},
    {"ts_us", ROLE_SOURCE_TS_US, AVRO_KIND_LONG},
    {"snapshot", ROLE_SOURCE_SNAPSHOT, AVRO_KIND_STRING},
    {"sequence", ROLE_SOURCE_SEQUENCE, AVRO_KIND_STRING},
    {"txId", ROLE_SOURCE_TXID, AVRO_KIND_LONG},
    {"lsn", ROLE_SOURCE_LSN, AVRO_KIND_LONG},
    {"connector", ROLE_SOURCE_CONNECTOR, AVRO_KIND_STRING},
    {"schema", ROLE_SOURCE_SCHEMA, AVRO_KIND_STRING},
    {"table", ROLE_SOURCE_TABLE, AVRO_KIND_STRING},
    {"file", ROLE_SOURCE_FILE, AVRO_KIND_STRING},
    {"gtid", ROLE_SOURCE_GTID, AVRO_KIND_STRING},
    {"pos", ROLE_SOURCE_POS, AVRO_KIND_LONG},
    {"row", ROLE_SOURCE_ROW, AVRO_KIND_INT},
    {"server_id", ROLE_SOURCE_SERVER_ID, AVRO_KIND_LONG},
    {NULL, ROLE_SKIP, AVRO_KIND_UNKNOWN},
};
static const struct role_name transaction_roles[] = {
    {"id", ROLE_TRANSACTION_ID, AVRO_KIND_STRING},
    {"total_order", ROLE_TOTAL_ORDER, AVRO_KIND_LONG},
    {"data_collection_order", ROLE_TABLE_ORDER, AVRO_KIND_LONG},
    {NULL, ROLE_SKIP, AVRO_KIND_UNKNOWN},
};

/* Steps of a record; roles NULL = columns. */
static bool make_steps(struct parser *ps, const struct avro_node *rec, const struct role_name *roles,
                       struct avro_steps *ret)
{
    ret->items = plan_alloc(ps, (rec->count + 1) * sizeof *ret->items);
    if (ret->items == NULL)
        return false;
    for (ret->count = 0; ret->count < rec->count; ret->count++) {
        struct avro_step step = step_of(rec->items[ret->count]);
        for (const struct role_name *r = roles; r != NULL && r->name != NULL; r++) {
            if (strcmp(r->name, rec->names[ret->count]) != 0)
                continue;
            if (step.kind != r->kind)
                return err_set(ps->err, ERR_PROTOCOL,
                               "schema: envelope field %s has another type than Debezium's", r->name);
            step.role = r->role;
        }
        if (step.role == ROLE_SKIP && roles != NULL)
            step.node = rec->items[ret->count]; /* skipped with its union */
        ret->items[ret->count] = step;
    }
    return true;
}

static const struct avro_step *find_role(const struct avro_steps *steps, enum avro_role role)
{
    for (size_t i = 0; i < steps->count; i++) {
        if (steps->items[i].role == role)
            return &steps->items[i];
    }
    return NULL;
}

static bool hints_fit(const struct avro_node *rec)
{
    static const char *const names[] = {"before_key_only", "before_unavailable", "after_unavailable"};
    if (rec->count != ARRAY_LEN(names))
        return false;
    for (size_t i = 0; i < rec->count; i++) {
        if (strcmp(rec->names[i], names[i]) != 0)
            return false;
    }
    return rec->items[0]->kind == AVRO_KIND_BOOL && rec->items[1]->kind == AVRO_KIND_ARRAY &&
           rec->items[2]->kind == AVRO_KIND_ARRAY && rec->items[1]->items[0]->kind == AVRO_KIND_INT &&
           rec->items[2]->items[0]->kind == AVRO_KIND_INT;
}

static bool make_plan(struct parser *ps, const struct avro_node *root, struct avro_plan *plan,
                      bool *ret_has_hints)
{
    if (root->kind != AVRO_KIND_RECORD || !make_steps(ps, root, envelope_roles, &plan->envelope))
        return err_is_set(ps->err) ? false : err_set(ps->err, ERR_PROTOCOL, "schema is no record");
    const struct avro_step *before = find_role(&plan->envelope, ROLE_BEFORE);
    const struct avro_step *after = find_role(&plan->envelope, ROLE_AFTER);
    const struct avro_step *source = find_role(&plan->envelope, ROLE_SOURCE);
    const struct avro_step *transaction = find_role(&plan->envelope, ROLE_TRANSACTION);
    const struct avro_step *hints = find_role(&plan->envelope, ROLE_HINTS);
    if (before == NULL || after == NULL || source == NULL || find_role(&plan->envelope, ROLE_OP) == NULL ||
        before->node != after->node)
        return err_set(ps->err, ERR_PROTOCOL, "schema is no Debezium envelope (before, after, source, op)");
    if (hints != NULL && !hints_fit(hints->node))
        return err_set(ps->err, ERR_PROTOCOL, "schema: field %s has another shape than ours", HINTS_FIELD);
    *ret_has_hints = hints != NULL;
    return make_steps(ps, before->node, NULL, &plan->columns) &&
           make_steps(ps, source->node, source_roles, &plan->source) &&
           (transaction == NULL || make_steps(ps, transaction->node, transaction_roles, &plan->transaction));
}

/* --- from the text to a table --- */

static enum phys phys_of(enum avro_kind kind, const json_t *type)
{
    const char *connect_type = json_string_value(json_object_get(type, "connect.type"));
    switch (kind) {
    case AVRO_KIND_BOOL:
        return PHYS_BOOL;
    case AVRO_KIND_INT:
        return connect_type != NULL && strcmp(connect_type, "int16") == 0 ? PHYS_INT16 : PHYS_INT32;
    case AVRO_KIND_LONG:
        return PHYS_INT64;
    case AVRO_KIND_FLOAT:
        return PHYS_FLOAT32;
    case AVRO_KIND_DOUBLE:
        return PHYS_FLOAT64;
    case AVRO_KIND_STRING:
        return PHYS_STRING;
    case AVRO_KIND_BYTES:
        return PHYS_BYTES;
    default:
        return PHYS_UNKNOWN;
    }
}

/* Has the record the members of this struct, in its order? */
static bool is_struct(const struct avro_node *node, const struct nested_struct *shape)
{
    if (shape == NULL || node->count != shape->count)
        return false;
    for (size_t i = 0; i < shape->count; i++) {
        static const enum avro_kind kinds[PHYS_MAX_] = {
            [PHYS_INT32] = AVRO_KIND_INT, [PHYS_FLOAT64] = AVRO_KIND_DOUBLE, [PHYS_BYTES] = AVRO_KIND_BYTES};
        const struct nested_member *m = &shape->members[i];
        struct avro_step step = step_of(node->items[i]);
        if (strcmp(node->names[i], m->name) != 0 || step.kind != kinds[m->phys] ||
            step.null_branch != (m->optional ? 0 : -1))
            return false;
    }
    return true;
}

static bool is_text_map(const struct avro_node *node)
{
    struct avro_step step = step_of(node->items[0]);
    return step.kind == AVRO_KIND_STRING && step.null_branch == 0;
}

/* The type itself, without null beside it. */
static const json_t *look_through(const json_t *type, int null_branch)
{
    return null_branch >= 0 ? json_array_get(type, null_branch == 0 ? 1 : 0) : type;
}

/* A type that is used again stands there by its name. */
static const char *connect_name(const json_t *type)
{
    return json_is_string(type) ? json_string_value(type)
                                : json_string_value(json_object_get(type, "connect.name"));
}

/* What a column (or an array's element) is made of; UNKNOWN: nothing that is read here. */
static enum phys value_phys(const struct avro_step *step, const json_t *type)
{
    if (step->kind == AVRO_KIND_RECORD)
        return is_struct(step->node, nested_struct_find(connect_name(type))) ? PHYS_STRUCT : PHYS_UNKNOWN;
    if (step->kind == AVRO_KIND_MAP)
        return is_text_map(step->node) ? PHYS_MAP : PHYS_UNKNOWN;
    return phys_of(step->kind, type);
}

static void array_column(const struct avro_step *step, const json_t *type, struct draft_column *col)
{
    struct avro_step items = step_of(step->node->items[0]);
    const json_t *item_type = look_through(json_object_get(type, "items"), items.null_branch);
    col->elem = value_phys(&items, item_type);
    col->phys = col->elem != PHYS_UNKNOWN && items.null_branch <= 0 ? PHYS_ARRAY : PHYS_UNKNOWN;
    col->elem_required = items.null_branch < 0;
    col->semantic = json_is_object(item_type) || col->elem == PHYS_STRUCT ? connect_name(item_type) : NULL;
    col->value_params = json_object_get(item_type, "connect.parameters");
}

static bool add_column(struct table_draft *draft, const json_t *field, const struct avro_step *step,
                       struct err *err)
{
    const json_t *type = look_through(json_object_get(field, "type"), step->null_branch);
    struct draft_column col = {.wire_name = json_string_value(json_object_get(field, "name")),
                               .optional = step->null_branch >= 0,
                               .params = json_object_get(type, "connect.parameters")};
    if (step->kind == AVRO_KIND_ARRAY) {
        array_column(step, type, &col);
    } else {
        col.phys = value_phys(step, type);
        col.semantic = json_is_object(type) || col.phys == PHYS_STRUCT ? connect_name(type) : NULL;
        col.value_params = col.params;
    }
    if (json_object_get(field, "connect.parameters") != NULL) /* of a named type: see avro_schema.c */
        col.params = json_object_get(field, "connect.parameters");
    if (col.phys == PHYS_UNKNOWN)
        return err_set(err, ERR_UNSUPPORTED, "schema: column \"%s\" has a nested type, which is not read yet",
                       col.wire_name);
    return table_draft_add(draft, &col, err);
}

/* The JSON object that defines the row's record: the non-null branch of `before`. */
static const json_t *row_object(const json_t *root)
{
    const json_t *fields = json_object_get(root, "fields"), *field;
    size_t i;
    json_array_foreach(fields, i, field)
    {
        const char *name = json_string_value(json_object_get(field, "name"));
        if (name == NULL || strcmp(name, "before") != 0)
            continue;
        const json_t *type = json_object_get(field, "type");
        const json_t *first = json_array_get(type, 0);
        return json_is_object(first) ? first : json_is_object(type) ? type : json_array_get(type, 1);
    }
    return NULL;
}

static bool make_table(const char *topic, const json_t *root, const struct avro_plan *plan,
                       struct table_schema **ret, struct err *err)
{
    const json_t *row = row_object(root), *fields = json_object_get(row, "fields");
    const char *name_space = json_string_value(json_object_get(root, "namespace"));
    if (json_array_size(fields) != plan->columns.count)
        return err_set(err, ERR_PROTOCOL, "schema: the row is not defined in field before");
    struct table_draft draft;
    if (!table_draft_init(&draft, plan->columns.count, err))
        return false;
    for (size_t i = 0; i < plan->columns.count; i++) {
        if (!add_column(&draft, json_array_get(fields, i), &plan->columns.items[i], err)) {
            table_draft_release(&draft);
            return false;
        }
    }
    bool ok = table_draft_finish(&draft, topic, name_space != NULL ? name_space : "",
                                 json_object_get(row, "connect.parameters"), ret, err);
    table_draft_release(&draft);
    return ok;
}

bool avro_shape_parse(const char *topic, const char *schema_json, struct shape *ret, struct err *err)
{
    json_error_t why;
    /* Debezium's column defaults may hold U+0000. */
    json_auto_t *root = json_loads(schema_json, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (root == NULL)
        return err_set(err, ERR_PROTOCOL, "schema is no JSON: line %d: %s", why.line, why.text);
    struct avro_plan *plan = xcalloc(1, sizeof *plan);
    arena_init(&plan->arena, 16384, PLAN_MAX_BYTES);
    ret->plan = plan;
    struct err inner = ERR_INIT;
    struct parser ps = {.arena = &plan->arena, .err = &inner};
    const struct avro_node *node = parse_type(&ps, root, "");
    if (node == NULL || !make_plan(&ps, node, plan, &ret->has_hints)) {
        *err = inner;
        return false;
    }
    return make_table(topic, root, plan, &ret->table, err);
}

struct avro_record {
    struct arena arena;
    const struct avro_node *root;
};

bool avro_record_parse(const char *schema_json, struct avro_record **ret, struct err *err)
{
    json_error_t why;
    json_auto_t *json = json_loads(schema_json, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (json == NULL)
        return err_set(err, ERR_PROTOCOL, "schema is no JSON: line %d: %s", why.line, why.text);
    struct avro_record *rec = xcalloc(1, sizeof *rec);
    struct err inner = ERR_INIT;
    arena_init(&rec->arena, 4096, PLAN_MAX_BYTES);
    struct parser ps = {.arena = &rec->arena, .err = &inner};
    const struct avro_node *root = parse_type(&ps, json, "");
    if (root == NULL || root->kind != AVRO_KIND_RECORD) {
        *err = inner;
        avro_record_free(rec);
        return err_is_set(err) ? false : err_set(err, ERR_PROTOCOL, "schema is no record");
    }
    rec->root = root;
    *ret = rec;
    return true;
}

const struct avro_node *avro_record_root(const struct avro_record *rec)
{
    return rec->root;
}

void avro_record_free(struct avro_record *rec)
{
    if (rec == NULL)
        return;
    arena_release(&rec->arena);
    free(rec);
}

const char *avro_plan_column(const struct avro_plan *plan, size_t index)
{
    const struct avro_step *before = find_role(&plan->envelope, ROLE_BEFORE);
    return before->node->names[index];
}

void avro_plan_free(void *plan)
{
    struct avro_plan *p = plan;
    arena_release(&p->arena);
    free(p);
}
