/* Owns: the HTML form of a plan: one page without outside parts, in the look of a comparison's report. Everything from a database is
 * escaped. */
#include <string.h>

#include "core/html.h"
#include "page/page.h"
#include "plan.h"
#include "schema.h"

static void add_fact(struct strbuf *out, size_t n, const char *label)
{
    strbuf_addf(out, "<div class=\"fact\"><b>%zu</b><span>%s</span></div>\n", n, label);
}

static void add_summary(const struct schema_plan *plan, struct strbuf *out)
{
    size_t open = plan_count(plan, ITEM_DECIDE);
    strbuf_addf(out, "<main>\n<header class=\"hero %s\">\n<h1>Crossfade schema plan · ",
                open > 0 ? "FAIL" : "PASS");
    html_add_text(out, plan->pipeline);
    strbuf_addf(out, "</h1>\n<p class=\"verdict\">%s</p>\n<p class=\"meaning\">",
                open > 0 ? "DECIDE" : "READY");
    if (open > 0)
        strbuf_addf(out, "%zu decision%s open. Nothing is guessed, and nothing is made before.", open,
                    open == 1 ? " is" : "s are");
    else
        strbuf_adds(out, "Everything has a rule or a decision: crossfade schema create --execute makes it.");
    strbuf_adds(out, "</p>\n<div class=\"sides\"><span><b>Source</b> ");
    html_add_text(out, plan->source_text);
    strbuf_adds(out, "</span><span><b>Target</b> ");
    html_add_text(out, plan->target_text);
    strbuf_adds(out, "</span></div>\n</header>\n<div class=\"facts\">\n");
    add_fact(out, plan->model.table_count, "tables");
    add_fact(out, plan_count_columns(plan, MAP_EXACT), "columns exact");
    add_fact(out, plan_count_columns(plan, MAP_LOSSY), "columns lossy");
    add_fact(out, plan_count_columns(plan, MAP_CHOSEN), "columns chosen");
    add_fact(out, plan_count_columns(plan, MAP_DECIDE), "columns to decide");
    add_fact(out, plan_count(plan, ITEM_REPORTED), "reported for a person");
    strbuf_adds(out, "</div>\n");
}

static void add_cell(struct strbuf *out, const char *class, const char *text)
{
    strbuf_addf(out, "<td class=\"%s\">", class);
    html_add_text(out, text != NULL ? text : "");
    strbuf_adds(out, "</td>");
}

static const char *tone_of_item(enum item_state state)
{
    return state == ITEM_DECIDE ? "FAIL" : state == ITEM_CARRIED ? "PASS" : "INCONCLUSIVE";
}

static void add_items(const struct schema_plan *plan, enum item_state state, const char *title,
                      struct strbuf *out)
{
    if (plan_count(plan, state) == 0)
        return;
    strbuf_addf(out,
                "<h2>%s</h2>\n<div "
                "class=\"scroll\"><table><thead><tr><th></th><th>What</th><th>Name</th><th>What to know</th>"
                "<th>%s</th></tr></thead><tbody>\n",
                title, state == ITEM_DECIDE ? "Configuration" : "");
    for (size_t i = 0; i < plan->item_count; i++) {
        const struct plan_item *item = &plan->items[i];
        if (item->state != state)
            continue;
        strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td>", tone_of_item(state),
                    item_state_name(state));
        add_cell(out, "soft", item->kind);
        add_cell(out, "name", item->name);
        add_cell(out, "", item->text);
        add_cell(out, "value", item->line);
        strbuf_adds(out, "</tr>\n");
    }
    strbuf_adds(out, "</tbody></table></div>\n");
}

static const char *tone_of_column(enum map_kind kind)
{
    return kind == MAP_DECIDE ? "FAIL" : kind == MAP_EXACT || kind == MAP_CHOSEN ? "PASS" : "INCONCLUSIVE";
}

static void add_table(const struct sch_table *t, struct strbuf *out)
{
    strbuf_adds(out, "<details open><summary><h3>");
    html_add_text(out, t->schema);
    strbuf_addc(out, '.');
    html_add_text(out, t->name);
    strbuf_addf(out,
                "</h3><span class=\"soft\">%zu columns</span></summary>\n<div "
                "class=\"scroll\"><table><thead><tr><th></th>"
                "<th>Column</th><th>Source type</th><th>Target type</th><th>Rule</th><th>What to "
                "know</th></tr></thead><tbody>\n",
                t->column_count);
    for (size_t i = 0; i < t->column_count; i++) {
        const struct sch_column *c = &t->columns[i];
        strbuf_addf(out, "<tr class=\"%s\"><td><span class=\"chip\">%s</span></td>",
                    tone_of_column(c->map.kind), map_kind_name(c->map.kind));
        add_cell(out, "name", c->name);
        add_cell(out, "value", c->type);
        add_cell(out, "value", c->map.type);
        add_cell(out, "soft", c->map.rule);
        add_cell(out, "", c->map.note);
        strbuf_adds(out, "</tr>\n");
    }
    strbuf_adds(out, "</tbody></table></div></details>\n");
}

void schema_plan_html(const struct schema_plan *plan, struct strbuf *out)
{
    page_head(out, plan_count(plan, ITEM_DECIDE) > 0 ? "DECIDE" : "READY", "schema plan of", plan->pipeline);
    add_summary(plan, out);
    add_items(plan, ITEM_DECIDE, "To decide", out);
    add_items(plan, ITEM_CHANGED, "Made, but not as on the source", out);
    add_items(plan, ITEM_REPORTED, "Not made: for a person", out);
    add_items(plan, ITEM_LEFT_OUT, "Left out", out);
    strbuf_adds(out, "<h2>Columns</h2>\n");
    for (size_t i = 0; i < plan->model.table_count; i++)
        add_table(&plan->model.tables[i], out);
    add_items(plan, ITEM_CARRIED, "Carried over", out);
    strbuf_adds(out, "</main>\n</body>\n</html>\n");
}
