/* Owns: pairing the rows of two results, and telling which differ. See grid.h. */
#include "compare/semantic/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"

#define CANONICAL_BYTES_MAX ((size_t)1 << 30)

void grid_add_column(struct grid *grid, const char *name, enum value_class of)
{
    size_t n = grid->column_count + 1;
    grid->names = xrealloc(grid->names, n * sizeof *grid->names);
    grid->classes = xrealloc(grid->classes, n * sizeof *grid->classes);
    grid->names[grid->column_count] = xstrdup(name);
    grid->classes[grid->column_count++] = of;
}

size_t grid_add_row(struct grid *grid)
{
    size_t n = grid->row_count, columns = grid->column_count;
    if ((n & (n - 1)) == 0) /* full at every power of two */
        grid->cells = xrealloc(grid->cells, (n == 0 ? 1 : 2 * n) * columns * sizeof *grid->cells);
    memset(grid->cells + n * columns, 0, columns * sizeof *grid->cells);
    grid->row_count++;
    grid->bytes += columns * sizeof *grid->cells;
    return n * columns;
}

bool grid_set(struct grid *grid, size_t at, char *text)
{
    free(grid->cells[at]);
    grid->cells[at] = text;
    grid->bytes += text != NULL ? strlen(text) : 0;
    grid->more |= grid->bytes > GRID_BYTES_MAX;
    return !grid->more;
}

const char *grid_cell(const struct grid *grid, size_t row, size_t column)
{
    return grid->cells[row * grid->column_count + column];
}

void grid_release(struct grid *grid)
{
    for (size_t i = 0; i < grid->column_count; i++)
        free(grid->names[i]);
    for (size_t i = 0; i < grid->row_count * grid->column_count; i++)
        free(grid->cells[i]);
    free(grid->names);
    free(grid->classes);
    free(grid->cells);
    *grid = (struct grid){0};
}

/* --- */

enum role { ROLE_EXACT = 0, ROLE_KEY, ROLE_TOLERANT };

struct matcher {
    const struct grid *sides;
    const struct grid_rules *rules;
    struct compare_check *check;
    size_t columns;
    enum value_mode *modes;
    enum role *roles;
    struct tolerance *tolerances;
    size_t key_count, tolerant_count;
    char *
        *canon[2]; /* row by row, as cells; equal texts are shared with the grid's where they are the same */
    size_t *rows[2]; /* row numbers, in the order of comparison */
    size_t counts[2];
};

static const char *canon_of(const struct matcher *m, int side, size_t row, size_t column)
{
    return m->canon[side][row * m->columns + column];
}

static char **make_canonical(const struct matcher *m, int side)
{
    const struct grid *g = &m->sides[side];
    char **canon = xcalloc(g->row_count * m->columns + 1, sizeof *canon);
    for (size_t i = 0; i < g->row_count * m->columns; i++) {
        struct strbuf text = STRBUF_INIT(CANONICAL_BYTES_MAX);
        size_t column = i % m->columns;
        if (g->cells[i] == NULL)
            continue;
        value_canonical(m->modes[column], g->classes[column], g->cells[i], &text);
        canon[i] = strbuf_detach(&text);
    }
    return canon;
}

static int compare_rows(const struct matcher *m, int side_a, size_t a, int side_b, size_t b, enum role role)
{
    for (size_t c = 0; c < m->columns; c++) {
        if (m->roles[c] != role)
            continue;
        int order = value_compare(m->modes[c], canon_of(m, side_a, a, c), canon_of(m, side_b, b, c));
        if (order != 0)
            return order;
    }
    return 0;
}

static bool cell_equal(const struct matcher *m, size_t source, size_t target, size_t column)
{
    return value_equal(m->modes[column], canon_of(m, 0, source, column), canon_of(m, 1, target, column),
                       &m->tolerances[column]);
}

static bool rows_equal(const struct matcher *m, size_t source, size_t target)
{
    for (size_t c = 0; c < m->columns; c++) {
        if (!cell_equal(m, source, target, c))
            return false;
    }
    return true;
}

