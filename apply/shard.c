/* Owns: which tables are this process's, and passing over the records of all others. They are read and counted all the same: a fence
 * says how many changes it stands for, not how many of which table (step.c, all_came). */
#include "apply/shard.h"

#include <stdio.h>

#include "apply/batch_internal.h"
#include "target/shard.h"

bool shard_parse(const char *text, struct shard *ret, struct err *err)
{
    struct shard found = {0};
    int used = 0;
    if (sscanf(text, "%4u/%4u%n", &found.number, &found.count, &used) != 2 || text[used] != '\0' ||
        found.number < 1 || found.number > found.count)
        return err_set(err, ERR_CONFIG, "apply.shard: %s: k/n is expected, with k from 1 to n", text);
    *ret = found;
    return true;
}

bool shard_has(const struct shard *shard, const struct target_layout *layout, const char *schema,
               const char *table)
{
    if (shard->count <= 1)
        return true;
    if (layout != NULL)
        target_layout_home(layout, &schema, &table);
    return target_shard_of(shard->count, schema, table) == shard->number;
}
