/* Owns: the JSON form of a plan (schemas/schema-plan.schema.json). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan.h"
#include "schema.h"
#include "json/text.h"

#define PLAN_FORMAT 1

static json_t *column_json(const struct sch_column *c)
{
    json_t *j = json_object();
    json_object_set_new(j, "name", json_text(c->name));
    json_object_set_new(j, "target_name", c->map.kind == MAP_LEFT_OUT ? json_null() : json_text(c->target));
    json_object_set_new(j, "source_type", json_text(c->type));
    json_object_set_new(j, "target_type", json_text(c->map.type));
    json_object_set_new(j, "kind", json_text(map_kind_name(c->map.kind)));
    json_object_set_new(j, "rule", json_text(c->map.rule));
    json_object_set_new(j, "note", json_text(c->map.note));
    json_object_set_new(j, "not_null", json_boolean(c->not_null));
    return j;
}

static json_t *table_json(const struct sch_table *t)
{
    json_t *j = json_object(), *columns = json_array();
    for (size_t i = 0; i < t->column_count; i++)
        json_array_append_new(columns, column_json(&t->columns[i]));
    json_object_set_new(j, "schema", json_text(t->schema));
    json_object_set_new(j, "table", json_text(t->name));
    json_object_set_new(j, "target_database", json_text(t->target_database));
    json_object_set_new(j, "target_table", json_text(t->target_name));
    json_object_set_new(j, "columns", columns);
    return j;
}

static json_t *item_json(const struct plan_item *item)
{
    json_t *j = json_object();
    json_object_set_new(j, "state", json_text(item_state_name(item->state)));
    json_object_set_new(j, "kind", json_text(item->kind));
    json_object_set_new(j, "name", json_text(item->name));
    json_object_set_new(j, "text", json_text(item->text));
    json_object_set_new(j, "configuration", json_text(item->line));
    return j;
}

static json_t *step_json(const struct plan_step *step)
{
    static const char *const phases[] = {"?", "tables", "indexes", "indexes", "foreign keys", "last"};
    char *shown CLEANUP(free_ptr) = plan_shown_sql(step->sql);
    json_t *j = json_object();
    json_object_set_new(j, "phase", json_text(phases[step->phase]));
    json_object_set_new(j, "kind", json_text(step->kind));
    json_object_set_new(j, "name", json_text(step->name));
    json_object_set_new(j, "sql", json_text(shown));
    return j;
}

static json_t *summary_json(const struct schema_plan *plan)
{
    json_t *j = json_object();
    json_object_set_new(j, "tables", json_amount(plan->model.table_count));
    json_object_set_new(j, "exact", json_amount(plan_count_columns(plan, MAP_EXACT)));
    json_object_set_new(j, "lossy", json_amount(plan_count_columns(plan, MAP_LOSSY)));
    json_object_set_new(j, "chosen", json_amount(plan_count_columns(plan, MAP_CHOSEN)));
    json_object_set_new(j, "decide", json_amount(plan_count_columns(plan, MAP_DECIDE)));
    json_object_set_new(j, "left_out", json_amount(plan_count_columns(plan, MAP_LEFT_OUT)));
    json_object_set_new(j, "decisions", json_amount(plan_count(plan, ITEM_DECIDE)));
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
    json_object_set_new(j, "format", json_amount(PLAN_FORMAT));
    json_object_set_new(j, "crossfade", json_text(CF_VERSION));
    json_object_set_new(j, "pipeline", json_text(plan->pipeline));
    json_object_set_new(j, "source", json_text(plan->source_text));
    json_object_set_new(j, "target", json_text(plan->target_text));
    json_object_set_new(j, "dialect", json_text(plan->dialect == DIALECT_MARIADB ? "mariadb" : "postgresql"));
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
