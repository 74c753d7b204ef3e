/*
 * Owns: ranges on MariaDB as text with their bounds beside it: `types: {public.t.r: "columns(lower,upper)"}`. The text stays what
 * apply writes, exact; the bounds are virtual columns that MariaDB computes from it, so that they can be searched and indexed, and no
 * value of them can halt apply. A bound that is infinite, or that the type cannot hold, is null. See plan.h.
 */
#include <string.h>
#include <strings.h>

#include "maria/conn.h"
#include "maria/names.h"
#include "plan.h"

struct bound_type {
    const char *of;      /* subtype */
    const char *type;    /* of the columns */
    const char *cast;    /* as CAST takes it */
    const char *pattern; /* of the texts that it holds */
};

static const struct bound_type types[] = {
    {"integer", "int", "signed", "^-?[0-9]+$"},
    {"bigint", "bigint", "signed", "^-?[0-9]+$"},
    {"numeric", "decimal(65,30)", "decimal(65,30)", "^-?[0-9]{1,35}([.][0-9]{1,30})?$"},
    {"date", "date", "date", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    {"timestamp without time zone", "datetime(6)", "datetime(6)",
     "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?$"},
    {"timestamp with time zone", "datetime(6)", "datetime(6)",
     "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?[+]00$"}};

static const struct bound_type *bound_of(const struct sch_column *c)
{
    for (size_t i = 0; c->range_of != NULL && c->kind == 'r' && !c->array && i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].of, c->range_of) == 0)
            return &types[i];
    }
    return NULL;
}

/* "columns( a , b )" */
static bool parse(struct schema_model *m, const char *type, const char **ret_lower, const char **ret_upper)
{
    const char *p = type + 8, *comma = strchr(p, ','), *end = strrchr(p, ')');
    if (comma == NULL || end == NULL || comma > end || end[1] != '\0')
        return false;
    const char *const from[] = {p, comma + 1}, *const to[] = {comma, end};
    const char **const ret[] = {ret_lower, ret_upper};
    for (int i = 0; i < 2; i++) {
        const char *a = from[i] + strspn(from[i], " "), *b = to[i];
        while (b > a && b[-1] == ' ')
            b--;
        if (b <= a)
            return false;
        *ret[i] = model_textf(m, "%.*s", (int)(b - a), a);
    }
    return strpbrk(*ret_upper, ",()") == NULL;
}

static const char *why_not(const struct sch_table *t, const struct sch_column *c)
{
    char name[MARIA_NAME_BYTES];
    if (strcasecmp(c->lower, c->upper) == 0 || maria_name(c->lower, name) || maria_name(c->upper, name))
        return "two names are needed, and MariaDB takes up to 64 characters, none beyond U+FFFF, no blank at "
               "the end";
    for (size_t i = 0; i < t->column_count; i++) {
        const struct sch_column *other = &t->columns[i];
        if (strcasecmp(other->target, c->lower) == 0 || strcasecmp(other->target, c->upper) == 0 ||
            (other != c && other->lower != NULL &&
             (strcasecmp(other->lower, c->lower) == 0 || strcasecmp(other->lower, c->upper) == 0 ||
              strcasecmp(other->upper, c->lower) == 0 || strcasecmp(other->upper, c->upper) == 0)))
            return "another column of the table has one of these names";
    }
    return NULL;
}

bool range_columns(struct schema_plan *plan, const struct sch_table *t, struct sch_column *c,
                   const char *type)
{
    const struct bound_type *bound = bound_of(c);
    const char *why = NULL;
    if (strncmp(type, "columns(", 8) != 0)
        return false;
    if (bound == NULL)
        why = "columns(lower,upper) is for ranges of integers, numerics, dates and timestamps: not of other "
              "types, multiranges and "
              "arrays";
    else if (!parse(&plan->model, type, &c->lower, &c->upper))
        why = "expected columns(lower,upper) with two names";
    else
        why = why_not(t, c);
    if (why != NULL) {
        c->lower = c->upper = NULL;
        c->map = (struct mapping){.kind = MAP_DECIDE, .rule = "types", .note = why};
        plan_add_item(plan, ITEM_DECIDE, "column", plan_key(plan, t, c->name), why,
                      "types: another type, such as longtext");
        return true;
    }
    c->map = (struct mapping){.kind = MAP_CHOSEN,
                              .type = "longtext",
                              .rule = "columns",
                              .note = model_textf(&plan->model,
                                                  "kept as PostgreSQL's text, which says which bounds belong "
                                                  "to it; bounds as %s in %s and %s, null where "
                                                  "there is none or the type cannot hold it",
                                                  bound->type, c->lower, c->upper)};
    return true;
}

static void add_bound(const struct sch_column *c, const struct bound_type *b, bool upper, struct strbuf *sql)
{
    struct strbuf text = STRBUF_INIT(8192);
    strbuf_adds(&text, upper ? "replace(substring_index(left(" : "replace(substring_index(substr(");
    maria_quote_ident(&text, c->target);
    strbuf_adds(&text, upper ? ",char_length(" : ",2),',',1),'\"','')");
    if (upper) {
        maria_quote_ident(&text, c->target);
        strbuf_adds(&text, ")-1),',',-1),'\"','')");
    }
    strbuf_adds(sql, ",\n  ");
    maria_quote_ident(sql, upper ? c->upper : c->lower);
    strbuf_addf(sql, " %s GENERATED ALWAYS AS (if(%s regexp ", b->type, text.data);
    maria_quote_literal(sql, b->pattern);
    strbuf_addf(sql, ",cast(replace(%s,'+00','') as %s),NULL)) VIRTUAL", text.data, b->cast);
    strbuf_release(&text);
}

void range_add_columns(const struct sch_column *c, struct strbuf *sql)
{
    const struct bound_type *bound = bound_of(c);
    add_bound(c, bound, false, sql);
    add_bound(c, bound, true, sql);
}
