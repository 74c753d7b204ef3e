/* Owns: what the texts of compare.queries, .aggregates, .samples and .counts mean. Checks of data: contract_read.c. */
#include "config/semantic_read.h"

#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "core/alloc.h"

#define LABEL_BYTES_SHOWN 100
#define SEVERITIES        "regression|error|warn"
#define A_TABLE           "a pattern schema.table, such as public.orders or public.*"
#define COLUMNS           "names of columns"
#define A_TOLERANCE                                                                                          \
    "a number that is not negative, such as 0.01, or {absolute: 0.01, relative: 1e-6, columns: {amount: "    \
    "0.01}}"

void texts_release(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

void table_choice_release(struct table_choice *of)
{
    free(of->pattern);
    free(of->where);
    table_filter_free(of->tables);
}

static void tolerance_release(struct tolerance *t)
{
    free(t->absolute);
    free(t->relative);
}

static void tolerances_release(struct tolerances *t)
{
    tolerance_release(&t->all);
    for (size_t i = 0; i < t->column_count; i++) {
        tolerance_release(&t->columns[i].tolerance);
        free(t->columns[i].column);
    }
    free(t->columns);
}

bool read_labelled(const struct labelled *what, const char *text,
                   bool (*read)(const struct fields *f, void *ret), void *ret, struct err *err)
{
    struct yaml_node *root = NULL;
    if (!yaml_parse(what->option, text, strlen(text), &root, err))
        return false;
    struct fields f = {what->option, "", root, err};
    const struct yaml_node *name = fields_find(&f, what->name_key);
    const char *kind = what->kind;
    if (name == NULL) { /* a rule without a name is told by its table */
        name = fields_find(&f, "table");
        kind = "table";
    }
    char *label = name != NULL && name->kind == YAML_SCALAR
                      ? xasprintf("%s %.*s", kind, LABEL_BYTES_SHOWN, name->text)
                      : xstrdup("");
    f.label = label;
    bool ok = read(&f, ret);
    free(label);
    yaml_free(root);
    return ok;
}

bool read_choice(const struct fields *f, struct table_choice *ret)
{
    const struct yaml_node *table = fields_find(f, "table");
    if (table == NULL || table->kind != YAML_SCALAR || table->text[0] == '!' ||
        !table_pattern_fits(table->text))
        return fields_refuse(f, "table", table, A_TABLE);
    ret->pattern = xstrdup(table->text);
    const char *const patterns[] = {table->text};
    return table_filter_new(patterns, 1, &ret->tables, f->err) &&
           fields_text(f, "where", "a condition in SQL, without the word WHERE", &ret->where);
}

bool read_severity(const struct fields *f, enum severity *ret)
{
    int place = (int)*ret;
    bool ok = fields_choice(f, "severity", SEVERITIES, &place);
    *ret = (enum severity)place;
    return ok;
}

static bool decimal_of(const struct fields *f, const struct yaml_node *node, char **ret)
{
    if (node->kind != YAML_SCALAR || !text_is_decimal(node->text) || node->text[0] == '-')
        return fields_refuse(f, "tolerance", node, A_TOLERANCE);
    *ret = xstrdup(node->text);
    return true;
}

/* A number is an absolute tolerance. */
static bool one_tolerance(const struct fields *f, const struct yaml_node *node, bool columns,
                          struct tolerance *ret)
{
    if (node->kind == YAML_SCALAR)
        return decimal_of(f, node, &ret->absolute);
    const struct fields inner = {f->option, f->label, node, f->err};
    if (node->kind != YAML_MAP ||
        !fields_known(&inner, columns ? "absolute|relative|columns" : "absolute|relative"))
        return node->kind == YAML_MAP ? false : fields_refuse(f, "tolerance", node, A_TOLERANCE);
    const struct yaml_node *absolute = fields_find(&inner, "absolute"),
                           *relative = fields_find(&inner, "relative");
    return (absolute == NULL || decimal_of(f, absolute, &ret->absolute)) &&
           (relative == NULL || decimal_of(f, relative, &ret->relative));
}

bool read_tolerance(const struct fields *f, struct tolerances *ret)
{
    const struct yaml_node *node = fields_find(f, "tolerance");
    if (node == NULL)
        return true;
    if (!one_tolerance(f, node, true, &ret->all))
        return false;
    const struct fields inner = {f->option, f->label, node, f->err};
    const struct yaml_node *columns = fields_find(&inner, "columns");
    if (columns == NULL)
        return true;
    if (columns->kind != YAML_MAP)
        return fields_refuse(f, "tolerance: columns", columns,
                             "a tolerance for each column, such as {amount: 0.01}");
    ret->columns = xcalloc(columns->child_count + 1, sizeof *ret->columns);
    for (size_t i = 0; i < columns->child_count; i++) {
        struct column_tolerance *ct = &ret->columns[ret->column_count++];
        ct->column = xstrdup(columns->children[i].key);
        if (!one_tolerance(f, &columns->children[i], false, &ct->tolerance))
            return false;
    }
    return true;
}

struct tolerance tolerance_of(const struct tolerances *t, const char *column)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (strcmp(t->columns[i].column, column) == 0)
            return t->columns[i].tolerance;
    }
    return t->all;
}

