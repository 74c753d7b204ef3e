/* Owns: the JSON form of a plan (schemas/schema-plan.schema.json). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan.h"
#include "schema.h"

#define PLAN_FORMAT 1

/* Never NULL: see compare/report_json.c. */
static json_t *text(const char *s)
{
    if (s == NULL)
        return json_null();
    json_t *j = json_string(s);
    if (j != NULL)
        return j;
    char *copy CLEANUP(free_ptr) = xstrdup(s);
    for (char *p = copy; *p != '\0'; p++)
        *p = (unsigned char)*p < 0x80 ? *p : '?';
    return json_string(copy);
}

static json_t *number(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *column_json(const struct sch_column *c)
{
    json_t *j = json_object();
    json_object_set_new(j, "name", text(c->name));
    json_object_set_new(j, "target_name", c->map.kind == MAP_LEFT_OUT ? json_null() : text(c->target));
    json_object_set_new(j, "source_type", text(c->type));
    json_object_set_new(j, "target_type", text(c->map.type));
    json_object_set_new(j, "kind", text(map_kind_name(c->map.kind)));
    json_object_set_new(j, "rule", text(c->map.rule));
    json_object_set_new(j, "note", text(c->map.note));
    json_object_set_new(j, "not_null", json_boolean(c->not_null));
    return j;
}

static json_t *table_json(const struct sch_table *t)
{
    json_t *j = json_object(), *columns = json_array();
    for (size_t i = 0; i < t->column_count; i++)
        json_array_append_new(columns, column_json(&t->columns[i]));
    json_object_set_new(j, "schema", text(t->schema));
    json_object_set_new(j, "table", text(t->name));
    json_object_set_new(j, "target_database", text(t->target_database));
    json_object_set_new(j, "target_table", text(t->target_name));
    json_object_set_new(j, "columns", columns);
    return j;
}

static json_t *item_json(const struct plan_item *item)
{
    json_t *j = json_object();
    json_object_set_new(j, "state", text(item_state_name(item->state)));
    json_object_set_new(j, "kind", text(item->kind));
    json_object_set_new(j, "name", text(item->name));
    json_object_set_new(j, "text", text(item->text));
    json_object_set_new(j, "configuration", text(item->line));
    return j;
}

static json_t *step_json(const struct plan_step *step)
{
    static const char *const phases[] = {"?", "tables", "indexes", "indexes", "foreign keys", "last"};
    char *shown CLEANUP(free_ptr) = plan_shown_sql(step->sql);
    json_t *j = json_object();
    json_object_set_new(j, "phase", text(phases[step->phase]));
    json_object_set_new(j, "kind", text(step->kind));
    json_object_set_new(j, "name", text(step->name));
    json_object_set_new(j, "sql", text(shown));
    return j;
}

static json_t *summary_json(const struct schema_plan *plan)
{
    json_t *j = json_object();
    json_object_set_new(j, "tables", number(plan->model.table_count));
    json_object_set_new(j, "exact", number(plan_count_columns(plan, MAP_EXACT)));
    json_object_set_new(j, "lossy", number(plan_count_columns(plan, MAP_LOSSY)));
    json_object_set_new(j, "chosen", number(plan_count_columns(plan, MAP_CHOSEN)));
    json_object_set_new(j, "decide", number(plan_count_columns(plan, MAP_DECIDE)));
    json_object_set_new(j, "left_out", number(plan_count_columns(plan, MAP_LEFT_OUT)));
    json_object_set_new(j, "decisions", number(plan_count(plan, ITEM_DECIDE)));
    return j;
}

char *schema_plan_json(const struct schema_plan *plan)
{
    json_t *j = json_object(), *tables = json_array(), *items = json_array(), *steps = json_array();
    for (size_t i = 0; i < plan->model.table_count; i++)
        json_array_append_new(tables, table_json(&plan->model.tables[i]));
    for (size_t i = 0; i < plan->item_count; i++)
        json_array_append_new(items, item_json(&plan->items[i]));
    for (size_t i = 0; i < plan->step_count; i++)
        json_array_append_new(steps, step_json(&plan->steps[i]));
    json_object_set_new(j, "format", number(PLAN_FORMAT));
    json_object_set_new(j, "crossfade", text(CF_VERSION));
    json_object_set_new(j, "pipeline", text(plan->pipeline));
    json_object_set_new(j, "source", text(plan->source_text));
    json_object_set_new(j, "target", text(plan->target_text));
    json_object_set_new(j, "dialect", text(plan->dialect == DIALECT_MARIADB ? "mariadb" : "postgresql"));
    json_object_set_new(j, "summary", summary_json(plan));
    json_object_set_new(j, "tables", tables);
    json_object_set_new(j, "items", items);
    json_object_set_new(j, "steps", steps);
    char *dump = json_dumps(j, JSON_INDENT(2));
    json_decref(j);
    char *line = xasprintf("%s\n", dump != NULL ? dump : "{}");
    free(dump);
    return line;
}
