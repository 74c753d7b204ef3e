/* Owns: which columns the configuration lets be nearly equal, and what a report says of it. Columns go by the names that they have in reports:
 * the source's, as source.filters renames them. See lenient.h. */
#include <stdlib.h>
#include <string.h>

#include "collated.h"
#include "config/column_filter.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "lenient.h"
#include "plan.h"
#include "strays.h"

#define TEXT_COLUMNS "compare.text_columns"

/* Calls `with` for each column of the plan. */
static void for_columns(struct plan *plan,
                        void (*with)(void *ctx, struct plan_table *pt, struct plan_column *column), void *ctx)
{
    for (size_t i = 0; i < plan->count; i++) {
        for (size_t c = 0; c < plan->tables[i]->column_count; c++)
            with(ctx, plan->tables[i], &plan->tables[i]->columns[c]);
    }
}

/* Columns of the source, whatever this run compares. */
struct source_columns {
    const struct catalog *cat;
    const struct table_rules *moved;
};

static const char *name_of(const struct source_columns *source, const struct cat_table *t, size_t column)
{
    return table_rules_rename(source->moved, t->schema, t->name, t->columns[column].name);
}

/* ---- numbers ---- */

struct tolerance {
    const char *name, *value; /* of the rule "name=value" */
    size_t name_len;
    struct lenient lenient;
    bool there;
};

static bool is_named(const struct tolerance *rule, const char *schema, const char *table, const char *column)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s.%s.%s", schema, table, column);
    return strlen(name) == rule->name_len && memcmp(name, rule->name, rule->name_len) == 0;
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

static void set_tolerance(void *ctx, struct plan_table *pt, struct plan_column *column)
{
    struct tolerance *rule = ctx;
    if (!is_named(rule, pt->out.schema, pt->out.table, column->name))
        return;
    rule->there = true;
    if (column->is_key)
        return;
    lenient_release(&column->lenient);
    column->lenient = (struct lenient){.kind = LENIENT_NUMBER,
                                       .absolute = copy_or_null(rule->lenient.absolute),
                                       .relative = copy_or_null(rule->lenient.relative)};
    table_extend_rule(&pt->out, column->name, "numbers that differ by no more than %s count as equal",
                      rule->value);
}

/* A column that this run does not compare is passed over. */
static bool source_has(const struct source_columns *source, const struct tolerance *rule)
{
    for (size_t i = 0; i < source->cat->table_count; i++) {
        const struct cat_table *t = &source->cat->tables[i];
        for (size_t c = 0; c < t->column_count; c++) {
            if (is_named(rule, t->schema, t->name, name_of(source, t, c)))
                return true;
        }
    }
    return false;
}

/* "schema.table.column=value" */
static bool plan_tolerance(const char *text, const struct source_columns *source, struct plan *plan,
                           struct err *err)
{
    const char *value = strrchr(text, '=');
    struct tolerance rule = {.name = text};
    if (value == NULL || !lenient_read_tolerance(value + 1, &rule.lenient))
        return err_set(
            err, ERR_CONFIG,
            "compare.tolerance: found \"%s\", expected schema.table.column: a number such as 1e-9, "
            "or \"1e-9 relative\"",
            text);
    rule.value = value + 1;
    rule.name_len = (size_t)(value - text);
    for_columns(plan, set_tolerance, &rule);
    lenient_release(&rule.lenient);
    return rule.there || source_has(source, &rule) ||
           err_set(err, ERR_CONFIG, "compare.tolerance: the source has no column %.*s", (int)rule.name_len,
                   text);
}

/* ---- documents ---- */

static void set_json(void *ctx, struct plan_table *pt, struct plan_column *column)
{
    (void)ctx;
    if (!column->is_json || column->is_key)
        return;
    column->lenient.kind = LENIENT_JSON;
    table_extend_rule(
        &pt->out, column->name,
        "documents that differ in the order of keys, blanks and the form of numbers alone count as "
        "equal");
}

/* ---- texts ---- */

struct text_form {
    bool nfc, collated;
};

/* "public.users.*=collation nfc" */
struct text_rule {
    struct column_filter *columns;
    bool says_nfc, says_collated;
    struct text_form form;
};

struct text_rules {
    struct text_form all; /* of columns without a rule of their own */
    struct text_rule *rules;
    size_t count;
};

static bool read_word(const char *word, size_t len, struct text_rule *rule)
{
    static const struct {
        const char *word;
        bool collation, on;
    } words[] = {
        {"exact", true, false}, {"collation", true, true}, {"as_is", false, false}, {"nfc", false, true}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strlen(words[i].word) != len || memcmp(words[i].word, word, len) != 0)
            continue;
        if (words[i].collation ? rule->says_collated : rule->says_nfc)
            return false;
        *(words[i].collation ? &rule->says_collated : &rule->says_nfc) = true;
        *(words[i].collation ? &rule->form.collated : &rule->form.nfc) = words[i].on;
        return true;
    }
    return false;
}

static bool read_words(const char *text, struct text_rule *rule)
{
    static const char blanks[] = " ,";
    for (text += strspn(text, blanks); *text != '\0'; text += strspn(text, blanks)) {
        size_t len = strcspn(text, blanks);
        if (!read_word(text, len, rule))
            return false;
        text += len;
    }
    return rule->says_nfc || rule->says_collated;
}

