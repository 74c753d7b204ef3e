/* Owns: homes of tables, and whether positions may be handed over. See layout.h. */
#include "target/layout.h"
#include "target/shard.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"

void target_layout_add(struct target_layout *layout, const char *schema, const char *table,
                       const char *home_schema, const char *home_table)
{
    if (layout->count == layout->cap) {
        layout->cap = layout->cap > 0 ? layout->cap * 2 : 16;
        layout->homes = xrealloc(layout->homes, layout->cap * sizeof *layout->homes);
    }
    layout->homes[layout->count++] = (struct target_home){.schema = xstrdup(schema),
                                                          .table = xstrdup(table),
                                                          .home_schema = xstrdup(home_schema),
                                                          .home_table = xstrdup(home_table)};
}

static int compare_names(const char *schema_a, const char *table_a, const char *schema_b, const char *table_b)
{
    int by_schema = strcmp(schema_a, schema_b);
    return by_schema != 0 ? by_schema : strcmp(table_a, table_b);
}

static int compare_homes(const void *a, const void *b)
{
    const struct target_home *x = a, *y = b;
    return compare_names(x->schema, x->table, y->schema, y->table);
}

void target_layout_sort(struct target_layout *layout)
{
    if (layout->count > 1)
        qsort(layout->homes, layout->count, sizeof *layout->homes, compare_homes);
}

static const struct target_home *find(const struct target_layout *layout, const char *schema,
                                      const char *table)
{
    const struct target_home key = {.schema = (char *)(uintptr_t)schema, .table = (char *)(uintptr_t)table};
    return layout->count == 0
               ? NULL
               : bsearch(&key, layout->homes, layout->count, sizeof *layout->homes, compare_homes);
}

void target_layout_home(const struct target_layout *layout, const char **schema, const char **table)
{
    const struct target_home *home = find(layout, *schema, *table);
    if (home != NULL) {
        *schema = home->home_schema;
        *table = home->home_table;
    }
}

void target_layout_release(struct target_layout *layout)
{
    for (size_t i = 0; i < layout->count; i++) {
        free(layout->homes[i].schema);
        free(layout->homes[i].table);
        free(layout->homes[i].home_schema);
        free(layout->homes[i].home_table);
    }
    free(layout->homes);
    *layout = (struct target_layout){0};
}

/* --- connected tables: disjoint sets, each named by its first table --- */

static size_t root_of(size_t *parents, size_t i)
{
    while (parents[i] != i) {
        parents[i] = parents[parents[i]];
        i = parents[i];
    }
    return i;
}

static void drop_twins(struct target_layout *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++) {
        if (kept > 0 && compare_homes(&names->homes[kept - 1], &names->homes[i]) == 0) {
            struct target_layout twin = {.homes = xmalloc(sizeof(struct target_home)), .count = 1};
            twin.homes[0] = names->homes[i];
            target_layout_release(&twin);
        } else {
            names->homes[kept++] = names->homes[i];
        }
    }
    names->count = kept;
}

void target_layout_connect(const struct target_layout *edges, struct target_layout *ret)
{
    struct target_layout names = {0};
    for (size_t i = 0; i < edges->count; i++) {
        const struct target_home *edge = &edges->homes[i];
        target_layout_add(&names, edge->schema, edge->table, "", "");
        target_layout_add(&names, edge->home_schema, edge->home_table, "", "");
    }
    target_layout_sort(&names);
    drop_twins(&names);
    size_t *parents = xcalloc(names.count + 1, sizeof *parents);
    for (size_t i = 0; i < names.count; i++)
        parents[i] = i;
    for (size_t i = 0; i < edges->count; i++) {
        const struct target_home *edge = &edges->homes[i];
        size_t a = root_of(parents, (size_t)(find(&names, edge->schema, edge->table) - names.homes));
        size_t b =
            root_of(parents, (size_t)(find(&names, edge->home_schema, edge->home_table) - names.homes));
        parents[MAX_OF(a, b)] = MIN_OF(a, b); /* names are in order: the root is the first of them */
    }
    for (size_t i = 0; i < names.count; i++) {
        const struct target_home *home = &names.homes[root_of(parents, i)];
        target_layout_add(ret, names.homes[i].schema, names.homes[i].table, home->schema, home->table);
    }
    free(parents);
    target_layout_release(&names);
}

unsigned target_layout_shard(const struct target_layout *layout, const struct target_options *options,
                             unsigned count, const char *schema, const char *table)
{
    target_layout_home(layout, &schema, &table);
    return options->table_shard(count, schema, table);
}

const struct target_home *target_layout_torn(const struct target_layout *layout,
                                             const struct target_layout *edges,
                                             const struct target_options *options, unsigned count)
{
    for (size_t i = 0; i < edges->count; i++) {
        const struct target_home *edge = &edges->homes[i];
        if (target_layout_shard(layout, options, count, edge->schema, edge->table) !=
            target_layout_shard(layout, options, count, edge->home_schema, edge->home_table))
            return edge;
    }
    return NULL;
}

/* --- positions --- */

bool target_places_agree(const struct target_place *places, size_t count, const char *pipeline,
                         const char *shard, struct err *err)
{
    struct strbuf where = STRBUF_INIT(2000);
    bool same = true;
    for (size_t i = 0; i < count; i++)
        same = same && places[i].whole && strcmp(places[i].fence, places[0].fence) == 0 &&
               target_shards_in(places[i].shard) == count;
    for (size_t i = 0; !same && i < count && i < 20; i++)
        strbuf_addf(
            &where, "%s%s at fence %s%s", i > 0 ? ", " : "", places[i].shard, places[i].fence,
            places[i].whole ? "" : " (its copy is not complete, or a batch of several writers is pending)");
    if (!same)
        err_set(err, ERR_CONFIG,
                "apply.shard: %s: the tables of pipeline %s are shared out in another way so far, and its "
                "shards do "
                "not all stand at the same fence of a complete copy: %s. Hint: stop capture, run all of them "
                "until "
                "they have applied everything, stop them, and start this one again",
                shard, pipeline, where.data);
    strbuf_release(&where);
    return same;
}
