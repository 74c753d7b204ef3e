/* Owns: nearly equal values. See lenient.h. */
#include "lenient.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan.h"
#include "semantic/decimal.h"

#define NUMBER_BYTES_MAX 65536

static char *canonical_number(const char *text)
{
    struct strbuf sb = STRBUF_INIT(NUMBER_BYTES_MAX);
    char *number = decimal_canonical(text, &sb) && !sb.failed ? xstrndup(sb.data, sb.len) : NULL;
    strbuf_release(&sb);
    return number;
}

static bool same_number(const struct lenient *lenient, const char *a, const char *b)
{
    char *x CLEANUP(free_ptr) = canonical_number(a), *y CLEANUP(free_ptr) = canonical_number(b);
    return x != NULL && y != NULL && decimal_within(x, y, lenient->absolute, lenient->relative);
}

/* A number becomes the string "n" and its one form, so that no double comes in between; a string gets an "s" in front, so that none
 * reads as a number. False: it is no JSON, or a number is too long. */
static bool mark_numbers(const char *json, struct strbuf *out)
{
    for (const char *p = json; *p != '\0';) {
        if (*p == '"') {
            strbuf_adds(out, "\"s");
            for (p++; *p != '"' && *p != '\0'; p++) {
                if (*p == '\\' && p[1] != '\0')
                    strbuf_addc(out, *p++);
                strbuf_addc(out, *p);
            }
            if (*p++ == '\0')
                return false;
            strbuf_addc(out, '"');
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            size_t len = strspn(p, "+-.eE0123456789");
            char *text CLEANUP(free_ptr) = xstrndup(p, len),
                       *number CLEANUP(free_ptr) = canonical_number(text);
            if (number == NULL)
                return false;
            strbuf_addf(out, "\"n%s\"", number);
            p += len;
        } else {
            strbuf_addc(out, *p++);
        }
    }
    return !out->failed;
}

/* NULL: it is no JSON, or a key comes twice in an object: which of the two counts is not ours to say. */
static json_t *read_json(const char *text)
{
    struct strbuf sb = STRBUF_INIT(strlen(text) * 4 + NUMBER_BYTES_MAX);
    json_t *json = NULL;
    if (mark_numbers(text, &sb))
        json = json_loadb(sb.data, sb.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    strbuf_release(&sb);
    return json;
}

static bool same_json(const char *a, const char *b)
{
    json_t *x = read_json(a), *y = read_json(b);
    bool same = x != NULL && y != NULL && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

bool lenient_same(const struct lenient *lenient, const char *a, const char *b)
{
    return (lenient->kind == LENIENT_NUMBER && same_number(lenient, a, b)) ||
           (lenient->kind == LENIENT_JSON && same_json(a, b));
}

void lenient_release(struct lenient *lenient)
{
    free(lenient->absolute);
    free(lenient->relative);
    *lenient = (struct lenient){.kind = LENIENT_NOTHING};
}

/* "1e-9", "0.01 relative" */
static bool read_tolerance(const char *text, struct lenient *ret)
{
    static const char word[] = " relative";
    size_t len = strlen(text);
    bool relative = len > strlen(word) && strcmp(text + len - strlen(word), word) == 0;
    char *number CLEANUP(free_ptr) = xstrndup(text, relative ? len - strlen(word) : len);
    char *bound = canonical_number(number);
    if (bound == NULL || *bound == '-') {
        free(bound);
        return false;
    }
    *ret = (struct lenient){
        .kind = LENIENT_NUMBER, .absolute = relative ? NULL : bound, .relative = relative ? bound : NULL};
    return true;
}

static bool is_json(const struct cat_column *c)
{
    return strcmp(c->type, "json") == 0 || strcmp(c->type, "jsonb") == 0 ||
           strcmp(c->type, "pg_catalog.json") == 0 || strcmp(c->type, "pg_catalog.jsonb") == 0;
}

/* The column, in whichever plan_table of the plan at or behind *at it is: a table may be there partition by partition. */
static struct plan_column *next_column(struct plan *plan, size_t *at, const char *schema, const char *table,
                                       const char *name)
{
    while (*at < plan->count) {
        struct plan_table *pt = plan->tables[(*at)++];
        if (strcmp(pt->out.schema, schema) != 0 || strcmp(pt->out.table, table) != 0)
            continue;
        for (size_t c = 0; c < pt->column_count; c++) {
            if (strcmp(pt->columns[c].name, name) == 0 && !pt->columns[c].is_key)
                return &pt->columns[c];
        }
    }
    return NULL;
}

static void set_number(struct plan_column *column, const struct lenient *number)
{
    lenient_release(&column->lenient);
    column->lenient = (struct lenient){
        .kind = LENIENT_NUMBER,
        .absolute = number->absolute != NULL ? xstrdup(number->absolute) : NULL,
        .relative = number->relative != NULL ? xstrdup(number->relative) : NULL,
    };
}

/* "schema.table.column=value". A column that this run does not compare is passed over. */
static bool plan_tolerance(const char *rule, const struct catalog *source, struct plan *plan, struct err *err)
{
    const char *value = strrchr(rule, '=');
    struct lenient lenient;
    if (value == NULL || !read_tolerance(value + 1, &lenient))
        return err_set(
            err, ERR_CONFIG,
            "compare.tolerance: found \"%s\", expected schema.table.column: a number such as 1e-9, "
            "or \"1e-9 relative\"",
            rule);
    bool there = false;
    for (size_t i = 0; i < source->table_count; i++) {
        const struct cat_table *t = &source->tables[i];
        for (size_t c = 0; c < t->column_count; c++) {
            char *name CLEANUP(free_ptr) = xasprintf("%s.%s.%s", t->schema, t->name, t->columns[c].name);
            if (strlen(name) != (size_t)(value - rule) || strncmp(name, rule, strlen(name)) != 0)
                continue;
            struct plan_column *column;
            size_t at = 0;
            there = true;
            while ((column = next_column(plan, &at, t->schema, t->name, t->columns[c].name)) != NULL)
                set_number(column, &lenient);
        }
    }
    lenient_release(&lenient);
    return there || err_set(err, ERR_CONFIG, "compare.tolerance: the source has no column %.*s",
                            (int)(value - rule), rule);
}

static void plan_json(const struct catalog *source, struct plan *plan)
{
    for (size_t i = 0; i < source->table_count; i++) {
        const struct cat_table *t = &source->tables[i];
        for (size_t c = 0; c < t->column_count; c++) {
            struct plan_column *column;
            size_t at = is_json(&t->columns[c]) ? 0 : plan->count;
            while ((column = next_column(plan, &at, t->schema, t->name, t->columns[c].name)) != NULL)
                column->lenient.kind = LENIENT_JSON;
        }
    }
}

static void note_keyless(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_table *pt = plan->tables[i];
        bool any = false;
        for (size_t c = 0; c < pt->column_count; c++)
            any = any || pt->columns[c].lenient.kind != LENIENT_NOTHING;
        if (any && pt->key_count == 0)
            table_add_note(&pt->out, "without a key no row has a partner: compare.tolerance and compare.json "
                                     "do not count, rows are compared as they are");
    }
}

bool lenient_plan(const struct config *cfg, const struct catalog *source, struct plan *plan, struct err *err)
{
    size_t count;
    const char *const *rules = config_list(cfg, "compare.tolerance", &count);
    if (strcmp(config_text(cfg, "compare.json"), "canonical") == 0)
        plan_json(source, plan);
    for (size_t i = 0; i < count; i++) {
        if (!plan_tolerance(rules[i], source, plan, err))
            return false;
    }
    note_keyless(plan);
    return true;
}
