/* Which target table belongs to a schema of the journal. Schemas are the decoder's and live as long as it. */
#ifndef APPLY_TABLES_H
#define APPLY_TABLES_H

#include "apply/conflict_rules.h"
#include "target/target.h"

struct table_map;

struct table_map *table_map_new(struct target *tgt);
/* Columns whose form does not give back every value are taken as well; otherwise ERR_SCHEMA. */
void table_map_accept_lossy(struct table_map *map);
void table_map_free(struct table_map *map); /* NULL allowed */
/* Prepares those that are met first, all at once: in a few statements instead of a few for each. A schema may be given twice. */
bool table_map_expect(struct table_map *map, const struct table_schema *const *schemas, size_t count,
                      struct err *err) MUST_CHECK;
/* Prepares the table when it is met first. */
bool table_map_get(struct table_map *map, const struct table_schema *schema, struct target_table **ret,
                   struct err *err) MUST_CHECK;

/* From now on these tables are written on both sides; NULL = none. The caller's, and outlives the map. */
void table_map_watch(struct table_map *map, const struct conflict_rules *rules);
/* The batch at hand may yet grow by what the journal holds: until it has, every conflict halts it. */
void table_map_defer(struct table_map *map, bool defer);
bool table_map_defers(const struct table_map *map);
bool table_map_watches(const struct table_map *map); /* some table is */
/* Of a schema that table_map_get has given a table for; NULL = not written on both sides. */
const struct conflict_rule *table_map_rule(const struct table_map *map, const struct table_schema *schema);

#endif