static bool some_text_column(const struct text_rule *rule, const struct source_columns *source)
{
    for (size_t i = 0; i < source->cat->table_count; i++) {
        const struct cat_table *t = &source->cat->tables[i];
        for (size_t c = 0; c < t->column_count; c++) {
            if (collated_is_text(source->cat->dialect, &t->columns[c]) &&
                column_filter_matches(rule->columns, t->schema, t->name, name_of(source, t, c)))
                return true;
        }
    }
    return false;
}

static bool read_text_rule(const char *text, const struct source_columns *source, struct text_rule *rule,
                           struct err *err)
{
    const char *value = strrchr(text, '=');
    if (value == NULL || !read_words(value + 1, rule))
        return err_set(err, ERR_CONFIG,
                       TEXT_COLUMNS ": found \"%s\", expected schema.table.column: exact or collation, as_is "
                                    "or nfc, or one of both",
                       text);
    char *pattern CLEANUP(free_ptr) = xstrndup(text, (size_t)(value - text));
    const char *const patterns[] = {pattern};
    return column_filter_new(TEXT_COLUMNS, patterns, 1, &rule->columns, err) &&
           (some_text_column(rule, source) ||
            err_set(err, ERR_CONFIG, TEXT_COLUMNS ": the source has no text column %s", pattern));
}

/* Rules stand in the configuration's order: a later one goes before an earlier one. */
static struct text_form form_of(const struct text_rules *rules, const struct plan_table *pt,
                                const struct plan_column *column)
{
    struct text_form form = rules->all;
    for (size_t i = 0; i < rules->count; i++) {
        const struct text_rule *rule = &rules->rules[i];
        if (!column_filter_matches(rule->columns, pt->out.schema, pt->out.table, column->name))
            continue;
        form.nfc = rule->says_nfc ? rule->form.nfc : form.nfc;
        form.collated = rule->says_collated ? rule->form.collated : form.collated;
    }
    return form;
}

static void tell_text(struct plan_table *pt, const struct plan_column *column)
{
    const struct collation *by = &column->collation;
    if (column->lenient.nfc)
        table_extend_rule(&pt->out, column->name, "texts with the same NFC count as equal");
    if (column->lenient.collated)
        table_extend_rule(&pt->out, column->name, "texts that are equal by %s of the %s count as equal",
                          by->name, side_name(by->side));
    else if (by->name != NULL)
        table_extend_rule(
            &pt->out, column->name,
            "what %s of the %s takes for equal (case, accents or blanks at the end) is told apart", by->name,
            side_name(by->side));
}

/* A key that counts as equal has other texts on the other side: it is not found there by its text. */
static void loosen_key(struct plan_table *pt, const struct plan_column *column)
{
    for (size_t k = 0; k < pt->key_count; k++) {
        struct plan_key *key = &pt->keys[k];
        if (strcmp(key->name, column->name) != 0)
            continue;
        free(key->seek_head[SIDE_TARGET]);
        free(key->seek_tail[SIDE_TARGET]);
        key->seek_head[SIDE_TARGET] = key->seek_tail[SIDE_TARGET] = NULL;
    }
    if (pt->strays == NULL)
        pt->strays = strays_new();
}

static void set_text(void *ctx, struct plan_table *pt, struct plan_column *column)
{
    if (!column->is_text)
        return;
    struct text_form form = form_of(ctx, pt, column);
    form.collated = form.collated && column->collation.name != NULL;
    if (form.nfc || form.collated) {
        column->lenient = (struct lenient){.kind = LENIENT_TEXT, .nfc = form.nfc, .collated = form.collated};
        if (column->is_key)
            loosen_key(pt, column);
    }
    tell_text(pt, column);
}

static bool plan_texts(const struct config *cfg, const struct source_columns *source, struct plan *plan,
                       struct err *err)
{
    size_t count;
    const char *const *texts = config_list(cfg, TEXT_COLUMNS, &count);
    struct text_rules rules = {
        .all = {.nfc = strcmp(config_text(cfg, "compare.unicode"), "nfc") == 0,
                .collated = strcmp(config_text(cfg, "compare.text"), "collation") == 0},
        .rules = xcalloc(count + 1, sizeof *rules.rules)};
    bool ok = true;
    while (ok && rules.count < count) {
        ok = read_text_rule(texts[rules.count], source, &rules.rules[rules.count], err);
        rules.count++;
    }
    if (ok)
        for_columns(plan, set_text, &rules);
    for (size_t i = 0; i < rules.count; i++)
        column_filter_free(rules.rules[i].columns);
    free(rules.rules);
    return ok;
}

static void note_keyless(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_table *pt = plan->tables[i];
        bool any = false;
        for (size_t c = 0; c < pt->column_count; c++)
            any = any || pt->columns[c].lenient.kind != LENIENT_NOTHING;
        if (any && pt->key_count == 0)
            table_add_note(&pt->out, "without a key no row has a partner: compare.tolerance, compare.json, "
                                     "compare.text and compare.unicode do not count, rows are compared as "
                                     "they are");
    }
}

bool lenient_plan(const struct config *cfg, const struct catalog *cat, const struct table_rules *moved,
                  struct plan *plan, struct err *err)
{
    const struct source_columns source = {cat, moved};
    size_t count;
    const char *const *rules = config_list(cfg, "compare.tolerance", &count);
    if (!plan_texts(cfg, &source, plan, err))
        return false;
    if (strcmp(config_text(cfg, "compare.json"), "canonical") == 0)
        for_columns(plan, set_json, NULL);
    for (size_t i = 0; i < count; i++) {
        if (!plan_tolerance(rules[i], &source, plan, err))
            return false;
    }
    note_keyless(plan);
    return true;
}
