/*
 * How far the journal reached at a comparison's fence: of each partition of each topic (LMDB: of each stream, which has one), the offset
 * behind its last record under the fence. The fence stream holds it: a fence lists the partitions that were touched since the one
 * before, and every FENCE_FULL_EVERY-th all of them (change/fence.h). Goes with every report. Private to this module.
 */
#ifndef COMPARE_JOURNAL_REACH_H
#define COMPARE_JOURNAL_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct reach_part {
    char *topic;
    int32_t partition;
    uint64_t next_offset; /* all records below it are under the fence, and none else */
};

struct journal_reach {
    char *unread;             /* why it is not known, with what to do; NULL: it is */
    const char *kind;         /* "kafka", "lmdb"; "" = not known */
    struct reach_part *parts; /* the furthest first */
    size_t part_count, topic_count;
};

/* Never fails: what cannot be read is told in its place. fence_id, fence_offset: the fence and its place in the fence stream. Waits for a
 * journal that does not answer for some seconds. The caller's to free. @thread any */
struct journal_reach *journal_reach_read(const struct config *cfg, uint64_t fence_id, uint64_t fence_offset);
void journal_reach_free(struct journal_reach *reach); /* NULL allowed */

/* Fences one after the other, from any one before the last full one on; what journal_reach_read() is made of. */
struct fence;
struct reach_walk {
    struct reach_part *parts;
    size_t count, room;
    bool whole;       /* since a full fence */
    uint64_t last_id; /* of the last one; 0 = none */
};
/* Takes the names of streams out of the fence. */
void reach_walk_add(struct reach_walk *walk, struct fence *fence);
/* The last of each partition, the furthest first; the walk is empty then. */
void reach_walk_end(struct reach_walk *walk, struct journal_reach *ret);
void reach_walk_release(struct reach_walk *walk);

#endif
