/* Owns: the Markdown form of a plan. */
#include <string.h>

#include "plan.h"
#include "schema.h"

/* In a cell of a table; what a database says is shown as it is, and is no markup. */
static void add_cell(struct strbuf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("|\\`*_<>[]#&", *text) != NULL)
            strbuf_addc(out, '\\');
        strbuf_addc(out, *text == '\n' || *text == '\r' ? ' ' : *text);
    }
}

static void add_cells(struct strbuf *out, const char *const *cells, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(out, "| ");
        add_cell(out, cells[i] != NULL ? cells[i] : "");
        strbuf_addc(out, ' ');
    }
    strbuf_adds(out, "|\n");
}

static void add_items(const struct schema_plan *plan, enum item_state state, const char *title,
                      struct strbuf *out)
{
    if (plan_count(plan, state) == 0)
        return;
    strbuf_addf(out, "\n## %s\n\n| what | name | what to know |%s\n|---|---|---|%s\n", title,
                state == ITEM_DECIDE ? " configuration |" : "", state == ITEM_DECIDE ? "---|" : "");
    for (size_t i = 0; i < plan->item_count; i++) {
        const struct plan_item *item = &plan->items[i];
        const char *cells[] = {item->kind, item->name, item->text, item->line};
        if (item->state == state)
            add_cells(out, cells, state == ITEM_DECIDE ? 4 : 3);
    }
}

static void add_table(const struct schema_plan *plan, const struct sch_table *t, struct strbuf *out)
{
    strbuf_adds(out, "\n### ");
    add_cell(out, t->schema);
    strbuf_addc(out, '.');
    add_cell(out, t->name);
    strbuf_adds(out, "\n\n| column | source type | target type | kind | rule | what to know "
                     "|\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < t->column_count; i++) {
        const struct sch_column *c = &t->columns[i];
        const char *cells[] = {
            c->name,     c->type,    c->map.type != NULL ? c->map.type : "", map_kind_name(c->map.kind),
            c->map.rule, c->map.note};
        add_cells(out, cells, 6);
    }
    (void)plan;
}

void schema_plan_markdown(const struct schema_plan *plan, struct strbuf *out)
{
    strbuf_adds(out, "# Schema plan of ");
    add_cell(out, plan->pipeline);
    strbuf_adds(out, "\n\nFrom ");
    add_cell(out, plan->source_text);
    strbuf_adds(out, " to ");
    add_cell(out, plan->target_text);
    strbuf_addf(out,
                ": %zu tables, columns: %zu exact, %zu lossy, %zu chosen, %zu to decide, %zu left out. "
                "Decisions open: %zu.\n",
                plan->model.table_count, plan_count_columns(plan, MAP_EXACT),
                plan_count_columns(plan, MAP_LOSSY), plan_count_columns(plan, MAP_CHOSEN),
                plan_count_columns(plan, MAP_DECIDE), plan_count_columns(plan, MAP_LEFT_OUT),
                plan_count(plan, ITEM_DECIDE));
    add_items(plan, ITEM_DECIDE, "To decide", out);
    add_items(plan, ITEM_CHANGED, "Made, but not as on the source", out);
    add_items(plan, ITEM_REPORTED, "Not made: for a person", out);
    add_items(plan, ITEM_LEFT_OUT, "Left out", out);
    strbuf_adds(out, "\n## Columns\n");
    for (size_t i = 0; i < plan->model.table_count; i++)
        add_table(plan, &plan->model.tables[i], out);
    add_items(plan, ITEM_CARRIED, "Carried over", out);
}