bool read_sql(const struct fields *f, const char *source_key, char *ret[2])
{
    static const char expected[] = "one SELECT statement";
    if (!fields_text(f, source_key, expected, &ret[0]) || !fields_text(f, "target_sql", expected, &ret[1]))
        return false;
    if (ret[0] == NULL)
        return fields_refuse(f, source_key, NULL, expected);
    if (ret[1] == NULL)
        ret[1] = xstrdup(ret[0]);
    return true;
}

/* --- queries --- */

void query_pair_release(struct query_pair *q)
{
    free(q->name);
    free(q->sql[0]);
    free(q->sql[1]);
    texts_release(q->key, q->key_count);
    tolerances_release(&q->tolerances);
    *q = (struct query_pair){0};
}

static bool read_query(const struct fields *f, void *ret)
{
    struct query_pair *q = ret;
    *q = (struct query_pair){.max_rows = 10000, .severity = SEVERITY_REGRESSION};
    if (!fields_known(f, "name|source_sql|target_sql|key|ordered|tolerance|max_rows|severity") ||
        !fields_text(f, "name", "a name for the report", &q->name) || !read_sql(f, "source_sql", q->sql) ||
        !fields_texts(f, "key", COLUMNS, &q->key, &q->key_count) || !fields_bool(f, "ordered", &q->ordered) ||
        !read_tolerance(f, &q->tolerances) || !fields_int(f, "max_rows", 1, 1000000, &q->max_rows) ||
        !read_severity(f, &q->severity))
        return false;
    if (q->name == NULL)
        return fields_refuse(f, "name", NULL, "a name for the report");
    return !q->ordered || q->key_count == 0 ||
           fields_refuse(f, "key", NULL, "either key or ordered: true, not both");
}

bool query_pair_read(const char *text, void *ret, struct err *err)
{
    memset(ret, 0, sizeof(struct query_pair));
    static const struct labelled what = {"compare.queries", "query", "name"};
    if (read_labelled(&what, text, read_query, ret, err))
        return true;
    query_pair_release(ret);
    return false;
}

/* --- aggregates --- */

void aggregate_rule_release(struct aggregate_rule *a)
{
    table_choice_release(&a->of);
    texts_release(a->columns, a->column_count);
    texts_release(a->quantiles, a->quantile_count);
    tolerances_release(&a->tolerances);
    *a = (struct aggregate_rule){0};
}

static bool read_measures(const struct fields *f, unsigned *ret)
{
    static const char known[] = "count|nulls|distinct|sum|avg|min|max|quantiles|top";
    char **names = NULL;
    size_t count = 0;
    if (!fields_texts(f, "measures", "a list of: count nulls distinct sum avg min max quantiles top", &names,
                      &count))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        const struct yaml_node node = {.kind = YAML_SCALAR, .text = names[i]};
        int place = text_choice(known, names[i]);
        ok = place > 0 || fields_refuse(f, "measures", &node,
                                        "any of: count nulls distinct sum avg min max quantiles top");
        *ret = (i == 0 ? 0 : *ret) | (ok ? 1u << (place - 1) : 0);
    }
    texts_release(names, count);
    return ok;
}

