/* Partitions of streams → places in an array of somebody's: with thousands of topics a search from the front costs more than the
 * records. @thread: one owner */
#ifndef CAPTURE_STREAM_INDEX_H
#define CAPTURE_STREAM_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_index;

struct stream_index *stream_index_new(void);
void stream_index_free(struct stream_index *index); /* NULL allowed */
/* Where (stream, partition) is. One met for the first time gets the next place, counted from 0, and *ret_new is set. */
size_t stream_index_at(struct stream_index *index, const char *stream, int32_t partition, bool *ret_new);

#endif
