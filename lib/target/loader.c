/* Owns: what of a direct load is the same on every kind of target. */
#include "target/loader.h"

#include <stdlib.h>
#include <string.h>

#include "target/target_impl.h"

void loader_chunk_release(struct loader_chunk *chunk)
{
    for (size_t i = 0; chunk->upper != NULL && i < chunk->upper_count; i++)
        free(chunk->upper[i]);
    free(chunk->upper);
    *chunk = (struct loader_chunk){0};
}

void target_direct_release(struct target_direct *d)
{
    for (size_t i = 0; i < d->table_count; i++) {
        free(d->tables[i].schema);
        free(d->tables[i].name);
    }
    free(d->tables);
    *d = (struct target_direct){0};
}

static int compare_names(const void *a, const void *b)
{
    const struct target_direct_table *x = a, *y = b;
    int order = strcmp(x->schema, y->schema);
    return order != 0 ? order : strcmp(x->name, y->name);
}

lsn_t target_direct_from(const struct target_direct *d, const char *schema, const char *name)
{
    const struct target_direct_table key = {.schema = (char *)schema, .name = (char *)name};
    const struct target_direct_table *t =
        d->table_count == 0 ? NULL
                            : bsearch(&key, d->tables, d->table_count, sizeof *d->tables, compare_names);
    return t != NULL ? t->from_lsn : 0;
}

bool target_direct_look(struct target *tgt, uint64_t attempt, struct target_direct *ret, struct err *err)
{
    *ret = (struct target_direct){0};
    if (tgt->ops->direct_look == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "capture.snapshot_path: direct: targets of this kind cannot be loaded directly yet");
    if (!tgt->ops->direct_look(tgt, attempt, ret, err))
        return false;
    if (ret->table_count > 0)
        qsort(ret->tables, ret->table_count, sizeof *ret->tables, compare_names);
    return true;
}