/* Keys and places come first, then what differs (changed) or everything (missing, extra). NONE = no such row. */
#define NONE SIZE_MAX

static void add_place(const struct matcher *m, size_t source, size_t target, struct compare_difference *d)
{
    char place[24];
    if (!m->rules->ordered)
        return;
    (void)snprintf(place, sizeof place, "%zu", (source != NONE ? source : target) + 1);
    difference_add_key(d, m->rules->subject, place, place);
}

static void tell(const struct matcher *m, size_t source, size_t target)
{
    const struct grid *s = &m->sides[0], *t = &m->sides[1];
    struct compare_difference d = {.kind = source == NONE   ? DIFF_EXTRA
                                           : target == NONE ? DIFF_MISSING
                                                            : DIFF_CHANGED};
    d.copies_source = source != NONE;
    d.copies_target = target != NONE;
    add_place(m, source, target, &d);
    bool bare = m->key_count == 0 && !m->rules->ordered; /* then the columns that are equal name the row */
    for (size_t c = 0; c < m->columns; c++) {
        const char *a = source != NONE ? grid_cell(s, source, c) : NULL,
                   *b = target != NONE ? grid_cell(t, target, c) : NULL;
        if (m->roles[c] == ROLE_KEY)
            difference_add_key(&d, s->names[c], a, b);
        else if (d.kind != DIFF_CHANGED || !cell_equal(m, source, target, c))
            difference_add_column(&d, s->names[c], a, b);
        else if (bare && m->columns <= 8)
            difference_add_key(&d, s->names[c], a, b);
    }
    check_add_difference(m->check, &d);
}

/* --- ordered --- */

static void compare_ordered(const struct matcher *m)
{
    size_t longer = m->counts[0] > m->counts[1] ? m->counts[0] : m->counts[1];
    for (size_t i = 0; i < longer; i++) {
        if (i >= m->counts[0])
            tell(m, NONE, i);
        else if (i >= m->counts[1])
            tell(m, i, NONE);
        else if (!rows_equal(m, i, i))
            tell(m, i, i);
    }
}

/* --- by key, and as a set --- */

struct sorting {
    const struct matcher *m;
    int side;
};

static int by_roles(const void *a, const void *b, void *ctx)
{
    const struct sorting *s = ctx;
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int order = compare_rows(s->m, s->side, x, s->side, y, ROLE_KEY);
    if (order == 0 && s->m->key_count == 0)
        order = compare_rows(s->m, s->side, x, s->side, y, ROLE_EXACT);
    if (order == 0)
        order = compare_rows(s->m, s->side, x, s->side, y, ROLE_TOLERANT);
    return order;
}

static bool keys_unique(const struct matcher *m, int side)
{
    for (size_t i = 1; i < m->counts[side]; i++) {
        if (compare_rows(m, side, m->rows[side][i - 1], side, m->rows[side][i], ROLE_KEY) == 0) {
            check_conclude(m->check, STATE_INCONCLUSIVE,
                           "the key is not unique in the %s's result: rows cannot be paired",
                           side == 0 ? "source" : "target");
            return false;
        }
    }
    return true;
}

/* How many rows from here on are alike in what groups them: the key, or all columns without tolerance. */
static size_t group_end(const struct matcher *m, int side, size_t from)
{
    enum role role = m->key_count > 0 ? ROLE_KEY : ROLE_EXACT;
    size_t to = from;
    while (to < m->counts[side] &&
           compare_rows(m, side, m->rows[side][from], side, m->rows[side][to], role) == 0)
        to++;
    return to;
}

struct span {
    size_t from[2], to[2];
};

static size_t span_size(const struct span *s, int side)
{
    return s->to[side] - s->from[side];
}

