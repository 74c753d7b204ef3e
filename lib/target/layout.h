/*
 * How the tables of a pipeline are laid out over shards, as far as all targets have it in common: which tables count by the name of
 * another one ("home"), since foreign keys that fire connect them, and whether the positions of a layout may be handed over to
 * another one. The function from a home's name to a shard is the caller's (target_options.table_shard). @thread owner
 */
#ifndef TARGET_LAYOUT_H
#define TARGET_LAYOUT_H

#include "target/target.h"

struct target_home {
    char *schema, *table; /* this table … */
    char *home_schema, *home_table;
};

struct target_layout {
    struct target_home *homes; /* in the order of their names */
    size_t count, cap;
};

void target_layout_add(struct target_layout *layout, const char *schema, const char *table,
                       const char *home_schema, const char *home_table);
/* After the last add(), before the first find(). */
void target_layout_sort(struct target_layout *layout);
/* By which name the table counts: its own, if it is not listed. */
void target_layout_home(const struct target_layout *layout, const char **schema, const char **table);
void target_layout_release(struct target_layout *layout);

/* `edges` names two tables in each entry, that a foreign key connects. Of all that are connected, however far, the first one by name
 * becomes the home; it is listed, too. */
void target_layout_connect(const struct target_layout *edges, struct target_layout *ret);
/* A foreign key between tables of two shards (NULL: none). */
const struct target_home *target_layout_torn(const struct target_layout *layout,
                                             const struct target_layout *edges,
                                             const struct target_options *options, unsigned count);
unsigned target_layout_shard(const struct target_layout *layout, const struct target_options *options,
                             unsigned count, const char *schema, const char *table);

/* A position of the layout that is left. */
struct target_place {
    char shard[32];
    char fence
        [40]; /* its number; where fences are made of others' topics by each process for itself: a hash of where it stands there */
    bool whole; /* the copy is complete, nothing is pending */
};

/* All shards of one layout are there, and stand at the same fence. Else ERR_CONFIG, which names where they stand. */
bool target_places_agree(const struct target_place *places, size_t count, const char *pipeline,
                         const char *shard, struct err *err) MUST_CHECK;

#endif
