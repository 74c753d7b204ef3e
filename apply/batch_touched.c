/* Owns: which tables a batch has something of. Of 10,000 tables a batch may have two. */
#include <stdlib.h>

#include "apply/batch_internal.h"
#include "core/alloc.h"

void batch_touch(struct batch *b, struct batch_table *bt)
{
    if (bt->touched)
        return;
    if (b->touched_count == b->touched_cap) {
        b->touched_cap = b->touched_cap == 0 ? 64 : 2 * b->touched_cap;
        b->touched = xrealloc(b->touched, b->touched_cap * sizeof *b->touched);
    }
    b->touched[b->touched_count++] = (uint32_t)(bt - b->tables);
    bt->touched = true;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void batch_sort_touched(struct batch *b)
{
    if (b->touched_count > 1)
        qsort(b->touched, b->touched_count, sizeof *b->touched, by_number);
}