static bool read_quantiles(const struct fields *f, struct aggregate_rule *a)
{
    static const char expected[] = "numbers between 0 and 1, such as [0.5, 0.95]";
    if (!fields_texts(f, "quantiles", expected, &a->quantiles, &a->quantile_count))
        return false;
    for (size_t i = 0; i < a->quantile_count; i++) {
        const struct yaml_node node = {.kind = YAML_SCALAR, .text = a->quantiles[i]};
        double q = strtod(a->quantiles[i], NULL);
        if (!text_is_decimal(a->quantiles[i]) || !(q > 0 && q <= 1))
            return fields_refuse(f, "quantiles", &node, expected);
    }
    if (a->quantile_count == 0) {
        static const char *const usual[] = {"0.25", "0.5", "0.75", "0.95", "0.99"};
        a->quantiles = xcalloc(ARRAY_LEN(usual), sizeof *a->quantiles);
        for (size_t i = 0; i < ARRAY_LEN(usual); i++)
            a->quantiles[a->quantile_count++] = xstrdup(usual[i]);
    }
    return true;
}

static bool read_aggregate(const struct fields *f, void *ret)
{
    struct aggregate_rule *a = ret;
    *a = (struct aggregate_rule){.measures = MEASURE_COUNT | MEASURE_NULLS | MEASURE_SUM | MEASURE_AVG |
                                             MEASURE_MIN | MEASURE_MAX,
                                 .top = 10,
                                 .severity = SEVERITY_REGRESSION};
    return fields_known(f, "table|columns|measures|quantiles|top|tolerance|where|severity") &&
           read_choice(f, &a->of) && fields_texts(f, "columns", COLUMNS, &a->columns, &a->column_count) &&
           read_measures(f, &a->measures) && read_quantiles(f, a) && fields_int(f, "top", 1, 1000, &a->top) &&
           read_tolerance(f, &a->tolerances) && read_severity(f, &a->severity);
}

bool aggregate_rule_read(const char *text, void *ret, struct err *err)
{
    memset(ret, 0, sizeof(struct aggregate_rule));
    static const struct labelled what = {"compare.aggregates", "table", "table"};
    if (read_labelled(&what, text, read_aggregate, ret, err))
        return true;
    aggregate_rule_release(ret);
    return false;
}

/* --- samples, counts --- */

void sample_rule_release(struct sample_rule *s)
{
    table_choice_release(&s->of);
    tolerances_release(&s->tolerances);
    *s = (struct sample_rule){0};
}

static bool read_sample(const struct fields *f, void *ret)
{
    struct sample_rule *s = ret;
    *s = (struct sample_rule){.rows = 100, .severity = SEVERITY_REGRESSION};
    return fields_known(f, "table|rows|tolerance|where|severity") && read_choice(f, &s->of) &&
           fields_int(f, "rows", 1, 10000, &s->rows) && read_tolerance(f, &s->tolerances) &&
           read_severity(f, &s->severity);
}

bool sample_rule_read(const char *text, void *ret, struct err *err)
{
    memset(ret, 0, sizeof(struct sample_rule));
    static const struct labelled what = {"compare.samples", "table", "table"};
    if (read_labelled(&what, text, read_sample, ret, err))
        return true;
    sample_rule_release(ret);
    return false;
}

void count_rule_release(struct count_rule *c)
{
    table_choice_release(&c->of);
    free(c->column);
    *c = (struct count_rule){0};
}

static bool read_count(const struct fields *f, void *ret)
{
    struct count_rule *c = ret;
    int by = 0;
    *c = (struct count_rule){0};
    if (!fields_known(f, "table|column|by|where") || !read_choice(f, &c->of) ||
        !fields_text(f, "column", "the name of a column", &c->column) ||
        !fields_choice(f, "by", "partition|hour|day|month|year|value", &by))
        return false;
    c->by = (enum count_by)by;
    if (c->by == COUNT_BY_UNKNOWN)
        return fields_refuse(f, "by", NULL, "one of: partition hour day month year value");
    bool needs = c->by != COUNT_BY_PARTITION;
    return (c->column != NULL) == needs ||
           fields_refuse(f, "column", fields_find(f, "column"),
                         needs ? "the column whose values or times are counted"
                               : "no column with by: partition");
}

bool count_rule_read(const char *text, void *ret, struct err *err)
{
    memset(ret, 0, sizeof(struct count_rule));
    static const struct labelled what = {"compare.counts", "table", "table"};
    if (read_labelled(&what, text, read_count, ret, err))
        return true;
    count_rule_release(ret);
    return false;
}
