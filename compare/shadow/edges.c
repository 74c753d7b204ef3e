/* Owns: looking beyond a query's limits. See edges.h. */
#include "edges.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define AMOUNT_MAX UINT64_C(1000000000000000)

static bool read_amount(const struct shadow_variant *v, const struct sql_amount *amount, uint64_t none,
                        uint64_t *ret)
{
    const char *text = amount->len > 0 ? v->st.text + amount->at : NULL;
    char *end = NULL;
    if (!amount->given) {
        *ret = none;
        return true;
    }
    if (text == NULL && amount->param > 0 && amount->param <= v->param_count)
        text = v->params[amount->param - 1];
    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && *ret < AMOUNT_MAX && (amount->len > 0 || *end == '\0');
}

/* The literal becomes that number, or the parameter does. What stands later in the text comes first: places stay right. */
static void put_amount(struct shadow_variant *v, const struct sql_amount *amount, uint64_t number)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    if (!amount->given)
        return;
    if (amount->len == 0) {
        free(v->params[amount->param - 1]);
        v->params[amount->param - 1] = xstrdup(digits);
        return;
    }
    char *text =
        xasprintf("%.*s%s%s", (int)amount->at, v->st.text, digits, v->st.text + amount->at + amount->len);
    free(v->st.text);
    v->st.text = text;
}

bool edges_make(struct edges *e, const struct shadow_variant *v)
{
    struct edges made = {.wider = *v};
    const struct sql_amount *limit = &v->st.limit, *offset = &v->st.offset;
    bool one = limit->param > 0 && limit->param == offset->param;
    if (v->target_sql != NULL || one || !read_amount(v, limit, UINT64_MAX, &made.limit) ||
        !read_amount(v, offset, 0, &made.offset))
        return false;
    struct shadow_variant *w = &made.wider;
    w->st.text = xstrdup(v->st.text);
    w->params = xcalloc(v->param_count + 1, sizeof *w->params);
    for (size_t i = 0; i < v->param_count; i++)
        w->params[i] = v->params[i] != NULL ? xstrdup(v->params[i]) : NULL;
    uint64_t before = made.offset > 0, longer = made.limit + 1 + before;
    if (limit->at > offset->at) {
        put_amount(w, limit, longer);
        put_amount(w, offset, made.offset - before);
    } else {
        put_amount(w, offset, made.offset - before);
        put_amount(w, limit, longer);
    }
    *e = made;
    return true;
}

bool edges_are_clean(const struct edges *e, const struct lane_answer *answer)
{
    const struct rows_hash *h = &answer->rows;
    uint64_t before = e->offset > 0;
    if (answer->end != LANE_ROWS || !h->has_keys || h->vague_keys)
        return false;
    bool all_there = e->limit == UINT64_MAX || h->rows <= e->limit + before;
    return (all_there || h->last_rows == 1) && (before == 0 || h->first_rows == 1);
}

void edges_release(struct edges *e)
{
    for (size_t i = 0; i < e->wider.param_count; i++)
        free(e->wider.params[i]);
    free(e->wider.params);
    free(e->wider.st.text);
}