/* Rows alike but for one column with a tolerance: both sides in its order, the smaller one of two that do not fit has no partner. */
static void pair_sorted(const struct matcher *m, struct span s)
{
    while (s.from[0] < s.to[0] || s.from[1] < s.to[1]) {
        size_t a = s.from[0] < s.to[0] ? m->rows[0][s.from[0]] : NONE,
               b = s.from[1] < s.to[1] ? m->rows[1][s.from[1]] : NONE;
        bool both = a != NONE && b != NONE;
        if (both && rows_equal(m, a, b)) {
            s.from[0]++;
            s.from[1]++;
        } else if (b == NONE || (both && compare_rows(m, 0, a, 1, b, ROLE_TOLERANT) < 0)) {
            tell(m, a, NONE);
            s.from[0]++;
        } else {
            tell(m, NONE, b);
            s.from[1]++;
        }
    }
}

static void compare_group(const struct matcher *m, struct span s)
{
    if (m->rules->subset && span_size(&s, 0) == 0)
        return;
    size_t n[2] = {span_size(&s, 0), span_size(&s, 1)};
    if (n[0] == 1 && n[1] == 1) {
        size_t a = m->rows[0][s.from[0]], b = m->rows[1][s.from[1]];
        if (!rows_equal(m, a, b))
            tell(m, a, b);
    } else if (n[0] == 0 || n[1] == 0 || m->tolerant_count < 2) {
        pair_sorted(m, s);
    } else {
        bool equal = n[0] == n[1];
        for (size_t i = 0; equal && i < n[0]; i++)
            equal = rows_equal(m, m->rows[0][s.from[0] + i], m->rows[1][s.from[1] + i]);
        if (!equal)
            check_conclude(m->check, STATE_INCONCLUSIVE,
                           "rows differ in several columns that have a tolerance, and nothing pairs them: "
                           "give key: or ordered: true");
    }
}

static void compare_groups(const struct matcher *m)
{
    enum role role = m->key_count > 0 ? ROLE_KEY : ROLE_EXACT;
    struct span s = {0};
    while (s.from[0] < m->counts[0] || s.from[1] < m->counts[1]) {
        int order = s.from[0] == m->counts[0] ? 1
                    : s.from[1] == m->counts[1]
                        ? -1
                        : compare_rows(m, 0, m->rows[0][s.from[0]], 1, m->rows[1][s.from[1]], role);
        s.to[0] = order <= 0 ? group_end(m, 0, s.from[0]) : s.from[0];
        s.to[1] = order >= 0 ? group_end(m, 1, s.from[1]) : s.from[1];
        compare_group(m, s);
        s.from[0] = s.to[0];
        s.from[1] = s.to[1];
    }
}

static void sort_rows(struct matcher *m, int side)
{
    struct sorting sorting = {m, side};
    for (size_t i = 0; i < m->counts[side]; i++)
        m->rows[side][i] = i;
    qsort_r(m->rows[side], m->counts[side], sizeof *m->rows[side], by_roles, &sorting);
}

static bool find_key(struct matcher *m, const char *name)
{
    bool found = false;
    for (size_t c = 0; c < m->columns && !found; c++) {
        if (strcmp(m->sides[0].names[c], name) == 0) {
            m->key_count += m->roles[c] != ROLE_KEY;
            m->roles[c] = ROLE_KEY;
            found = true;
        }
    }
    if (!found)
        check_conclude(m->check, STATE_INCONCLUSIVE, "the result has no column %s: key", name);
    return found;
}

/* One row each, and nothing that names rows: they belong together. */
static void pair_single_rows(struct matcher *m)
{
    if (m->key_count == 0 && m->counts[0] == 1 && m->counts[1] == 1) {
        if (!rows_equal(m, 0, 0))
            tell(m, 0, 0);
    } else {
        sort_rows(m, 0);
        sort_rows(m, 1);
        if (m->key_count == 0 || (keys_unique(m, 0) && keys_unique(m, 1)))
            compare_groups(m);
    }
}

