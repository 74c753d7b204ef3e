/* Owns: the hash by which tables are shared out to shards. */
#include "target/shard.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

unsigned target_shard_of(unsigned count, const char *schema, const char *table)
{
    uint64_t hash = hash_fnv1a(HASH_FNV1A, schema, strlen(schema) + 1);
    hash = hash_fnv1a(hash, table, strlen(table));
    hash ^= hash >> 33;
    hash *= UINT64_C(0xFF51AFD7ED558CCD);
    return (unsigned)((hash ^ (hash >> 33)) % count) + 1;
}

unsigned target_shards_in(const char *shard)
{
    const char *slash = strchr(shard, '/');
    return slash != NULL ? (unsigned)strtoul(slash + 1, NULL, 10) : 1;
}
