/* Which apply process a table belongs to. Shard "2/3" has the tables whose names hash to it; the function must stay. @thread any */
#ifndef TARGET_SHARD_H
#define TARGET_SHARD_H

/* The number of the shard that has this table, from 1. */
unsigned target_shard_of(unsigned count, const char *schema, const char *table);
/* n of "k/n"; 1 if the text is none. */
unsigned target_shards_in(const char *shard);

#endif