static bool prepare_columns(struct matcher *m)
{
    for (size_t c = 0; c < m->columns; c++) {
        m->modes[c] = value_mode_of(m->sides[0].classes[c], m->sides[1].classes[c]);
        if (m->rules->tolerances != NULL)
            m->tolerances[c] = tolerance_of(m->rules->tolerances, m->sides[0].names[c]);
    }
    for (size_t i = 0; i < m->rules->key_count; i++) {
        if (!find_key(m, m->rules->key[i]))
            return false;
    }
    for (size_t c = 0; c < m->columns; c++) {
        bool counts = value_mode_measures(m->modes[c]);
        if (m->roles[c] == ROLE_KEY || !counts)
            m->tolerances[c] = (struct tolerance){0};
        if (m->tolerances[c].absolute != NULL || m->tolerances[c].relative != NULL) {
            m->roles[c] = ROLE_TOLERANT;
            m->tolerant_count++;
        }
    }
    return true;
}

/* "sum, max differ": what a result of one row is about. */
static void name_columns(struct compare_check *check)
{
    struct strbuf names = STRBUF_INIT(1 << 20);
    const struct compare_difference *d = &check->differences[0];
    for (size_t i = 0; i < d->column_count; i++)
        strbuf_addf(&names, "%s%s", i > 0 ? ", " : "", d->columns[i].name);
    check_conclude(check, STATE_FAIL, "%s %s", names.data, d->column_count == 1 ? "differs" : "differ");
    strbuf_release(&names);
}

static void conclude(struct matcher *m)
{
    unsigned long long n = m->check->difference_total;
    bool one =
        n == 1 && m->counts[0] == 1 && m->counts[1] == 1 && m->check->differences[0].kind == DIFF_CHANGED;
    if (one && m->key_count == 0 && !m->rules->ordered)
        name_columns(m->check);
    else if (n > 0)
        check_conclude(m->check, STATE_FAIL, "%llu %s%s", n, m->rules->subject,
                       n == 1 ? " differs" : "s differ");
    check_conclude(m->check, STATE_PASS, "%s", "");
}

static bool shapes_fit(const struct grid sides[2], struct compare_check *check)
{
    for (int side = 0; side < 2; side++) {
        if (sides[side].more) {
            check_conclude(
                check, STATE_INCONCLUSIVE,
                "the %s's result has more than %zu rows or %zu MiB: aggregate more, or raise max_rows",
                side == 0 ? "source" : "target", sides[side].row_count, GRID_BYTES_MAX >> 20);
            return false;
        }
    }
    if (sides[0].column_count == sides[1].column_count)
        return true;
    check_conclude(check, STATE_FAIL, "the result has %zu columns on the source, %zu on the target",
                   sides[0].column_count, sides[1].column_count);
    return false;
}

void grid_compare(const struct grid sides[2], const struct grid_rules *rules, struct compare_check *check)
{
    check->rows_source = sides[0].row_count;
    check->rows_target = sides[1].row_count;
    if (!shapes_fit(sides, check))
        return;
    size_t columns = sides[0].column_count;
    struct matcher m = {.sides = sides, .rules = rules, .check = check, .columns = columns};
    m.modes = xcalloc(columns, sizeof *m.modes);
    m.roles = xcalloc(columns, sizeof *m.roles);
    m.tolerances = xcalloc(columns, sizeof *m.tolerances);
    if (prepare_columns(&m)) {
        for (int side = 0; side < 2; side++) {
            m.counts[side] = sides[side].row_count;
            m.canon[side] = make_canonical(&m, side);
            m.rows[side] = xcalloc(m.counts[side] + 1, sizeof *m.rows[side]);
        }
        if (rules->ordered)
            compare_ordered(&m);
        else
            pair_single_rows(&m);
        conclude(&m);
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; m.canon[side] != NULL && i < m.counts[side] * columns; i++)
            free(m.canon[side][i]);
        free(m.canon[side]);
        free(m.rows[side]);
    }
    free(m.modes);
    free(m.roles);
    free(m.tolerances);
}
