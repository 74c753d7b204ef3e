/* Which tables are this process's (target/shard.h). @thread any */
#ifndef APPLY_SHARD_H
#define APPLY_SHARD_H

#include <stdbool.h>

#include "core/err.h"
#include "target/layout.h"

struct shard {
    unsigned number, count; /* 1/1: all tables */
};

/* ERR_CONFIG: not "k/n" with 1 <= k <= n. */
bool shard_parse(const char *text, struct shard *ret, struct err *err) MUST_CHECK;
/* layout: tables that count by another one's name; NULL: none does. */
bool shard_has(const struct shard *shard, const struct target_layout *layout, const char *schema,
               const char *table);

#endif
