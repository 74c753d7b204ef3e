/* See judge_row.h. */
#include "cause/judge_row.h"

#include <string.h>

static bool differs(const struct values *v, size_t row, size_t column)
{
    return !values_same(values_side(v, SIDE_SOURCE, row, column), values_side(v, SIDE_TARGET, row, column));
}

/* Whether the column counts: of a changed row those that differ, else all. */
static bool counts(const struct values *v, size_t row, enum compare_kind kind, size_t column)
{
    return kind != DIFF_CHANGED || differs(v, row, column);
}

static bool is_readable(const struct image_cell *cell)
{
    return cell->state == CELL_NULL || cell->state == CELL_TEXT;
}

/* The newest record that carries the column, down to one that ends the row; image_count = none does. */
static size_t carrier_of(const struct wanted_row *wanted, size_t column)
{
    size_t k = 0;
    while (k < wanted->image_count && wanted->images[k].cells != NULL &&
           wanted->images[k].cells[column].state == CELL_ABSENT)
        k++;
    return k < wanted->image_count && wanted->images[k].cells != NULL ? k : wanted->image_count;
}

/* As far as records tell. */
static bool is_as_source(const struct values *v, size_t row, const struct wanted_row *wanted, size_t column)
{
    size_t k = carrier_of(wanted, column);
    return k == wanted->image_count || !is_readable(&wanted->images[k].cells[column]) ||
           values_same(values_image(v, row, k, column), values_side(v, SIDE_SOURCE, row, column));
}

static void judge_last(const struct values *v, size_t row, const struct wanted_row *wanted,
                       struct cause_facts *facts)
{
    const struct image *last = &wanted->images[0];
    size_t count = 0, absent = 0;
    facts->as_source = true;
    for (size_t c = 0; last->cells != NULL && c < v->pt->column_count; c++) {
        if (!counts(v, row, facts->kind, c))
            continue;
        count++;
        absent += last->cells[c].state == CELL_ABSENT;
        facts->undecided = facts->undecided || last->cells[c].state == CELL_UNREAD;
        if (!is_as_source(v, row, wanted, c))
            facts->as_source = false;
    }
    facts->lacking = count > 0 && absent == count;
    facts->undecided = facts->undecided || last->cells == NULL;
}

static bool is_as_target(const struct values *v, size_t row, const struct wanted_row *wanted, size_t image,
                         enum compare_kind kind)
{
    const struct image_cell *cells = wanted->images[image].cells;
    for (size_t c = 0; cells != NULL && c < v->pt->column_count; c++) {
        if (counts(v, row, kind, c) &&
            (!is_readable(&cells[c]) ||
             !values_same(values_image(v, row, image, c), values_side(v, SIDE_TARGET, row, c))))
            return false;
    }
    return cells != NULL;
}

void judge_records(const struct values *v, size_t row, const struct wanted_row *wanted,
                   struct cause_facts *facts, size_t *ret_earlier)
{
    *ret_earlier = 0;
    facts->gone = wanted->images[0].gone;
    if (!facts->gone && facts->kind != DIFF_EXTRA)
        judge_last(v, row, wanted, facts);
    for (size_t k = 1; k < wanted->image_count && *ret_earlier == 0 && facts->kind != DIFF_MISSING; k++) {
        if (is_as_target(v, row, wanted, k, facts->kind))
            *ret_earlier = k;
    }
    facts->earlier_as_target = *ret_earlier > 0;
}

bool judge_placeholder(const struct values *v, size_t row)
{
    for (size_t c = 0; c < v->pt->column_count; c++) {
        const char *target = values_side(v, SIDE_TARGET, row, c);
        if (target != NULL && strcmp(target, UNAVAILABLE_TEXT) == 0 && differs(v, row, c))
            return true;
    }
    return false;
}
