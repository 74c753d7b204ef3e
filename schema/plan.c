/* Owns: a plan's lists and counts. See plan.h. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

/* Doubles at powers of two. */
static void *grow(void *list, size_t count, size_t size)
{
    return (count & (count - 1)) == 0 ? xrealloc(list, (count == 0 ? 1 : count * 2) * size) : list;
}

void plan_add_item(struct schema_plan *plan, enum item_state state, const char *kind, const char *name,
                   const char *text, const char *line)
{
    plan->items = grow(plan->items, plan->item_count, sizeof *plan->items);
    plan->items[plan->item_count++] =
        (struct plan_item){.state = state, .kind = kind, .name = name, .text = text, .line = line};
}

struct plan_step *plan_add_step(struct schema_plan *plan, enum step_phase phase, const char *kind,
                                const char *name, const char *sql)
{
    plan->steps = grow(plan->steps, plan->step_count, sizeof *plan->steps);
    plan->steps[plan->step_count] =
        (struct plan_step){.phase = phase, .kind = kind, .name = name, .sql = sql};
    return &plan->steps[plan->step_count++];
}

void sch_plan_release(struct schema_plan *plan)
{
    free(plan->items);
    free(plan->steps);
    free(plan->objects);
    name_set_release(&plan->foreign_keys);
    model_release(&plan->model);
    *plan = (struct schema_plan){0};
}

size_t plan_count(const struct schema_plan *plan, enum item_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->item_count; i++)
        n += plan->items[i].state == state;
    return n;
}

size_t plan_count_columns(const struct schema_plan *plan, enum map_kind kind)
{
    size_t n = 0;
    for (size_t t = 0; t < plan->model.table_count; t++) {
        for (size_t c = 0; c < plan->model.tables[t].column_count; c++)
            n += plan->model.tables[t].columns[c].map.kind == kind;
    }
    return n;
}

const char *item_state_name(enum item_state state)
{
    static const char *const names[] = {
        [ITEM_UNKNOWN] = "?",         [ITEM_CARRIED] = "carried",   [ITEM_CHANGED] = "changed",
        [ITEM_REPORTED] = "reported", [ITEM_LEFT_OUT] = "left out", [ITEM_DECIDE] = "decide"};
    return names[state];
}

static void add_part(struct strbuf *out, const char *part)
{
    if (strpbrk(part, ".\"=") == NULL) {
        strbuf_adds(out, part);
        return;
    }
    pg_quote_ident(out, part);
}

const char *plan_key(struct schema_plan *plan, const struct sch_table *t, const char *column)
{
    struct strbuf key = STRBUF_INIT(4096);
    add_part(&key, t->schema);
    strbuf_addc(&key, '.');
    add_part(&key, t->name);
    if (column != NULL) {
        strbuf_addc(&key, '.');
        add_part(&key, column);
    }
    const char *text = model_text(&plan->model, key.data);
    strbuf_release(&key);
    return text;
}

char *plan_shown_sql(const char *sql)
{
    static const char *const secret[] = {"CREATE USER MAPPING ", "ALTER USER MAPPING ", "CREATE SERVER ",
                                         "ALTER SERVER ", "CREATE FOREIGN DATA WRAPPER "};
    const char *options = strstr(sql, "OPTIONS (");
    bool hide = false;
    for (size_t i = 0; options != NULL && i < ARRAY_LEN(secret); i++) {
        const char *at = strstr(sql, secret[i]);
        hide = hide || (at != NULL && at < options);
    }
    return hide ? xasprintf("%.*sOPTIONS (not shown)", (int)(options - sql), sql) : xstrdup(sql);
}
