/* Owns: fetching values in their canonical forms. See values.h. */
#include "cause/values.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "sqlgen.h"

static void find_rows(struct values *v, enum side side, size_t count)
{
    const struct rowset *res = v->sides[side];
    for (size_t i = 0; i < count; i++)
        v->row_of[side][i] = -1;
    for (int row = rowset_rows(res) - 1; row >= 0; row--) { /* the first one under a key stays */
        int64_t n = rowset_int64(res, row, 0);
        if (n >= 1 && n <= (int64_t)count)
            v->row_of[side][n - 1] = row;
    }
}

static bool fetch_sides(struct pair *pair, struct values *v, const char *const *keys, size_t count,
                        struct err *err)
{
    struct statement st[SIDE_COUNT];
    for (enum side side = SIDE_SOURCE; side < SIDE_COUNT; side++) {
        st[side] = (struct statement){.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
        sql_rows_by_key(v->pt, side, &(struct key_list){keys, count}, &st[side].sql);
    }
    bool ok = pair_query(pair, st, v->sides, err);
    for (int side = 0; side < SIDE_COUNT; side++)
        strbuf_release(&st[side].sql);
    for (enum side side = SIDE_SOURCE; ok && side < SIDE_COUNT; side++)
        find_rows(v, side, count);
    return ok;
}

/* The source's server says what form a record's values have. */
static bool fetch_images(struct session *source, struct values *v, const struct wanted_row *const *rows,
                         size_t count, struct err *err)
{
    size_t cells = v->pt->column_count, images = 0;
    const char **texts = xcalloc(count * IMAGES_PER_ROW * cells, sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; rows[i] != NULL && k < rows[i]->image_count; k++) {
            const struct image *image = &rows[i]->images[k];
            if (image->cells == NULL)
                continue;
            for (size_t c = 0; c < cells; c++)
                texts[images * cells + c] = image->cells[c].text;
            v->image_of[i][k] = (int)images++;
        }
    }
    struct statement st = {.sql = STRBUF_INIT(STRBUF_SQL_MAX)};
    bool ok = true;
    if (images > 0) {
        sql_values_forms(v->pt, texts, images, &st.sql);
        ok = session_query(source, &st, &v->images, err);
    }
    strbuf_release(&st.sql);
    free(texts);
    if (!ok)
        (void)!session_recover(source, NULL); /* what is broken shows with the next statement */
    return ok;
}

bool values_fetch(struct pair *pair, const struct plan_table *pt, const char *const *keys,
                  const struct wanted_row *const *rows, size_t count, struct values *ret, struct err *err)
{
    struct values v = {.pt = pt};
    memset(v.image_of, -1, sizeof v.image_of);
    if (fetch_sides(pair, &v, keys, count, err) &&
        fetch_images(pair->session[SIDE_SOURCE], &v, rows, count, err)) {
        *ret = v;
        return true;
    }
    values_release(&v);
    return false;
}

void values_release(struct values *v)
{
    pair_results_free(v->sides);
    rowset_free(v->images);
    v->images = NULL;
}

static const char *cell(const struct rowset *res, int row, size_t column)
{
    int c = (int)column + 1;
    return rowset_is_null(res, row, c) ? NULL : rowset_cell(res, row, c);
}

const char *values_side(const struct values *v, enum side side, size_t row, size_t column)
{
    return cell(v->sides[side], v->row_of[side][row], column);
}

const char *values_image(const struct values *v, size_t row, size_t image, size_t column)
{
    return cell(v->images, v->image_of[row][image], column);
}

const char *values_readable(const struct values *v, enum side side, size_t row, size_t column)
{
    size_t at = v->pt->columns[column].shown_at;
    return values_side(v, side, row, at > 0 ? at - 1 : column);
}

bool values_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}
